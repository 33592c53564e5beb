import numpy as np
import pytest
import scipy.stats
import torch

from attention_cases import OVER, TOLERANCE, in_float64, mean_over, qk
from attnscope import probability
from attnscope.errors import ParameterError


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("over", OVER)
def test_every_reduction_equals_float64(over, dtype):
    query, key = qk(dtype=dtype)
    found = probability.reduce(query, key, scale=0.3, over=over)
    expected = mean_over(in_float64(query, key, 0.3), over)
    assert np.abs(found.double().numpy() - expected).max() < TOLERANCE[dtype]


def test_it_works_inside_inference_mode_autocast_and_with_gradients():
    query, key = qk(heads=2, queries=1100, keys=600)
    expected = probability.reduce(query, key, scale=0.3, over=("head",))
    with torch.inference_mode():
        assert torch.equal(
            probability.reduce(query.clone(), key.clone(), scale=0.3, over=("head",)), expected
        )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(probability.reduce(query, key, scale=0.3, over=("head",)), expected)
    query.requires_grad_()
    with_graph = probability.reduce(query, key, scale=0.3, over=("head",))
    assert with_graph.requires_grad
    torch.testing.assert_close(with_graph.detach(), expected)
    with torch.no_grad():
        assert torch.equal(probability.reduce(query, key, scale=0.3, over=("head",)), expected)


@pytest.mark.parametrize("shape", [(1, 1, 37), (3, 1, 37), (1, 50, 37), (3, 50, 37)])
@pytest.mark.parametrize("kind", ["float", "bool"])
@pytest.mark.parametrize("over", OVER)
def test_masks_broadcast_like_the_models_own(shape, kind, over):
    query, key = qk()
    generator = torch.Generator().manual_seed(1)
    mask = torch.randn(shape, generator=generator)
    if kind == "bool":
        mask = mask > -1
        mask[..., 0] = True
    found = probability.reduce(query, key, scale=0.3, mask=mask, over=over)
    expected = mean_over(in_float64(query, key, 0.3, mask), over)
    assert np.abs(found.double().numpy() - expected).max() < 2e-6


@pytest.mark.parametrize("over", OVER)
def test_columns_are_part_of_the_whole(over):
    query, key = qk()
    columns = torch.tensor([5, 0, 36])
    whole = probability.reduce(query, key, scale=0.3, over=over)
    part = probability.reduce(query, key, scale=0.3, over=over, columns=columns)
    expected = whole[..., columns] if "key" not in over else None
    if expected is None:  # a mean over these columns alone
        kept = tuple(axis for axis in over if axis != "key")
        expected = probability.reduce(query, key, scale=0.3, over=kept)[..., columns].mean(-1)
    torch.testing.assert_close(part, expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize("over", OVER)
def test_weights_make_a_weighted_sum_of_any_axes(over):
    query, key = qk()
    generator = torch.Generator().manual_seed(2)
    lengths = {"head": 3, "query": 50, "key": 37}
    weights = {axis: torch.rand(lengths[axis], generator=generator) for axis in over}
    found = probability.reduce(query, key, scale=0.3, over=over, weights=weights)
    expected = mean_over(in_float64(query, key, 0.3), over, weights)
    np.testing.assert_allclose(found.double().numpy(), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("over", OVER)
def test_a_reduction_is_added_into_the_tensor_that_is_given(over):
    query, key = qk()
    once = probability.reduce(query, key, scale=0.3, over=over)
    total = once.clone()
    assert probability.reduce(query, key, scale=0.3, over=over, into=total) is total
    torch.testing.assert_close(total, 2 * once, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("masked", [False, True])
def test_entropy_equals_scipys(dtype, masked):
    query, key = qk(dtype=dtype)
    mask = torch.arange(37) < 20 if masked else None
    mask = mask if mask is None else mask.view(1, 1, 37)
    found = probability.entropy(query, key, scale=0.3, mask=mask)
    expected = scipy.stats.entropy(in_float64(query, key, 0.3, mask), axis=-1)
    np.testing.assert_allclose(found.double().numpy(), expected, atol=10 * TOLERANCE[dtype])


def test_entropy_of_even_attention_is_the_logarithm_of_the_keys():
    even = probability.entropy(torch.zeros(1, 2, 4), torch.ones(1, 77, 4), scale=1.0)
    np.testing.assert_allclose(even.numpy(), np.log(77), rtol=1e-6)


def test_rows_sum_to_one():
    query, key = qk()
    sums = probability.reduce(query, key, scale=0.3, over=("head",)).sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-6, rtol=0)


def test_a_case_by_hand():
    query, key = torch.tensor([[[1.0], [0.0]]]), torch.tensor([[[0.0], [np.log(3.0)]]])
    found = probability.attention_probability(query, key, scale=1.0)
    torch.testing.assert_close(found, torch.tensor([[[0.25, 0.75], [0.5, 0.5]]]))


def test_the_path_is_said():
    query, key = qk()
    assert probability.path_for(query, key, over=("head",)).name == "tiled"
    assert probability.path_for(query, key).name == "reference"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"over": ("layer",)}, r"over \['layer'\]: expected some of \['head', 'query', 'key'\]"),
        (
            {"over": ("head",), "weights": {"query": torch.ones(50)}},
            r"weights for \['query'\].*name it in over",
        ),
        (
            {"over": ("head",), "weights": {"head": torch.ones(4)}},
            r"weights of head have shape \(4,\): .* \(3,\)",
        ),
        ({"over": ("key",), "columns": torch.tensor([], dtype=torch.long)}, r"over key: there is none"),
        ({"over": ("head",), "columns": torch.tensor([3, 37])}, r"columns are \[3, 37\]: .* from 0 to 36"),
        ({"over": ("head",), "columns": torch.tensor([-1])}, r"columns are \[-1\]: .* from 0 to 36"),
        (
            {"over": ("head",), "into": torch.zeros(50, 36)},
            r"into is .*\(50, 36\) on cpu: expected .* \(50, 37\)",
        ),
        ({"over": ("head",), "into": torch.zeros(50, 37).double()}, r"into is torch.float64 .*float32"),
        ({"over": ("head",), "into": torch.zeros(50, 37, device="meta")}, r"into is .* on meta: .* on cpu"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, message):
    with pytest.raises(ParameterError, match=message):
        probability.reduce(*qk(), scale=1.0, **wrong)


def test_queries_and_keys_on_two_devices_are_refused():
    query, key = qk()
    with pytest.raises(
        ParameterError, match="query is on cpu and key on meta: move one to the other's device"
    ):
        probability.reduce(query, key.to("meta"), scale=1.0, over=("head",))


@pytest.mark.parametrize("lacks", ["heads", "keys"])
def test_nothing_to_be_a_share_of_is_refused(lacks):
    query, key = qk(heads=0) if lacks == "heads" else qk(keys=0)
    for ask in (
        lambda: probability.reduce(query, key, scale=1.0, over=("query",)),
        lambda: probability.entropy(query, key, scale=1.0),
    ):
        with pytest.raises(
            ParameterError, match=r"query is \(.*\) and key \(.*at least one head and one key"
        ):
            ask()
