"""Layers as large as those of transformers: relations, half precision and oneDNN, against float64 and in memory."""

import os
import subprocess
import sys

import pytest
import torch

from attention_cases import qk
from attnscope import probability
from attnscope.errors import ParameterError
from attnscope.probability import tile_loops, tiled

needs_onednn = pytest.mark.skipif(not tile_loops.has_onednn_product(), reason="torch is built without oneDNN")
EXACT = 1e-6


@pytest.fixture(params=["blas", pytest.param("onednn", marks=needs_onednn)])
def multiplier(request, monkeypatch):
    """Who multiplies; on a machine of its own each of them is the faster one."""
    monkeypatch.setattr(tiled, "_has_avx512_of_amd", lambda: request.param == "onednn")
    used = []
    product = tiled._onednn_is_faster
    monkeypatch.setattr(tiled, "_onednn_is_faster", lambda *given: used.append(product(*given)) or used[-1])
    yield request.param
    assert set(used) == {request.param == "onednn"}


def exact_mean(query, key, scale, mask=None):
    return probability.attention_probability(query.double(), key.double(), scale=scale, mask=mask).mean(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dim", [8, 20, 128])
@pytest.mark.usefixtures("multiplier")
def test_head_means_are_exact(dim, dtype):
    query, key = qk(heads=3, queries=700, keys=900, dim=dim, dtype=dtype)
    found = probability.reduce(query, key, scale=dim**-0.5, over=("head",))
    assert float((found - exact_mean(query, key, dim**-0.5)).abs().max()) < EXACT


@pytest.mark.parametrize("over", [("head",), ("head", "query"), ("query",), ("key",), ("head", "key")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.usefixtures("multiplier")
def test_heads_in_groups_give_what_all_heads_together_give(over, dtype, monkeypatch):
    query, key = qk(heads=5, queries=400, keys=600, dtype=dtype)
    lengths = {"head": 5, "query": 400, "key": 600}
    weights = {axis: torch.linspace(-1, 2, lengths[axis]) / lengths[axis] for axis in over}
    mask = torch.linspace(-2, 0, 5 * 600).view(5, 1, 600)
    shape = [length for axis, length in lengths.items() if axis not in over]
    found = {}
    for bytes_of_keys in (1 << 30, 2 * 600 * 8 * 4):  # all heads, and two at a time
        monkeypatch.setattr(tiled, "KEYS_BYTES", bytes_of_keys)
        how = {"scale": 0.3, "over": over, "weights": weights}
        fresh = probability.reduce(query, key, **how)
        added = probability.reduce(query, key, mask=mask, into=torch.ones(shape), **how)
        entropy = probability.entropy(query, key, scale=0.3, mask=mask)
        found[bytes_of_keys] = fresh, added, entropy
    one, groups = found.values()
    for together, in_groups in zip(one, groups, strict=True):
        torch.testing.assert_close(together, in_groups, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("over", [("head",), ("head", "query"), ("query",)])
@pytest.mark.usefixtures("multiplier")
def test_a_range_of_keys_is_what_their_numbers_are(over, masked):
    query, key = qk(heads=3, queries=500, keys=800)
    mask = torch.arange(800).view(1, 1, 800) % 7 > 0 if masked else None
    for columns in (range(100, 700), range(0, 1), range(799, 800), range(10, 300, 3)):
        how = {"scale": 0.3, "over": over, "mask": mask}
        by_range = probability.reduce(query, key, columns=columns, **how)
        by_number = probability.reduce(query, key, columns=torch.tensor(columns), **how)
        torch.testing.assert_close(by_range, by_number, atol=1e-7, rtol=0)
    exact = exact_mean(query, key, 0.3, mask)
    found = probability.reduce(query, key, scale=0.3, over=("head",), mask=mask, columns=range(100, 700))
    assert float((found - exact[:, 100:700]).abs().max()) < EXACT


@pytest.mark.parametrize("columns", [range(30, 38), range(-1, 3)])
def test_a_range_beyond_the_keys_is_refused(columns):
    query, key = qk(keys=37)
    with pytest.raises(ParameterError, match="expected numbers from 0 to 36"):
        probability.reduce(query, key, scale=1.0, over=("head",), columns=columns)


@needs_onednn
@pytest.mark.parametrize(("of_query", "scale"), [(1e-30, 1e30), (1e25, 1e-25), (1e13, 1e-13), (1.0, 1e-7)])
def test_numbers_whose_scaled_queries_would_leave_float32_are_left_to_blas(of_query, scale, monkeypatch):
    monkeypatch.setattr(tiled, "_has_avx512_of_amd", lambda: True)
    query, key = qk(heads=2, queries=700, keys=900)
    query *= of_query
    (_, scores), *_ = tiled._parts(query, key, scale, None, None, by_onednn=True)
    assert not scores.by_onednn
    found = probability.reduce(query, key, scale=scale, over=("head",))
    assert float((found - exact_mean(query, key, scale)).abs().max()) < EXACT


@pytest.mark.usefixtures("multiplier")
def test_strides_of_a_recorded_layer_are_read_where_they_lie():
    """diffusers splits heads after the projection: (row, head, place, dim) is a view of (row, place, head x dim)."""
    query, key = (torch.randn(1, 700, 6 * 16).unflatten(2, (6, 16)).transpose(1, 2)[0] for _ in range(2))
    for by_onednn in (False, True):
        (_, scores), *_ = tiled._parts(query, key, 0.25, None, None, by_onednn=by_onednn)
        assert scores.keys.is_contiguous(), "oneDNN takes a hundred times longer for other strides"
    found = probability.reduce(query[:, 100:], key, scale=0.25, over=("head",), columns=range(100, 700))
    assert float((found - exact_mean(query[:, 100:], key, 0.25)[:, 100:]).abs().max()) < EXACT


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of resident memory as Linux counts it")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_relation_of_a_joint_layer_takes_the_result_and_tiles(dtype):
    """16 heads of 1536 x 4608, dim 128: K alone is 38 MB in float32, and all of P 453 MB."""
    program = f"""
import torch
from pathlib import Path
from attnscope import probability
from attnscope.errors import ParameterError

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))

heads, queries, keys, dim = 16, 1536, 4608, 128
query = torch.empty(heads, queries, dim, dtype=torch.{dtype})
key = torch.empty(heads, keys, dim, dtype=torch.{dtype})
for tensor in (query, key):
    for of_head in tensor:
        of_head.copy_(torch.randn(of_head.shape))
probability.reduce(query[:2, :300], key[:2], scale=0.1, over=("head",))
before = resident("VmRSS")
found = probability.reduce(query, key, scale=0.1, over=("head",), columns=range(512, 4608))
print(resident("VmHWM") - before - found.nbytes)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert int(done.stdout) < 24e6
