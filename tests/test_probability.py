import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_cases import OVER, TOLERANCE, in_float64, mean_over, qk
from attnscope import probability, threads
from attnscope.errors import ParameterError
from attnscope.probability import tiled
from attnscope.probability.contraction import contraction
from attnscope.probability.reference import working_dtype


def tiled_reduction(query, key, over, *, scale, **how):
    asked = contraction(query, key, over, None, None, working_dtype(query))
    return tiled.reduce_tiled(query, key, asked, scale=scale, **how)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("over", OVER)
def test_every_reduction_equals_float64(over, dtype):
    query, key = qk(dtype=dtype)
    found = probability.reduce(query, key, scale=0.3, over=over)
    expected = mean_over(in_float64(query, key, 0.3), over)
    assert np.abs(found.double().numpy() - expected).max() < TOLERANCE[dtype]


@given(
    tile=st.integers(1, 70), queries=st.integers(1, 60), keys=st.integers(1, 40), over=st.sampled_from(OVER)
)
@settings(max_examples=25, deadline=None)
def test_tile_size_does_not_matter(tile, queries, keys, over):
    query, key = qk(queries=queries, keys=keys, dtype=torch.float64)
    one = tiled_reduction(query, key, over, scale=0.5, tile_rows=tile)
    other = tiled_reduction(query, key, over, scale=0.5, tile_rows=1024)
    torch.testing.assert_close(one, other, atol=1e-14, rtol=0)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("over", OVER)
@pytest.mark.usefixtures("two_threads")
def test_the_threaded_path_runs_on_large_layers_and_agrees(over, monkeypatch):
    query, key = qk(heads=2, queries=1100, keys=600)
    used = []
    workers = tiled.tile_threads
    monkeypatch.setattr(tiled, "tile_threads", lambda threads: used.append(threads) or workers(threads))
    found = tiled_reduction(query, key, over, scale=0.3)
    assert used, "the rows were not shared among threads"
    expected = mean_over(in_float64(query, key, 0.3), over)
    assert np.abs(found.double().numpy() - expected).max() < 2e-6


def test_torch_keeps_its_number_of_threads():
    before = torch.get_num_threads()
    query, key = qk(heads=2, queries=1100, keys=600)
    probability.reduce(query, key, scale=1.0, over=("head",))
    assert torch.get_num_threads() == before
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == before


def test_a_tile_has_one_thread_whatever_was_computed_before():
    pool = threads.tile_threads(2)

    def threads_after_work(_):
        torch.ones(1 << 20).exp()
        return torch.get_num_threads()

    assert set(pool.map(threads_after_work, range(16))) == {1}


@pytest.mark.parametrize("base", [2.0, math.e])
@pytest.mark.parametrize("masked", [False, True])
def test_both_bases_of_exponentials_give_the_same(base, masked, monkeypatch):
    query, key = qk(heads=2, queries=300, keys=500)
    mask = torch.linspace(-5, 0, 500)[None, None] if masked else None
    monkeypatch.setattr(tiled, "_base", lambda: base)
    found = tiled_reduction(query, key, ("head",), scale=0.3, mask=mask)
    expected = probability.attention_probability(query.double(), key.double(), scale=0.3, mask=mask).mean(0)
    torch.testing.assert_close(found.double(), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.1, 3.0, 40.0, 1e4])
def test_scores_of_any_size(dtype, size):
    """Small ones need no maximum subtracted, large ones leave exp's range without it."""
    query, key = qk(heads=2, queries=300, keys=500, dtype=dtype)
    query = query * size
    found = tiled_reduction(query, key, ("head",), scale=1.0)
    expected = mean_over(in_float64(query, key, 1.0), ("head",))
    assert found.isfinite().all()
    scores_error = (1e-6 if dtype == torch.float32 else 1e-15) * size * 40
    assert np.abs(found.double().numpy() - expected).max() < max(scores_error, 1e-6)


def test_what_is_no_number_stays_so_in_its_row():
    query, key = qk(heads=1, queries=20, keys=30)
    query[0, 3] = float("nan")
    found = tiled_reduction(query, key, ("head",), scale=1.0)
    assert found[3].isnan().all()
    assert found[[0, 1, 2, 4]].isfinite().all()


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


def test_threads_do_not_change_a_bit_from_run_to_run():
    query, key = qk(heads=2, queries=1100, keys=600)
    runs = [probability.reduce(query, key, scale=0.3, over=("head", "query")) for _ in range(8)]
    assert all(torch.equal(run, runs[0]) for run in runs)


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
        ({"over": ("head",), "into": torch.zeros(50, 36)}, r"into is .*\(50, 36\): expected .* \(50, 37\)"),
        ({"over": ("head",), "into": torch.zeros(50, 37).double()}, r"into is torch.float64 .*float32"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, message):
    with pytest.raises(ParameterError, match=message):
        probability.reduce(*qk(), scale=1.0, **wrong)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of resident memory as Linux counts it")
def test_a_head_mean_holds_no_more_than_the_result_and_tiles():
    """8 heads of 4096x4096: P would be 537 MB in float32, the result is 67 MB."""
    program = """
import resource, torch
from attnscope import probability
query = key = torch.randn(8, 4096, 40)
probability.reduce(query[:, :512], key, scale=0.1, over=("head",))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
probability.reduce(query, key, scale=0.1, over=("head",))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    peak_kb = int(
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    )
    assert peak_kb * 1024 < 4096 * 4096 * 4 + 64e6
