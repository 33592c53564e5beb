"""Calls beside a step's own: with gradients, a second look, a callback's. They are in no mean, and are said."""

import pytest
import torch
from diffusers import (
    StableDiffusionSAGPipeline,
)
from step_cases import counted

import attnscope
from attnscope.recording.running.passes import IncompleteCaptureWarning
from capture_cases import run
from pipeline_zoo import made

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:torch.meshgrid"
)


@pytest.fixture
def excited(pipe):
    processors = dict(pipe.unet.attn_processors)
    yield made("StableDiffusionAttendAndExcitePipeline", pipe)
    pipe.unet.set_attn_processor(processors)
    pipe.unet.requires_grad_(True)


@pytest.mark.thorough
@pytest.mark.parametrize("thresholds", [{}, pytest.param({0: 0.99}, marks=pytest.mark.slow)])
def test_attend_and_excite_has_one_record_a_step_in_every_mean(excited, seeded, thresholds):
    options = {
        "token_indices": [3], "max_iter_to_alter": 3, "thresholds": thresholds, "attn_res": (4, 4),
        "num_inference_steps": 3,
    }  # fmt: skip
    keep = {"words": attnscope.Reduced("cross")}
    with counted(excited) as (calls, updates):
        plain = run(excited, seeded, **options)
    with attnscope.capture(excited, kind="cross", blocks=[1, 7], keep=keep) as trace:
        assert torch.equal(run(excited, seeded, **options), plain)
    assert len(trace.steps) == len(updates) == 3
    assert len(trace.calls) == len(calls) >= 6
    assert all([call.gradients for call in step.calls][-1] is False for step in trace.steps)
    chosen = {"block": 1, "kind": "cross", "image": 0, "mean": "head"}
    of_steps = [
        trace.probabilities(step=step.index, call=len(step.calls) - 1, branch="cond", **chosen)
        for step in trace.steps
    ]
    mean = trace.probabilities(branch="cond", **{**chosen, "mean": ("step", "head")})
    torch.testing.assert_close(mean, torch.stack(of_steps).mean(0))
    torch.testing.assert_close(trace.reduced["words"].map(block=1), mean)
    first = trace.probabilities(step=0, call=0, branch="cond", **chosen)
    assert not torch.equal(first, of_steps[0])
    assert trace.branches == ("uncond", "cond")


def test_gradients_of_attend_and_excite_are_of_one_image_after_the_other(excited, seeded):
    """Both images have the same text, so their embeddings do not tell them apart."""
    options = {"token_indices": [3], "max_iter_to_alter": 1, "thresholds": {}, "attn_res": (4, 4)}
    with attnscope.capture(excited, kind="cross", blocks=1) as trace:
        run(excited, seeded, num_images_per_prompt=2, num_inference_steps=1, **options)
    calls = trace.steps[0].calls
    assert [[(row.branch, row.image) for row in call.rows] for call in calls] == [
        [("cond", 0)],
        [("cond", 1)],
        [("uncond", 0), ("uncond", 1), ("cond", 0), ("cond", 1)],
    ]


def test_a_branch_that_extra_calls_lack_is_kept_of_those_that_have_it(excited, seeded):
    options = {"token_indices": [3], "max_iter_to_alter": 1, "thresholds": {}, "attn_res": (4, 4)}
    with attnscope.capture(excited, kind="cross", branch="uncond") as trace:
        run(excited, seeded, **options)
    assert [len(step.calls) for step in trace.steps] == [1, 1]
    assert trace.branches == ("uncond",)


@pytest.mark.parametrize("scale", [5.0, 1.0])
def test_the_second_look_of_sag_is_in_no_mean(pipe, seeded, scale):
    sag = StableDiffusionSAGPipeline(**pipe.components)
    sag.set_progress_bar_config(disable=True)
    options = {"sag_scale": 0.7, "guidance_scale": scale, "num_inference_steps": 3}
    with attnscope.capture(sag, kind="cross", blocks=1, keep={"words": attnscope.Reduced("cross")}) as trace:
        run(sag, seeded, **options)
    assert [[call.extra for call in step.calls] for step in trace.steps] == [[False, True]] * 3
    chosen = {"block": 1, "kind": "cross", "branch": "cond", "image": 0}
    mean = trace.probabilities(mean=("step", "head"), **chosen)
    torch.testing.assert_close(mean, trace.probabilities(call=0, mean=("step", "head"), **chosen))
    torch.testing.assert_close(trace.reduced["words"].map(block=1), mean)
    second = chosen | {"branch": "uncond" if scale > 1 else "cond"}
    assert not torch.equal(
        trace.probabilities(call=1, mean=("step", "head"), **second),
        trace.probabilities(call=0, mean=("step", "head"), **second),
    )


@pytest.mark.parametrize("rows", [1, 2])
def test_a_callbacks_calls_are_kept_apart_and_said(pipe, seeded, tmp_path, rows):
    def look(pipeline, step, timestep, tensors):
        text = tensors["prompt_embeds"][-rows:]
        pipeline.unet(tensors["latents"].expand(rows, -1, -1, -1), timestep, encoder_hidden_states=text)
        return tensors

    options = {
        "num_inference_steps": 3, "callback_on_step_end": look,
        "callback_on_step_end_tensor_inputs": ["latents", "prompt_embeds"],
    }  # fmt: skip
    plain = run(pipe, seeded, **options)
    with attnscope.capture(pipe, kind="cross", blocks=1) as usual:
        run(pipe, seeded, num_inference_steps=3)
    with pytest.warns(IncompleteCaptureWarning, match="a callback called the model in steps 0 to 2, besides"):
        with attnscope.capture(pipe, kind="cross", blocks=1) as trace:
            assert torch.equal(run(pipe, seeded, **options), plain)
    assert [[call.extra for call in step.calls] for step in trace.steps] == [[False, True]] * 3
    chosen = {"block": 1, "kind": "cross", "branch": "cond", "image": 0, "mean": ("step", "head")}
    assert trace.probabilities(**chosen).equal(usual.probabilities(**chosen))
    assert not trace.probabilities(call=1, **chosen).equal(usual.probabilities(**chosen))
    loaded = attnscope.load_trace(trace.save(tmp_path / "run.trace"))
    assert loaded.steps == trace.steps


@pytest.mark.parametrize(
    "size", [(2, 4, 16, 16), (1, 4, 24, 16)], ids=["rows that nothing names", "another size"]
)
def test_a_callbacks_calls_that_nothing_explains_do_not_stop_the_run(pipe, seeded, size):
    def look(pipeline, step, timestep, tensors):
        pipeline.unet(torch.zeros(size), timestep, encoder_hidden_states=torch.zeros(size[0], 77, 16))
        return tensors

    with attnscope.capture(pipe, kind="cross") as usual:
        plain = run(pipe, seeded)
    with pytest.warns(IncompleteCaptureWarning, match="steps 0 to 1 with rows that nothing names"):
        with attnscope.capture(pipe, kind="cross") as trace:
            assert torch.equal(run(pipe, seeded, callback_on_step_end=look), plain)
    assert trace.steps == usual.steps
