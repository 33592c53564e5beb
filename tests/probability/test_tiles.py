"""Tiles of the attention probability: any size, any scores, compiled or not, on any number of threads."""

import functools
import math
import os
import subprocess
import sys
import types
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_cases import OVER, in_float64, mean_over, qk
from attnscope import probability
from attnscope.probability import tile_loops, tiled
from attnscope.probability.contraction import contraction
from attnscope.probability.inputs import working_dtype


def tiled_reduction(query, key, over, *, scale, **how):
    asked = contraction(query, key, over, None, None, working_dtype(query))
    return tiled.reduce_tiled(query, key, asked, scale=scale, **how)


@given(
    tile=st.integers(1, 70), queries=st.integers(1, 60), keys=st.integers(1, 40), over=st.sampled_from(OVER)
)
@settings(max_examples=25, deadline=None)
def test_tile_size_does_not_matter(tile, queries, keys, over):
    query, key = qk(queries=queries, keys=keys, dtype=torch.float64)
    one = tiled_reduction(query, key, over, scale=0.5, tile_rows=tile)
    other = tiled_reduction(query, key, over, scale=0.5, tile_rows=1024)
    torch.testing.assert_close(one, other, atol=1e-14, rtol=0)


@pytest.mark.parametrize("over", OVER)
@pytest.mark.usefixtures("two_threads")
def test_the_threaded_path_runs_on_large_layers_and_agrees(over, monkeypatch):
    query, key = qk(heads=2, queries=1100, keys=600)
    used = []
    share = tiled.in_tile_threads
    monkeypatch.setattr(
        tiled, "in_tile_threads", lambda work, items: used.append(len(items)) or share(work, items)
    )
    found = tiled_reduction(query, key, over, scale=0.3)
    assert used == [4], "the rows were not shared among threads"
    expected = mean_over(in_float64(query, key, 0.3), over)
    assert np.abs(found.double().numpy() - expected).max() < 2e-6


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("over", OVER)
def test_compiled_loops_run_and_give_the_same_bits_as_python(over, masked, monkeypatch):
    assert isinstance(tile_loops.compiled(tile_loops.add_rows), torch.jit.ScriptFunction)
    query, key = qk(heads=3, queries=1100, keys=600)
    mask = torch.arange(600).view(1, 1, 600) < 500 if masked else None
    ran = {}
    for name, compiled in (("compiled", tile_loops.compiled), ("python", lambda loop: loop)):
        monkeypatch.setattr(tiled, "compiled", compiled)
        ran[name] = (
            tiled_reduction(query, key, over, scale=0.3, mask=mask),
            tiled.entropy_tiled(query, key, scale=0.3, mask=mask),
        )
    assert all(torch.equal(*pair) for pair in zip(ran["compiled"], ran["python"], strict=True))


@pytest.fixture
def switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switch_often")
def test_threads_that_compile_at_a_time_leave_the_filters_of_warnings_as_they_were():
    loop, copies = tile_loops.write_entropy, []
    for _ in range(32):  # of one function torch would keep the first result
        copies.append(types.FunctionType(loop.__code__, loop.__globals__, loop.__name__))
        copies[-1].__annotations__ = loop.__annotations__
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        loops = list(pool.map(tile_loops._script, copies))
    assert all(isinstance(loop, torch.jit.ScriptFunction) for loop in loops)
    assert warnings.filters == before


@pytest.mark.thorough
def test_what_runs_the_tiles_is_said_where_it_is_not_torchscript():
    program = """
import torch
from attnscope import probability
q = torch.randn(2, 50, 8)
print(probability.path_for(q, q, over=("head",)).reason)
print(float(probability.reduce(q, q, scale=1.0, over=("head",)).sum()))
"""
    given = {**os.environ, "PYTORCH_JIT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, env=given
    )
    reason, total = done.stdout.splitlines()
    assert reason.endswith("; run by Python, since TorchScript is off (PYTORCH_JIT=0)")
    assert abs(float(total) - 50) < 1e-3


