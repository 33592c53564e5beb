"""Sums over P on a GPU against P in float64: every type, dim and length that models have, masks, extreme scores."""

import pytest
import torch
from diffusers.models.attention_processor import Attention

from attnscope import probability
from attnscope.errors import NumbersError, ParameterError
from attnscope.probability.contraction import contraction
from attnscope.probability.reference import attention_probability
from attnscope.probability.tiled import entropy_tiled, reduce_tiled
from attnscope.probability.triton_support import why_not_triton
from gpu_card import DEVICE, HEADS, REHEARSAL, TYPES, length, no_waiting
from gpu_oracle import check_all_sums, made

pytestmark = pytest.mark.gpu
DIMS = (4, 8, 12, 40, 64, 80, 128, 160)
LENGTHS = (77, 64, 1000, 4096, 6144, 9216)
TEXT = 77
by_type = pytest.mark.parametrize("dtype", TYPES.values(), ids=TYPES)


@by_type
def test_the_kernels_are_what_runs(dtype):
    query, key = made(length(1000), TEXT, 40, dtype)
    if REHEARSAL and dtype == torch.bfloat16:
        assert "interpreter multiplies bfloat16 wrongly" in why_not_triton(query, key)
    else:
        assert why_not_triton(query, key) == ""
        assert probability.path_for(query, key, over=("head",)).name == "triton"


@by_type
@pytest.mark.parametrize("dim", DIMS)
def test_every_dim_of_a_head(dim, dtype):
    check_all_sums(*made(length(1000), length(1000), dim, dtype))
    check_all_sums(*made(length(1000), TEXT, dim, dtype))


@by_type
@pytest.mark.parametrize("places", LENGTHS)
def test_every_length(places, dtype):
    check_all_sums(*made(length(places), length(places), 40, dtype))
    check_all_sums(*made(length(places), TEXT, 64, dtype))


@by_type
@pytest.mark.parametrize("kind", ["numbers", "bool", "hidden words", "of one head"])
def test_masks(kind, dtype):
    places = length(4096)
    query, key = made(places, TEXT, 40, dtype)
    generator = torch.Generator().manual_seed(1)
    mask = {
        "numbers": lambda: torch.randn(1, places, TEXT, generator=generator) * 4,
        "bool": lambda: (torch.rand(1, places, TEXT, generator=generator) > 0.3) | (torch.arange(TEXT) == 0),
        "hidden words": lambda: (torch.arange(TEXT) < 9).view(1, 1, TEXT),
        "of one head": lambda: torch.randn(HEADS, 1, TEXT, generator=generator).to(dtype),
    }[kind]()
    check_all_sums(query, key, mask=mask.to(DEVICE))


@by_type
@pytest.mark.parametrize("size", [100.0, 3e4])
def test_extreme_scores(size, dtype):
    """One key takes all of a row's attention: float32 keeps it, where exp alone would overflow."""
    query, key = made(length(1000), length(1000), 40, dtype)
    check_all_sums(query, key, scale=size)
    check_all_sums(query, key, scale=-size)


@by_type
def test_even_attention_and_keys_that_are_all_alike(dtype):
    query, key = made(length(1000), length(1000), 40, dtype)
    check_all_sums(torch.zeros_like(query), key)
    check_all_sums(query, key[:, :1].expand_as(key))


@by_type
def test_a_row_that_sees_no_key_is_zeros_and_no_other(dtype):
    places = length(1000)
    query, key = made(places, TEXT, 40, dtype)
    mask = torch.ones(1, places, 1, dtype=torch.bool, device=DEVICE)
    mask[0, 3] = False
    sums = probability.reduce(query, key, scale=1.0, mask=mask, over=("head",)).sum(-1)
    assert (sums == 0).nonzero().flatten().tolist() == [3]
    assert torch.allclose(sums[sums != 0], sums.new_ones(()), atol=1e-3)


@by_type
def test_the_same_input_gives_the_same_bits(dtype):
    query, key = made(length(4096), length(4096), 40, dtype)
    for over in (("head",), ("query",), ("key",), ("head", "query", "key")):
        runs = [probability.reduce(query, key, scale=1.0, over=over) for _ in range(3)]
        assert torch.equal(runs[0], runs[1])
        assert torch.equal(runs[0], runs[2])


