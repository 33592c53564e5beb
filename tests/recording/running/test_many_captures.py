"""Hundreds of captures, one after the other: nothing is left of them in memory, on disk or running."""

from __future__ import annotations

import copy
import gc
import pickle
import shutil
import tempfile
import threading
import types
from pathlib import Path

import psutil
import pytest
import torch

from attnscope import Reduced, capture
from attnscope.testing import tiny_unet
from capture_cases import leftovers

OPTIONS = {
    "memory": {"value": True},
    "exception": {},
    "folder": {"folder": "run.trace"},
    "budget": {"budget": "1MB"},
    "folder within a budget": {"folder": "run.trace", "budget": "1MB"},
    "reduced": {"keep": {"words": Reduced("cross")}, "qk": False},
    "copied": {},
    "pickled": {},
}
MOST_MB = 15  # that an allocator goes up and down by; Q and K of all captures would be tens
MOST_OBJECTS = 500  # caches that still fill; one capture alone makes more
METHODS = (
    types.MethodType,
    types.BuiltinFunctionType,
)  # coverage keeps two for each thread; what they hold counts


class Stopped(Exception):
    pass


@pytest.fixture
def small_unet():
    blocks = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}
    return tiny_unet(block_out_channels=(16,), layers_per_block=1, **blocks)


def stop(*args):
    raise Stopped


def standing(folder: Path) -> dict:
    gc.collect()
    process = psutil.Process()
    return {
        "MB": process.memory_info().rss / 1e6,
        "objects": sum(type(one) not in METHODS for one in gc.get_objects()),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "files open": process.num_fds() if hasattr(process, "num_fds") else len(process.open_files()),
        "on disk": list(folder.iterdir()),
    }


def captured(model, call, kind, folder):
    """One capture of a model, in one of the ways of OPTIONS, of which nothing is kept."""
    options = {"branches": ["uncond", "cond"], **OPTIONS[kind]}
    if "folder" in options:
        options["folder"] = folder / options["folder"]
    if kind == "exception":
        with pytest.raises(Stopped), capture(model, **options):
            call()
            stop()
        return
    with capture(model, **options) as trace:
        call()
    trace = {"copied": copy.deepcopy, "pickled": lambda one: pickle.loads(pickle.dumps(one))}.get(
        kind, lambda one: one
    )(trace)
    if kind != "reduced":
        assert trace.probabilities(block=1, kind="cross", step=0).shape[-1] > 1
    shutil.rmtree(folder / "run.trace", ignore_errors=True)


def assert_nothing_stays(model, call, folder, *, warm, captures):
    kinds = list(OPTIONS)
    for number in range(warm):
        captured(model, call, kinds[number % len(kinds)], folder)
    before = standing(folder)
    for number in range(captures):
        captured(model, call, kinds[number % len(kinds)], folder)
    after = standing(folder)
    for what in ("threads", "files open", "on disk"):
        assert after[what] == before[what]
    assert after["on disk"] == []
    assert after["objects"] - before["objects"] < MOST_OBJECTS
    assert after["MB"] - before["MB"] < MOST_MB


@pytest.mark.thorough
@pytest.mark.slow
def test_hundreds_of_captures_of_a_model_leave_nothing(small_unet, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sample, text = torch.randn(2, 4, 16, 16), torch.randn(2, 77, 16)
    with torch.no_grad():
        assert_nothing_stays(
            small_unet, lambda: small_unet(sample, 5, text), tmp_path, warm=160, captures=320
        )


@pytest.mark.thorough
@pytest.mark.slow
def test_captures_of_a_pipeline_leave_nothing(pipe, seeded, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    options = {"num_inference_steps": 1, "height": 32, "width": 32}
    assert_nothing_stays(
        pipe, lambda: pipe("a cat", generator=seeded(), **options), tmp_path, warm=48, captures=56
    )
    assert leftovers(pipe) == []
