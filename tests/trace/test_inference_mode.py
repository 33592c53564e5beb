"""`torch.inference_mode()` around a run or around a question changes nothing and stops nobody."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

import attnscope
from attnscope.errors import ParameterError
from attnscope.probability import reduce
from attnscope.records.reduced import Reduced
from attnscope.testing.tiny_models import tiny_unet

MODES = {"grad": nullcontext, "no_grad": torch.no_grad, "inference": torch.inference_mode}
SAMPLE, TEXT = torch.randn(2, 4, 32, 32), torch.randn(2, 9, 16)


def recorded(mode, **options):
    small = {"block_out_channels": (16,), "layers_per_block": 1, "attention_head_dim": 2}
    blocks = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}
    unet = tiny_unet(**small, **blocks)
    keep = {"words": Reduced("cross"), "places": Reduced("self")}
    with attnscope.capture(unet, branches=["uncond", "cond"], value=True, keep=keep, **options) as trace:
        for step, mode_of_step in enumerate((mode, torch.no_grad)):  # a mean goes on in another mode
            with mode_of_step():
                unet(SAMPLE, 9 - step, encoder_hidden_states=TEXT)
    return trace


def questions(trace, tmp_path):
    def saved():
        return attnscope.load_trace(trace.save(tmp_path / "run.trace", overwrite=True))

    large = {"block": 1, "kind": "self", "branch": "cond", "image": 0, "step": 0, "mean": "head"}
    return {
        "rows": lambda: trace.probabilities(block=1, kind="self", query=5),
        "mean over steps": lambda: trace.probabilities(
            block=1, kind="self", mean=("step", "head"), branch="cond"
        ),
        "into": lambda: trace.probabilities(**large, into=torch.zeros(1024, 1024)),
        "keys": lambda: trace.probabilities(block=2, kind="cross", mean=("head", "step")),
        "reduced": lambda: trace.reduced["places"].map(block=1),
        "segments": lambda: torch.as_tensor(attnscope.segment_trace(trace, steps=0).labels),
        "saved": lambda: saved().probabilities(block=2, kind="cross", mean=("head", "step")),
    }


@pytest.fixture
def answers(tmp_path):
    return {name: ask() for name, ask in questions(recorded(torch.no_grad), tmp_path).items()}


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("of_run", "where"), [*((mode, "memory") for mode in MODES), ("inference", "disk")])
def test_a_trace_and_its_questions_know_no_mode(answers, tmp_path, of_run, where):
    trace = recorded(MODES[of_run], **({"folder": tmp_path / "first.trace"} if where == "disk" else {}))
    for mode in MODES.values():
        for name, ask in questions(trace, tmp_path).items():
            with mode():
                found = ask()
            assert torch.equal(found, answers[name])


def test_what_is_recorded_in_inference_mode_is_ordinary():
    for step in (0, 1):
        record = recorded(torch.inference_mode).record(block=1, kind="self", step=step)
        assert not any(tensor.is_inference() or tensor.requires_grad for tensor in record.tensors.values())
        record.query.mul_(1)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("size", [64, 2048])
def test_a_sum_that_was_made_in_inference_mode_goes_on_there_and_nowhere_else(size):
    query, key = torch.randn(2, 4, size, 8).unbind()
    expected = torch.ones(size, size) + reduce(query, key, scale=0.3, over=("head",))
    with torch.inference_mode():
        total = torch.ones(size, size)
        assert reduce(query, key, scale=0.3, over=("head",), into=total) is total
        torch.testing.assert_close(total, expected, atol=1e-6, rtol=0)
        with pytest.raises(ParameterError, match="expected torch.float32 of"):
            reduce(query, key, scale=0.3, over=("head",), into=torch.ones(1, 1))
    with pytest.raises(ParameterError, match=r"give into\.clone\(\)"):
        reduce(query, key, scale=0.3, over=("head",), into=total)
    reduce(query, key, scale=0.3, over=("head",), into=total.clone())  # the remedy