@pytest.mark.parametrize("fails", ["add_rows", "write_entropy"])
def test_a_torch_that_compiles_not_all_of_the_loops_compiles_none_and_it_is_said(fails, monkeypatch):
    script = torch.jit.script

    def later_torch(loop):
        if loop.__name__ == fails:
            raise RuntimeError("TorchScript is gone\nand more")
        return script(loop)

    monkeypatch.setattr(torch.jit, "script", later_torch)
    for cached in (tile_loops.why_not_compiled, tile_loops.compiled):
        monkeypatch.setattr(tile_loops, cached.__name__, functools.cache(cached.__wrapped__))
    assert tile_loops.why_not_compiled().endswith("compile them: RuntimeError: TorchScript is gone")
    assert tile_loops.compiled(tile_loops.add_sum_of_rows) is tile_loops.add_sum_of_rows


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_process_forked_while_a_loop_is_compiled_can_compile():
    program = """
import os, torch
from attnscope import probability
from attnscope.probability import tile_loops
torch.set_num_threads(1)
q = torch.randn(2, 50, 8)
with tile_loops._one_at_a_time:
    child = os.fork()
    if child == 0:
        probability.reduce(q, q, scale=1.0, over=("head",))
        os._exit(0)
print(os.waitpid(child, 0)[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=60
    )
    assert done.stdout == "0\n"


@pytest.mark.parametrize("base_e", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("size", "path"), [(0.1, "plain"), (0.9, "plain"), (1.1, "maximum"), (300.0, "maximum")]
)
def test_scores_of_any_size_to_both_bases(base_e, dtype, size, path, monkeypatch):
    """size: the longest query and key reach this share of what needs no maximum subtracted."""
    query, key = qk(heads=2, queries=300, keys=500, dtype=dtype)
    longest = (query.norm(dim=2).amax(1) * key.norm(dim=2).amax(1)).amax()
    scale = float(size * 0.8 * math.log(torch.finfo(dtype).max) / longest)
    monkeypatch.setattr(tiled, "_base_e_is_faster", lambda: base_e)
    wide = [
        tile
        for _, scores in tiled._parts(query, key, scale, None, None)
        for head in scores.needs_maximum
        for tile in head
    ]
    assert any(wide) == (path == "maximum")
    found = tiled_reduction(query, key, ("head",), scale=scale)
    expected = mean_over(in_float64(query, key, scale), ("head",))
    rounding = torch.finfo(dtype).eps * scale * float(longest)  # of a score, and so relative in P
    assert np.abs(found.double().numpy() - expected).max() < 4 * rounding + torch.finfo(dtype).eps
    assert np.abs(found.double().sum(1).numpy() - 1).max() < 100 * torch.finfo(dtype).eps


def test_large_scores_do_not_overflow():
    query, key = qk(heads=1, queries=20, keys=30)
    found = tiled_reduction(query * 1e30, key, ("head",), scale=1.0)
    torch.testing.assert_close(found.sum(1), torch.ones(20))


@pytest.mark.parametrize("base_e", [False, True])
def test_a_row_whose_keys_are_all_masked_by_the_least_number_is_even(base_e, monkeypatch):
    monkeypatch.setattr(tiled, "_base_e_is_faster", lambda: base_e)
    query, key = qk(heads=2, queries=6, keys=5)
    mask = torch.full((1, 1, 5), torch.finfo(torch.float32).min)
    torch.testing.assert_close(
        tiled_reduction(query, key, ("head",), scale=1.0, mask=mask), torch.full((6, 5), 0.2)
    )


@pytest.mark.parametrize("heads", [1, 8])
@pytest.mark.parametrize("score", [70, -70])  # just inside what needs no maximum
@pytest.mark.parametrize("size", [1e-12, 1e-3, 1e3, 1e12])
@pytest.mark.parametrize("axis", ["head", "query", "key"])
def test_weights_of_any_size_lose_nothing(axis, size, score, heads):
    query = torch.full((heads, 600, 40), (70 / 40) ** 0.5)
    weights = {axis: torch.full([600 if axis != "head" else heads], size)}
    asked = contraction(query, query, (axis,), weights, None, torch.float32)
    found = tiled.reduce_tiled(query, query, asked, scale=score / 70)
    exact = size * {"head": heads / 600, "query": 1.0, "key": 1.0}[axis]
    assert float((found / exact - 1).abs().max()) < 1e-5


@pytest.mark.parametrize("over", [("head",), ("head", "query"), ("key",)])
@pytest.mark.usefixtures("two_threads")
def test_masks_weights_columns_and_into_hold_across_ranges_of_rows(over):
    query, key = qk(heads=3, queries=1100, keys=600)
    mask = torch.linspace(-4, 0, 1100 * 600).view(1, 1100, 600)
    columns = torch.tensor([5, 17, 599])
    given = {
        "head": torch.tensor([0.0, 2.0, -1.0]),
        "query": torch.linspace(0, 1, 1100),
        "key": torch.tensor([1.0, 0, 3]),
    }
    weights = {axis: given[axis] for axis in over}
    exact = probability.attention_probability(query.double(), key.double(), scale=0.3, mask=mask)[
        ..., columns
    ]
    for axis, name in ((2, "key"), (1, "query"), (0, "head")):
        if name in over:
            exact = torch.tensordot(exact, given[name].double(), dims=([axis], [0]))
    into = torch.ones(exact.shape)
    asked = contraction(query, key, over, weights, columns, torch.float32)
    for before in (None, into):
        found = tiled.reduce_tiled(query, key, asked, scale=0.3, mask=mask, into=before)
        torch.testing.assert_close(found.double(), exact + (0 if before is None else 1), atol=2e-5, rtol=0)
    assert found.data_ptr() == into.data_ptr()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("over", OVER[1:])
@pytest.mark.usefixtures("two_threads")
def test_every_tile_has_its_own_rows_weights_mask_and_maxima(over, masked, monkeypatch):
    """Tiles of 7 rows, of which some heads' some hold scores that need a maximum subtracted."""
    monkeypatch.setattr(tiled, "SMALL", 1)
    query, key = qk(heads=3, queries=100, keys=37)
    query[0, 10:12] *= 200
    query[2, 60:] *= 200
    mask = torch.randn(1, 100, 37, generator=torch.Generator().manual_seed(3)) if masked else None
    weights = {"head": torch.tensor([1.0, 2, -1]), "query": torch.arange(100.0), "key": torch.arange(37.0)}
    weights = {axis: weights[axis] for axis in over}
    parts = tiled._parts(query, key, 0.3, mask, 7)
    needed = [[any(tiles) for tiles in scores.needs_maximum] for _, scores in parts]
    assert masked or (
        needed == [[True, False, False], [False] * 3, [False, False, True], [False, False, True]]
    )
    asked = contraction(query, key, over, weights, None, torch.float32)
    found = tiled.reduce_tiled(query, key, asked, scale=0.3, mask=mask, tile_rows=7)
    exact = mean_over(in_float64(query, key, 0.3, mask), over, weights)
    scale_of_sums = float(np.prod([weight.abs().sum() for weight in weights.values()]))
    np.testing.assert_allclose(
        found.double().numpy(), exact, atol=2e-5 * scale_of_sums
    )  # of scores up to 2000
    entropy = tiled.entropy_tiled(query, key, scale=0.3, mask=mask, tile_rows=7)
    expected = scipy.stats.entropy(in_float64(query, key, 0.3, mask), axis=-1)
    np.testing.assert_allclose(entropy.double().numpy(), expected, atol=2e-3)


