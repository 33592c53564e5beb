"""What Triton's kernels must give: collected by test_triton_kernels.py, which runs this file in a fresh process.

By hand: TRITON_INTERPRET=1 pytest tests/triton_kernel_cases.py, or without the variable on a machine with a GPU.
"""

import numpy as np
import pytest
import scipy.stats
import torch

from attention_cases import OVER, TOLERANCE, in_float64, mean_over, qk
from attnscope import probability
from attnscope.probability import triton_sums
from attnscope.probability.triton_support import is_interpreted

DEVICE = "cpu" if is_interpreted() else "cuda"
TYPES = [torch.float32, torch.float16]
TYPES += [] if is_interpreted() else [torch.bfloat16]  # which the interpreter multiplies wrongly
SUMS = [over for over in OVER if over]
ONE_AXIS = [("head",), ("query",), ("key",)]  # one for each kernel
KEYS = 77  # a prompt's tokens: two blocks of 64, the second not full


@pytest.fixture(autouse=True)
def _the_kernels_ran(monkeypatch):
    """No case may pass on another path."""
    ran = []
    for name in ("reduce_triton", "entropy_triton"):
        launcher = getattr(triton_sums, name)

        def counted(*given, launcher=launcher, **how):
            ran.append(launcher)
            return launcher(*given, **how)

        monkeypatch.setattr(triton_sums, name, counted)
    yield
    assert ran, "no kernel was launched"


def made(**shape):
    return tuple(tensor.to(DEVICE) for tensor in qk(**{"heads": 2, "queries": 70, "keys": KEYS, **shape}))


def expected(query, key, over, mask=None, weights=None, columns=None):
    probs = in_float64(query.cpu(), key.cpu(), 0.3, mask)
    probs = probs if columns is None else probs[..., columns.numpy()]
    return mean_over(probs, over, weights)


def check(query, key, over, *, mask=None, weights=None, columns=None):
    """`reduce` on DEVICE against float64; mask, weights and columns are given on the CPU."""
    found = probability.reduce(
        query,
        key,
        scale=0.3,
        over=over,
        mask=None if mask is None else mask.to(DEVICE),
        weights=weights,
        columns=None if columns is None else columns.to(DEVICE),
    )
    assert found.dtype == torch.float32
    right = expected(query, key, over, mask, weights, columns)
    np.testing.assert_allclose(found.cpu().double().numpy(), right, rtol=0, atol=TOLERANCE[query.dtype])


def random_weights(over, lengths):
    """Numbers that sum to about 1 along each axis."""
    generator = torch.Generator().manual_seed(2)
    return {axis: torch.rand(lengths[axis], generator=generator) * 2 / lengths[axis] for axis in over}


def test_the_path_is_said():
    query, key = made()
    path = probability.path_for(query, key, over=("head",))
    assert path.name == "triton"
    assert "sum over head" in path.reason
    check(query, key, ("head",))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("over", SUMS)
def test_every_sum_equals_float64(over, dtype):
    check(*made(dim=40, dtype=dtype), over)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("dim", [4, 10, 64, 80, 160])
def test_any_dim_of_a_head(dim, dtype):
    query, key = made(queries=20, dim=dim, dtype=dtype)
    query /= dim**0.5  # scores of the usual size
    check(query, key, ("head",))


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 77), (64, 64), (65, 129), (130, 3)])
@pytest.mark.parametrize("over", ONE_AXIS)
def test_any_lengths(over, queries, keys):
    check(*made(queries=queries, keys=keys), over)


@pytest.mark.parametrize("shape", [(1, 1, KEYS), (2, 1, KEYS), (1, 70, KEYS), (2, 70, KEYS), (1, 70, 1)])
@pytest.mark.parametrize("kind", ["float", "bool"])
@pytest.mark.parametrize("over", ONE_AXIS)
def test_masks_broadcast_like_the_models_own(shape, kind, over):
    mask = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    if kind == "bool":
        mask = mask > -1
        mask[..., 0] = True
        mask = mask if shape[2] > 1 else torch.ones_like(mask)
    check(*made(), over, mask=mask)


@pytest.mark.parametrize("over", SUMS)
def test_a_whole_block_of_keys_may_be_hidden(over):
    check(*made(), over, mask=(torch.arange(KEYS) >= 66).view(1, 1, KEYS))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # inf - inf, in the interpreter's numpy
