"""capture(previews=True) of transformers: a pixel for each patch of the latent, which pipelines pack or not."""

import pytest
import torch

import attnscope
from attnscope.recording.running import previews
from transformer_cases import CASES, PROMPT

drawn = previews._drawn


@pytest.mark.parametrize("case", [case for case in CASES if case.frames == 1], ids=str)
@pytest.mark.filterwarnings("ignore::attnscope.recording.running.passes.IncompleteCaptureWarning")
@pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning")
def test_each_step_has_a_pixel_a_patch(tmp_path, case, monkeypatch):
    pipe, seen = case.make(tmp_path), []
    monkeypatch.setattr(previews, "_drawn", lambda *latents: seen.append(latents) or drawn(*latents))
    with attnscope.capture(pipe, previews=True) as trace:
        case.run(pipe, [PROMPT], output_type="pil")
    grid = max(layer.grid for layer in trace.layers)
    assert list(trace.previews) == [step.index for step in trace.steps]
    assert trace.preview(0).size == (grid.width, grid.height)
    predicted, last = seen[-1][:2]
    assert not torch.equal(predicted[0].numbers, predicted[1].numbers)
    if (
        "FlowMatchEuler" in type(pipe.scheduler).__name__
    ):  # its last step goes all the way to what is predicted
        torch.testing.assert_close(predicted[1].numbers, last.numbers, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("case", [case for case in CASES if case.frames > 1], ids=str)
def test_videos_are_refused_by_name(tmp_path, case):
    pipe = case.make(tmp_path)
    with pytest.raises(attnscope.errors.CaptureError, match="of pictures, and this run makes a video"):
        with attnscope.capture(pipe, previews=True):
            case.run(pipe, [PROMPT], output_type="latent")
