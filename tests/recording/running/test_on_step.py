"""capture(on_step=...): who is told of each step, with what the model predicts, and what is left afterwards."""

from functools import wraps

import numpy as np
import pytest
import torch

import attnscope
from attnscope.errors import CaptureError
from attnscope.testing.tiny_models import tiny_unet

RUN = {"num_inference_steps": 3, "guidance_scale": 3.0, "height": 64, "width": 64}


def test_each_step_comes_with_the_latent_that_the_scheduler_predicts(pipe, seeded):
    scheduler, said = pipe.scheduler, []
    step = scheduler.step
    assert scheduler.config.clip_sample is False  # else its own prediction is another one

    @wraps(step)
    def noted(*args, **kwargs):
        result = step(*args, **{**kwargs, "return_dict": True})
        said.append(result.pred_original_sample)
        return result if kwargs.get("return_dict", True) else (result.prev_sample,)

    told = []

    def on_step(taken):
        told.append((taken.step, taken.predicted, len(trace.steps)))

    scheduler.step = noted
    try:
        with attnscope.capture(pipe, on_step=on_step) as trace:
            pipe("a red cat", generator=seeded(), **RUN)
    finally:
        del scheduler.step
    assert [(number, steps) for number, _, steps in told] == [(0, 1), (1, 2), (2, 3)]
    for (_, predicted, _), expected in zip(told, said, strict=True):
        assert torch.allclose(predicted, expected, atol=1e-4, rtol=1e-4)


def test_the_picture_is_as_it_was(pipe, seeded):
    expected = pipe("a red cat", generator=seeded(), **RUN).images[0]
    with attnscope.capture(pipe, on_step=lambda taken: None):
        picture = pipe("a red cat", generator=seeded(), **RUN).images[0]
    assert np.array_equal(np.asarray(picture), np.asarray(expected))


class Enough(Exception):
    """Somebody wants no more."""


def test_what_it_raises_ends_the_run_and_leaves_the_pipeline_and_the_steps(pipe, seeded):
    def on_step(taken):
        if taken.step == 1:
            raise Enough

    before = set(vars(pipe.scheduler))
    with pytest.raises(Enough), attnscope.capture(pipe, on_step=on_step) as trace:
        pipe("a red cat", generator=seeded(), **RUN)
    assert [step.index for step in trace.steps] == [0, 1]
    assert set(vars(pipe.scheduler)) == before
    with attnscope.capture(pipe) as again:
        pipe("a red cat", generator=seeded(), **RUN)
    assert len(again.steps) == 3


def test_a_scheduler_that_does_not_tell_is_told_of_all_the_same(pipe, seeded, monkeypatch):
    def unknown(*args):
        raise CaptureError("unknown")

    monkeypatch.setattr("attnscope.recording.running.previews.predicted_latent", unknown)
    told = []
    with attnscope.capture(pipe, on_step=told.append):
        pipe("a red cat", generator=seeded(), **RUN)
    assert [(taken.step, taken.predicted) for taken in told] == [(0, None), (1, None), (2, None)]


def test_a_model_alone_has_no_steps():
    with pytest.raises(CaptureError, match="on_step need a pipeline"):
        attnscope.capture(tiny_unet(), on_step=print).__enter__()
