"""Traces and results after pickle and deepcopy: equal, no larger than they must be, and apart from each other."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

import attnscope
from attnscope import Reduced, capture
from attnscope.storage.memory import bytes_of, in_memory
from attnscope.testing import made_trace
from capture_cases import run


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


COPIES = [copy.deepcopy, pickled]
KEEP = {"words": Reduced("cross"), "places": Reduced("self", how="top", per="layer")}


def tensors_of(trace):
    """All Q and K that a trace of one pass holds, by where they are."""
    return {
        (call.index, layer, name): tensor
        for call in trace.calls
        for layer in trace.records.layers
        for name, tensor in trace.records.get(call.index, layer).tensors.items()
    }


def assert_same(trace, copied):
    assert len(trace.passes) == len(copied.passes)
    for one, other in zip(trace.passes, copied.passes, strict=True):
        assert repr(one) == repr(other)
        assert vars(one.run).keys() == vars(other.run).keys()
        for name, value in vars(one.run).items():
            assert vars(other.run)[name] == value
        assert one.calls == other.calls
        assert list(one.layers) == list(other.layers)
        assert one.reduced == other.reduced
        ours, theirs = tensors_of(one), tensors_of(other)
        assert ours.keys() == theirs.keys()
        for key, tensor in ours.items():
            assert torch.equal(tensor, theirs[key])


@pytest.fixture(
    params=["memory", "folder", "budget", "budget and folder", "reduced", "two passes", "one of two", "disk"]
)
def trace(request, pipe, seeded, tmp_path):
    options = {
        "folder": {"folder": tmp_path / "run.trace"},
        "budget": {"budget": "6MB"},  # of 7, so some steps go to a temporary folder
        "budget and folder": {"folder": tmp_path / "run.trace", "budget": "6MB"},
        "reduced": {"keep": KEEP, "steps": [0]},
    }.get(request.param, {})
    with capture(pipe, **options) as trace:
        run(pipe, seeded, num_inference_steps=6 if "budget" in request.param else 2)
        if "two" in request.param:
            run(pipe, seeded, prompt="a star", num_inference_steps=1)
    if request.param == "disk":
        return attnscope.load_trace(trace.save(tmp_path / "saved.trace"))
    return trace.passes[1] if request.param == "one of two" else trace


@pytest.mark.parametrize("copied", COPIES)
def test_a_trace_is_the_same_after_the_round_trip(trace, copied):
    assert_same(trace, copied(trace))


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_outlives_its_original(pipe, seeded, copied):
    with capture(pipe, budget="6MB") as trace:
        run(pipe, seeded, num_inference_steps=6)
    assert trace.records.folder.calls  # some were written
    expected = [trace.probabilities(block=1, kind="self", step=step, head=0) for step in range(6)]
    twin = copied(trace)
    place = trace.records.folder.folder
    assert place.is_dir()
    del trace
    gc.collect()
    assert place.is_dir() == (copied is copy.deepcopy)  # a pickle can't know of it
    for step in range(6):
        assert torch.equal(twin.probabilities(block=1, kind="self", step=step, head=0), expected[step])
    del twin
    gc.collect()
    assert not place.exists()


@pytest.mark.thorough
@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("options", [{}, {"budget": "6MB"}])
def test_a_copy_made_during_a_run_ends_there(pipe, seeded, copied, options, tmp_path):
    twins = []

    def copy_trace(pipeline, step, timestep, tensors):
        twins.append(copied(trace))
        return tensors

    with capture(pipe, **options) as trace:
        run(pipe, seeded, num_inference_steps=6, callback_on_step_end=copy_trace)
    assert [len(twin.calls) for twin in twins] == [1, 2, 3, 4, 5, 6]
    for key, tensor in tensors_of(twins[2]).items():
        assert torch.equal(tensor, tensors_of(trace)[key])


def test_a_trace_from_disk_is_small_as_a_pickle(pipe, seeded, tmp_path):
    for options in ({}, {"budget": "20MB"}):
        with capture(pipe, folder=tmp_path / f"{len(options)}.trace", **options) as trace:
            run(pipe, seeded, num_inference_steps=4)
        assert len(pickle.dumps(trace)) < 200_000  # most of it the picture of 128x128


def test_no_tensor_is_pickled_twice(pipe, seeded):
    with capture(pipe, budget="6MB") as spilled:
        run(pipe, seeded, num_inference_steps=6)
    with capture(pipe, branch="cond") as half:
        run(pipe, seeded)
    for trace in (spilled, half):
        size = sum(
            bytes_of({layer: trace.records.get(call.index, layer) for layer in trace.records.layers})
            for call in trace.calls
        )
        assert len(pickle.dumps(trace)) < 1.1 * size + 300_000


def test_reduced_maps_differ_where_a_number_does(pipe, seeded):
    with capture(pipe, keep=KEEP, qk=False) as trace:
        run(pipe, seeded)
    twin = copy.deepcopy(trace.reduced)
    assert twin == trace.reduced
    next(iter(twin["words"].maps.values()))[0, 0, 0] += 1
    assert twin["words"] != trace.reduced["words"]
    assert twin["places"] == trace.reduced["places"]
    assert twin["words"] != twin["places"]


def test_records_in_memory_are_their_own():
    trace = made_trace()
    copied = in_memory(trace.records)
    copied.get(0, next(iter(copied.layers))).query.zero_()
    assert trace.records.get(0, next(iter(copied.layers))).query.abs().max() > 0


def test_a_pickle_is_read_in_a_fresh_process(pipe, seeded, tmp_path):
    with capture(pipe, folder=tmp_path / "run.trace", budget="20MB") as trace:
        run(pipe, seeded)
    (tmp_path / "trace.pickle").write_bytes(pickle.dumps(trace))
    program = (
        "import pickle, sys; trace = pickle.load(open('trace.pickle', 'rb')); "
        "print(trace.probabilities(block=2, kind='cross', step=1, head=3, branch='cond').double().sum().item())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    here = trace.probabilities(block=2, kind="cross", step=1, head=3, branch="cond").double().sum().item()
    assert float(done.stdout) == pytest.approx(here, abs=1e-4)


@pytest.mark.parametrize("copied", COPIES)
def test_a_trace_that_was_opened_by_a_relative_path_goes_anywhere(pipe, copied, tmp_path, monkeypatch):
    made_trace().save(tmp_path / "run.trace")
    monkeypatch.chdir(tmp_path)
    twin = copied(attnscope.load_trace("run.trace"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert twin.probabilities(block=1, kind="self").shape[-1] == 24


# Results


@pytest.mark.parametrize("copied", COPIES)
def test_heat_maps_are_the_same_after_the_round_trip(copied):
    heat = attnscope.heat_map(made_trace(), "cat")
    assert copied(heat) == heat
    assert repr(copied(heat)) == repr(heat)


@pytest.mark.parametrize("copied", COPIES)
def test_segmentations_are_the_same_after_the_round_trip_and_merge_again(copied):
    trace = made_trace(grids=((8, 8), (4, 4)))
    found = attnscope.segment_trace(trace, thresholds=0.3, anchors=4, labels=["red", "cat"])
    twin = copied(found)
    assert twin == found
    assert torch.equal(twin.merged, found.merged)
    assert torch.equal(twin.aggregated, found.aggregated)
    assert twin.origin == found.origin
    assert twin.segments == found.segments
    assert twin.again(thresholds=0.1) == found.again(thresholds=0.1)


def test_a_segmentation_is_pickled_without_what_can_be_computed_again():
    trace = made_trace(grids=((16, 16),))
    found = attnscope.segment_trace(trace, thresholds=0.3)
    assert found.evidence._mergers
    assert (
        len(pickle.dumps(found))
        < 1.2 * (found.aggregated.nbytes + found.labels.nbytes + found.merged.nbytes) + 20_000
    )


@pytest.mark.parametrize("copied", COPIES)
def test_nouns_are_the_same_after_the_round_trip(copied):
    trace = made_trace()
    for noun in (
        Reduced("cross", steps=[0, 2]),
        trace.run,
        trace.layers[0],
        trace.steps,
        trace.rows,
        trace.words(),
    ):
        assert copied(noun) == noun
    assert list(copied(trace.layers)) == list(trace.layers)
    named = trace.probabilities(block=1, kind="cross", named=True)
    assert np.array_equal(np.asarray(copied(named)), np.asarray(named))
    assert copied(named).axes == named.axes