def test_a_row_that_sees_no_key_is_zeros():
    query, key = made()
    mask = torch.ones(1, 70, 1, dtype=torch.bool, device=DEVICE)
    mask[0, 3] = False
    for over in (("head",), ("key",)):
        found = probability.reduce(query, key, scale=0.3, over=over, mask=mask)
        zeros = (found == 0).all(-1 if over == ("head",) else 0)
        assert zeros.nonzero().flatten().tolist() == [3]
        assert found.isfinite().all()
    entropy = probability.entropy(query, key, scale=0.3, mask=mask)
    assert (entropy[:, 3] == 0).all()
    assert entropy[:, 4:].min() > 0


@pytest.mark.parametrize("over", SUMS)
def test_weights_make_a_weighted_sum_of_any_axes(over):
    check(*made(), over, weights=random_weights(over, {"head": 2, "query": 70, "key": KEYS}))


def test_weights_need_not_be_contiguous():
    over = ("head", "query", "key")
    weights = random_weights(over, {"head": 4, "query": 140, "key": 2 * KEYS})
    check(*made(), over, weights={axis: weight[::2] for axis, weight in weights.items()})


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("over", SUMS)
def test_columns_are_part_of_a_softmax_over_all_keys(over, masked):
    columns = torch.tensor([5, 0, 76])
    mask = torch.randn(1, 1, KEYS, generator=torch.Generator().manual_seed(1)) if masked else None
    weights = random_weights(over, {"head": 2, "query": 70, "key": 3})
    check(*made(), over, mask=mask, weights=weights, columns=columns)


@pytest.mark.parametrize("over", SUMS)
def test_a_sum_is_added_into_the_tensor_that_is_given(over):
    query, key = made()
    once = probability.reduce(query, key, scale=0.3, over=over)
    total = once.clone()
    assert probability.reduce(query, key, scale=0.3, over=over, into=total) is total
    torch.testing.assert_close(total, 2 * once, atol=1e-6, rtol=1e-6)


def test_into_may_be_a_part_of_a_larger_tensor():
    query, key = made()
    large = torch.zeros(KEYS + 1, 72, device=DEVICE)
    probability.reduce(query, key, scale=0.3, over=("head",), into=large[:KEYS, 1:71].T)
    once = probability.reduce(query, key, scale=0.3, over=("head",))
    assert torch.equal(large[:KEYS, 1:71].T, once)
    assert large[KEYS].eq(0).all()
    assert large[:, [0, 71]].eq(0).all()


@pytest.mark.parametrize("over", ONE_AXIS)
def test_heads_of_a_fused_projection_are_read_in_place(over):
    fused = torch.randn(KEYS, 3, 2, 40, generator=torch.Generator().manual_seed(3)).to(DEVICE)
    query, key = (fused[:, part].transpose(0, 1) for part in (0, 1))
    assert not query.is_contiguous()
    check(query, key, over)


def test_dim_need_not_be_the_innermost_axis():
    query, key = (tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in made())
    assert query.stride(2) != 1
    check(query, key, ("head",))


def test_the_same_input_gives_the_same_bits():
    query, key = made()
    for over in SUMS:
        runs = [probability.reduce(query, key, scale=0.3, over=over) for _ in range(2)]
        assert torch.equal(*runs)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ["none", "float", "bool"])
def test_entropy_equals_scipys(dtype, kind):
    query, key = made(dtype=dtype)
    mask = torch.randn(1, 1, KEYS, generator=torch.Generator().manual_seed(1))
    mask = {"none": None, "float": mask, "bool": mask > 0}[kind]
    found = probability.entropy(query, key, scale=0.3, mask=None if mask is None else mask.to(DEVICE))
    right = scipy.stats.entropy(in_float64(query.cpu(), key.cpu(), 0.3, mask), axis=-1)
    np.testing.assert_allclose(found.cpu().double().numpy(), right, rtol=0, atol=TOLERANCE[dtype])


def test_entropy_of_even_attention_is_the_logarithm_of_the_keys():
    query, key = torch.zeros(1, 2, 4, device=DEVICE), torch.ones(1, KEYS, 4, device=DEVICE)
    even = probability.entropy(query, key, scale=1.0)
    np.testing.assert_allclose(even.cpu().numpy(), np.log(KEYS), rtol=1e-6)


def test_gradients_inference_mode_and_autocast_change_nothing():
    query, key = made()
    once = probability.reduce(query, key, scale=0.3, over=("head",))
    with torch.inference_mode(), torch.autocast(DEVICE, dtype=torch.bfloat16):
        assert torch.equal(probability.reduce(query.clone(), key.clone(), scale=0.3, over=("head",)), once)
    with_graph = probability.reduce(query.requires_grad_(), key, scale=0.3, over=("head",))
    assert with_graph.requires_grad
    torch.testing.assert_close(with_graph.detach(), once)
    with torch.no_grad():
        assert torch.equal(probability.reduce(query, key, scale=0.3, over=("head",)), once)