def test_nothing_asked_and_meta_tensors_have_shapes():
    query, key = qk(queries=6, keys=5)
    assert tiled_reduction(query[:, :0], key, ("head",), scale=1.0).shape == (0, 5)
    query, key, columns = query.to("meta"), key.to("meta"), torch.tensor([0, 4], device="meta")
    assert probability.entropy(query, key, scale=1.0).shape == query.shape[:2]
    assert probability.reduce(query, key, scale=1.0, over=("head",), columns=columns).shape == (6, 2)
    assert probability.reduce(query, key, scale=1.0, over=("head", "query", "key")).shape == ()


def test_threads_do_not_change_a_bit_from_run_to_run():
    query, key = qk(heads=2, queries=1100, keys=600)
    runs = [probability.reduce(query, key, scale=0.3, over=("head", "query")) for _ in range(8)]
    assert all(torch.equal(run, runs[0]) for run in runs)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of resident memory as Linux counts it")
def test_a_head_mean_holds_no_more_than_the_result_and_tiles():
    """8 heads of 4096x4096: P would be 537 MB in float32, the result is 67 MB."""
    program = """
import torch
from pathlib import Path
from attnscope import probability

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))

query = key = torch.randn(8, 4096, 40)
probability.reduce(query[:, :512], key, scale=0.1, over=("head",))
before = resident("VmRSS")
probability.reduce(query, key, scale=0.1, over=("head",))
print(resident("VmHWM") - before)  # of this program; getrusage's figure may be the parent process's
"""
    peak_kb = int(
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    )
    assert peak_kb * 1024 < 4096 * 4096 * 4 + 64e6
