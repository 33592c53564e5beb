"""Captures that do not fit into memory: they go to disk by themselves, or ask, and the run is what it was."""

import copy
import pickle
import re
import warnings

import pytest
import torch

import attnscope
from attnscope.errors import CaptureError
from attnscope.storage import opening, overflowing, room
from attnscope.storage.memory import all_of_call, bytes_of
from attnscope.storage.room import LargeCaptureWarning
from attnscope.testing.tiny_models import tiny_unet
from capture_cases import run

STEPS = 5


@pytest.fixture
def spilled_into(tmp_path, monkeypatch):
    """The system's folder for temporary files."""
    monkeypatch.setattr(opening, "temporary_place", lambda: str(tmp_path))
    monkeypatch.setattr(overflowing, "temporary_place", lambda: str(tmp_path))
    return tmp_path


def free(monkeypatch, memory, disk=10**12):
    monkeypatch.setattr(overflowing, "free_memory", lambda: memory)
    monkeypatch.setattr(overflowing, "free_disk", lambda folder: disk)


def step_bytes(trace):
    return bytes_of({layer: trace.records.get(0, layer) for layer in trace.records.layers})


def assert_same(trace, other):
    assert trace.records.calls == other.records.calls
    assert trace.records.layers == other.records.layers
    for call in trace.records.calls:
        for layer in trace.records.layers:
            pair = (each.records.get(call.index, layer).tensors.values() for each in (trace, other))
            assert all(torch.equal(*tensors) for tensors in zip(*pair, strict=True))


def test_a_run_that_is_too_large_goes_to_disk_from_its_first_step(pipe, seeded, spilled_into, monkeypatch):
    with attnscope.capture(pipe) as whole:
        plain = run(pipe, seeded, num_inference_steps=STEPS)
    size = step_bytes(whole)
    free(monkeypatch, 5 * size)  # half of it, and of the step itself, are three steps
    with pytest.warns(LargeCaptureWarning) as said, attnscope.capture(pipe) as trace:
        captured = run(pipe, seeded, num_inference_steps=STEPS)
    assert torch.equal(plain, captured)
    message = str(said[0].message)
    numbers = (
        rf"this capture takes [\d.]+ MB \({size / 1e6:.3g} MB a step, 5 steps\), more than [\d.]+ MB, 50% of"
    )
    assert re.match(numbers, message)
    assert f"go to {spilled_into}" in message
    assert len(said) == 1
    assert list(spilled_into.glob("attnscope-*/*.safetensors"))
    assert_same(trace, whole)
    assert_same(pickle.loads(pickle.dumps(trace)), whole)
    assert_same(copy.deepcopy(trace), whole)
    del trace
    assert not list(spilled_into.iterdir())


def test_steps_that_nobody_announced_move_to_disk_when_they_are_too_many(spilled_into, monkeypatch):
    unet = tiny_unet()
    inputs = torch.randn(1, 4, 16, 16), 3, torch.randn(1, 9, 16)

    def steps():
        with torch.no_grad():
            for _ in range(7):
                unet(*inputs)

    with attnscope.capture(unet) as whole:
        steps()
    free(monkeypatch, 7 * step_bytes(whole))
    with pytest.warns(LargeCaptureWarning, match="by now") as said, attnscope.capture(unet) as trace:
        steps()
    assert len(said) == 1
    assert list(spilled_into.glob("attnscope-*/*.safetensors"))
    assert_same(trace, whole)


def test_passes_count_together_and_a_larger_one_fits(pipe, seeded, spilled_into, monkeypatch):
    with attnscope.capture(pipe) as whole:
        run(pipe, seeded)
        run(pipe, seeded, height=128, width=256)
    free(monkeypatch, 7 * step_bytes(whole.passes[0]))  # four steps of the first size, and two are there
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded)
        with pytest.warns(LargeCaptureWarning):
            run(pipe, seeded, height=128, width=256)
    for found, expected in zip(trace.passes, whole.passes, strict=True):
        assert_same(found, expected)


