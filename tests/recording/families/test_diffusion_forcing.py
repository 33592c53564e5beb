"""Frames with timesteps of their own: those that are given have none, and SkyReels V2 may make them one by one."""

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import attnscope
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.testing.transformers import tiny_skyreels2, tiny_wan
from attnscope.testing.transformers.parts import T5_KEYS, quiet
from transformer_cases import HEIGHT, PROMPT, WIDTH, without_ftfy

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))


@pytest.fixture
def forcing(tmp_path):
    """Makes a pipeline of diffusion forcing."""

    def made(name, module):
        without_ftfy(f"skyreels_v2.pipeline_skyreels_v2_diffusion_forcing{module}")
        parts = tiny_skyreels2(tmp_path).components
        scheduler = diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
        return quiet(getattr(diffusers, name)(**{**parts, "scheduler": scheduler}))

    return made


def run(pipe, **options):
    settings = {
        "height": HEIGHT, "width": WIDTH, "num_frames": 9, "num_inference_steps": 3, "output_type": "np",
        "max_sequence_length": T5_KEYS, "generator": torch.Generator().manual_seed(0), **options,
    }  # fmt: skip
    return pipe(prompt=PROMPT, **settings).frames


def made_of(trace):
    return [(call.step, [row.branch for row in call.rows], call.timestep) for call in trace.calls]


@pytest.mark.filterwarnings("error::attnscope.recording.running.passes.IncompleteCaptureWarning")
def test_the_step_is_that_of_the_frames_that_are_made(forcing):
    pipe = forcing("SkyReelsV2DiffusionForcingImageToVideoPipeline", "_i2v")
    with attnscope.capture(pipe, kind="cross") as trace:
        run(pipe, image=PICTURE, base_num_frames=9)
    timesteps = pipe.scheduler.timesteps.tolist()
    assert made_of(trace) == [
        (step, [branch], timestep) for step, timestep in enumerate(timesteps) for branch in ("cond", "uncond")
    ]


def test_calls_of_frames_at_different_timesteps_are_of_no_step(forcing):
    pipe = forcing("SkyReelsV2DiffusionForcingPipeline", "")
    plain = run(pipe, base_num_frames=9, ar_step=1)
    said = r"steps 0 to 1 are not in the trace, because frames of one call stand at different timesteps \(667, 999\)"
    with pytest.warns(IncompleteCaptureWarning, match=said), attnscope.capture(pipe, kind="cross") as trace:
        watched = run(pipe, base_num_frames=9, ar_step=1)
    assert np.array_equal(plain, watched)
    assert made_of(trace) == [
        (step, [branch], timestep)
        for step, timestep in ((0, 999.0), (2, 333.0))
        for branch in ("cond", "uncond")
    ]
    with attnscope.capture(pipe, kind="cross") as trace:
        run(pipe, base_num_frames=9, ar_step=0)  # what the warning asks for
    assert [step.index for step in trace.steps] == [0, 1, 2]


def test_by_hand_a_timestep_of_the_places_is_that_of_the_noisiest(tmp_path):
    """As the 5B model of Wan 2.2 gets them, with a first frame that is given."""
    model = tiny_wan(tmp_path).transformer
    text = torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(0))
    latents = torch.randn(1, 4, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    with attnscope.capture(model, branches=["cond"]) as trace, torch.no_grad():
        for timestep in (900.0, 500.0):
            of_places = torch.cat([torch.zeros(1, 16), torch.full((1, 16), timestep)], 1)
            model(latents, of_places, text)
    assert [call.timestep for call in trace.calls] == [900.0, 500.0]