@by_type
def test_slices_of_a_fused_projection_and_a_result_to_add_to(dtype):
    places = length(1000)
    fused = torch.randn(places, 3, HEADS, 40, generator=torch.Generator().manual_seed(0)).to(DEVICE, dtype)
    query, key = (fused[:, part].transpose(0, 1) for part in (0, 1))
    check_all_sums(query, key, scale=0.3)
    once = probability.reduce(query, key, scale=0.3, over=("head",))
    total = once.clone()
    assert probability.reduce(query, key, scale=0.3, over=("head",), into=total) is total
    torch.testing.assert_close(total, 2 * once, atol=1e-6, rtol=1e-6)


def test_weights_columns_and_masks_of_the_cpu_are_taken():
    query, key = made(length(1000), TEXT, 40, torch.float32)
    here = {
        "weights": {"head": torch.rand(HEADS)},
        "columns": torch.tensor([3, 5]),
        "mask": torch.randn(1, 1, TEXT),
    }
    there = {"weights": {"head": here["weights"]["head"].to(DEVICE)}}
    there |= {name: here[name].to(DEVICE) for name in ("columns", "mask")}
    found, expected = (
        probability.reduce(query, key, scale=1.0, over=("head",), **given) for given in (here, there)
    )
    assert torch.equal(found, expected)


@by_type
@pytest.mark.parametrize("keys", [1000, TEXT])
def test_row_tiles_serve_where_triton_is_missing(keys, dtype):
    def reduce(query, key, *, scale, mask, over, weights=None, columns=None):
        asked = contraction(query, key, over, weights, columns, torch.float32)
        return reduce_tiled(query, key, asked, scale=scale, mask=mask)

    query, key = made(length(1000), length(keys), 40, dtype)
    check_all_sums(query, key, reduce=reduce, entropy=entropy_tiled)
    mask = torch.arange(length(keys), device=DEVICE).view(1, 1, -1) < 9
    check_all_sums(query, key, mask=mask, reduce=reduce, entropy=entropy_tiled)


@by_type
def test_probabilities_equal_diffusers_own_scores(dtype):
    module = Attention(query_dim=40 * HEADS, heads=HEADS, dim_head=40, upcast_attention=True).to(
        DEVICE, dtype
    )
    query, key = made(length(4096), TEXT, 40, dtype)
    theirs = module.get_attention_scores(query, key)
    ours = attention_probability(query, key, scale=module.scale)
    rounding = torch.finfo(dtype).eps if dtype != torch.float32 else 1e-6  # they round P to the model's type
    torch.testing.assert_close(ours.to(dtype), theirs, atol=rounding, rtol=rounding)


@pytest.mark.parametrize("given", ["nothing else", "weights and columns of the CPU", "a mask"])
def test_the_host_waits_for_nothing_but_the_numbers_own_copy(given):
    """Its event is no wait that torch would count; kernels are launched before."""
    query, key = made(length(1000), TEXT, 40, torch.float16)
    more = {
        "nothing else": {},
        "weights and columns of the CPU": {
            "weights": {"head": torch.rand(HEADS)}, "columns": torch.tensor([3, 5]),
        },
        "a mask": {"mask": torch.zeros(1, 1, TEXT, device=DEVICE)},
    }[given]  # fmt: skip
    for over in (("head",), ("head", "query")):
        expected = probability.reduce(query, key, scale=0.3, over=over, **more)  # kernels are compiled here
        with no_waiting():
            found = probability.reduce(query, key, scale=0.3, over=over, **more)
        assert torch.equal(found, expected)


def test_numbers_that_are_none_are_refused_after_the_launch_and_never_added():
    query, key = made(length(1000), TEXT, 40, torch.float16)
    query[0, 3, 5] = float("nan")
    total = torch.zeros(query.shape[1], TEXT, device=DEVICE)
    for into in (None, total):
        with pytest.raises(NumbersError, match="query holds 1 number that is NaN"):
            probability.reduce(query, key, scale=0.3, over=("head",), into=into)
    assert not total.any()
    with pytest.raises(
        ParameterError, match="columns are"
    ):  # before a kernel reads there, which would end all
        probability.reduce(key, key, scale=0.3, over=("key",), columns=torch.tensor([TEXT], device=DEVICE))
    assert probability.reduce(key, key, scale=0.3, over=("head",)).isfinite().all()