def test_where_the_disk_is_full_too_the_first_step_asks_for_a_choice(pipe, seeded, spilled_into, monkeypatch):
    free(monkeypatch, 2 * 10**6, disk=10**6)
    with pytest.raises(
        CaptureError, match=r"a step, 5 steps\), more than .* has 1 MB left for it: keep less"
    ):
        with attnscope.capture(pipe):
            run(pipe, seeded, num_inference_steps=STEPS)
    assert not list(spilled_into.iterdir())
    with attnscope.capture(pipe, kind="cross", branch="cond", steps=[0]):  # a remedy
        run(pipe, seeded, num_inference_steps=STEPS)
    with attnscope.capture(pipe, folder=spilled_into / "run.trace"):  # the other one
        run(pipe, seeded, num_inference_steps=STEPS)


def test_where_no_end_is_known_and_the_disk_is_full_it_is_said_once_and_goes_on(spilled_into, monkeypatch):
    unet = tiny_unet()

    def steps():
        with attnscope.capture(unet) as trace, torch.no_grad():
            for _ in range(6):
                unet(torch.randn(1, 4, 16, 16), 3, torch.randn(1, 9, 16))
        assert len(trace.steps) == 6

    for memory, why in ((10**5, "while it is written"), (2 * 10**6, "left for it")):
        free(monkeypatch, memory, disk=0)
        with pytest.warns(LargeCaptureWarning, match=f"{why}.*; it goes on in memory") as said:
            steps()
        assert len(said) == 1


def test_a_place_for_temporary_files_that_refuses_is_named(pipe, seeded, tmp_path, monkeypatch):
    free(monkeypatch, 3 * 10**6)
    monkeypatch.setattr(opening, "temporary_place", lambda: str(tmp_path / "gone"))
    with pytest.raises(CaptureError, match=r"no temporary folder .* set TMPDIR to a place with room"):
        with attnscope.capture(pipe):
            run(pipe, seeded, num_inference_steps=STEPS)


def test_what_a_user_chose_is_kept_and_a_disk_without_room_is_said(pipe, seeded, tmp_path, monkeypatch):
    free(monkeypatch, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in ({"budget": "100MB"}, {"folder": tmp_path / "a.trace"}, {"where": "device"}):
            with attnscope.capture(pipe, **options):
                run(pipe, seeded)
    monkeypatch.setattr(room, "free_disk", lambda folder: 1000)
    with pytest.warns(LargeCaptureWarning, match=r"writes .* MB into .*b\.trace, which has 0\.001 MB left"):
        with attnscope.capture(pipe, folder=tmp_path / "b.trace"):
            run(pipe, seeded)


def test_where_nothing_tells_how_much_is_free_a_usual_laptop_is_meant(pipe, seeded, monkeypatch):
    free(monkeypatch, None)
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded)
    assert len(trace.steps) == 2
    monkeypatch.setattr(overflowing, "MEMORY_UNKNOWN", 2e6)
    with pytest.warns(LargeCaptureWarning, match="more than 2 MB"), attnscope.capture(pipe):
        run(pipe, seeded, num_inference_steps=STEPS)


def test_one_step_that_is_there_already_is_kept_and_the_next_pass_asks(pipe, seeded, monkeypatch):
    free(monkeypatch, 10)
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded, num_inference_steps=1)
        with pytest.raises(CaptureError, match="a step takes .* while it is written: keep less"):
            run(pipe, seeded, num_inference_steps=1)
    assert trace.passes[0].probabilities(block=1, kind="self", query=0).ndim == 5


def test_outputs_of_modules_go_to_disk_with_the_steps_that_they_are_of(
    pipe, seeded, spilled_into, monkeypatch
):
    asked = {"outputs": ["mid_block", "conv_in"], "blocks": [1]}
    with attnscope.capture(pipe, **asked) as whole:
        run(pipe, seeded, num_inference_steps=STEPS)
    size = bytes_of(*all_of_call(whole.records, whole.calls[0]))
    free(monkeypatch, 5 * size)
    with pytest.warns(LargeCaptureWarning), attnscope.capture(pipe, **asked) as trace:
        run(pipe, seeded, num_inference_steps=STEPS)
    assert list(spilled_into.glob("attnscope-*/*.safetensors"))
    for copied in (trace, pickle.loads(pickle.dumps(trace)), copy.deepcopy(trace)):
        for path in whole.outputs:
            assert torch.equal(copied.output(path), whole.output(path))
