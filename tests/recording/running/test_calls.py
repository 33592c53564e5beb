"""Steps are what the scheduler counts; the calls of a step are kept apart."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import (
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPanoramaPipeline,
    StableDiffusionPipeline,
    StableDiffusionSAGPipeline,
)

import attnscope
from attnscope.errors import SelectionError
from attnscope.testing.tiny_models import tiny_unet
from capture_cases import run

OLD_NUMPY_HABITS = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # diffusers'


def with_scheduler(pipe, scheduler):
    """A pipeline of the same parts, as the other one is everybody's."""
    parts = pipe.components | {"scheduler": scheduler.from_config(pipe.scheduler.config)}
    return StableDiffusionPipeline(**parts)


@OLD_NUMPY_HABITS
def test_the_two_evaluations_of_heun_are_calls_of_one_step(pipe, seeded):
    pipe = with_scheduler(pipe, HeunDiscreteScheduler)
    with attnscope.capture(pipe, kind="cross") as trace:
        run(pipe, seeded, num_inference_steps=3)
    assert [[call.timestep for call in step.calls] for step in trace.steps] == [
        [float(t) for t in pair]
        for pair in (
            pipe.scheduler.timesteps[:2],
            pipe.scheduler.timesteps[2:4],
            pipe.scheduler.timesteps[4:],
        )
    ]
    assert trace.run.planned_steps == 3
    assert [call.index for call in trace.calls] == [0, 1, 2, 3, 4]
    first = trace.probabilities(block=1, kind="cross", step=1)
    assert torch.equal(first, trace.probabilities(block=1, kind="cross", step=1, call=0))
    assert not torch.equal(first, trace.probabilities(block=1, kind="cross", step=1, call=1))
    with pytest.raises(SelectionError, match="call 1: step 2 has calls 0 to 0"):
        trace.probabilities(block=1, kind="cross", call=1)


@OLD_NUMPY_HABITS
@pytest.mark.parametrize("scheduler", [PNDMScheduler, EulerDiscreteScheduler])
def test_as_many_steps_as_the_pipeline_counts(pipe, seeded, scheduler):
    """PNDM takes its second timestep twice: diffusers counts that as two."""
    pipe = with_scheduler(pipe, scheduler)
    with attnscope.capture(pipe, kind="cross") as trace:
        run(pipe, seeded, num_inference_steps=4)
    assert [step.timestep for step in trace.steps] == [float(t) for t in pipe.scheduler.timesteps]
    assert all(len(step.calls) == 1 for step in trace.steps)
    assert trace.run.planned_steps == len(pipe.scheduler.timesteps)


def test_sag_looks_twice_and_the_step_is_answered_by_its_first_look(pipe, seeded):
    parts = dict(pipe.components)
    sag = StableDiffusionSAGPipeline(**parts)
    with attnscope.capture(sag, kind="cross", keep={"words": attnscope.Reduced("cross")}) as trace:
        run(sag, seeded, sag_scale=0.7)
    assert [[len(call.rows) for call in step.calls] for step in trace.steps] == [[2, 1], [2, 1]]
    assert trace.branches == ("uncond", "cond")
    mean = trace.probabilities(block=1, kind="cross", branch="cond", image=0, mean=("step", "head"))
    torch.testing.assert_close(trace.reduced["words"].map(block=1), mean)


def test_views_of_a_panorama_are_asked_for_by_number(pipe, seeded):
    panorama = StableDiffusionPanoramaPipeline(**pipe.components)
    with attnscope.capture(panorama, kind="cross", branch="cond") as trace:
        run(panorama, seeded, height=128, width=1024, num_inference_steps=1)
    assert len(trace.steps) == 1
    assert len(trace.steps[0].views) == len(trace.calls) > 1
    with pytest.raises(
        SelectionError, match="calls of the model that look alike, such as the views of a panorama"
    ):
        attnscope.heat_map(trace, "star")
    assert trace.probabilities(block=1, kind="cross", call=1).shape[0] == 1


def test_reduced_maps_of_a_panorama_say_that_they_are_of_one_view(pipe, seeded):
    panorama = StableDiffusionPanoramaPipeline(**pipe.components)

    def reduced():
        with attnscope.capture(panorama, qk=False, keep={"words": attnscope.Reduced("cross")}) as trace:
            run(panorama, seeded, height=128, width=1024, num_inference_steps=1, output_type="pil")
        return trace

    with pytest.warns(
        UserWarning, match="steps 0 have several calls .*reduced maps hold the first of each step"
    ):
        trace = reduced()
    assert trace.run.image_size_hw == (128, 1024)


def test_calls_with_gradients_come_before_the_one_that_predicts():
    """As Attend-and-Excite does, through a pipeline that a capture can ask for its scheduler."""
    unet, text = tiny_unet(), torch.randn(1, 5, 16)
    scheduler = SimpleNamespace(order=1, timesteps=torch.tensor([900, 500]))
    pipe = SimpleNamespace(unet=unet, scheduler=scheduler)
    with attnscope.capture(pipe, kind="cross", keep={"words": attnscope.Reduced("cross")}) as trace:
        for timestep in scheduler.timesteps:
            for number in range(2):
                unet(torch.full((1, 4, 16, 16), float(number)), timestep, encoder_hidden_states=text)
            with torch.no_grad():
                unet(torch.full((1, 4, 16, 16), 5.0), timestep, encoder_hidden_states=text)
    assert [[call.gradients for call in step.calls] for step in trace.steps] == [[True, True, False]] * 2
    assert [step.main.index for step in trace.steps] == [2, 5]
    mean = trace.probabilities(block=1, kind="cross", image=0, branch="cond", mean=("step", "head"))
    torch.testing.assert_close(trace.reduced["words"].map(block=1), mean)
    assert not trace.record(block=1, kind="cross").query.requires_grad


def test_with_gradients_throughout_the_first_call_of_a_step_is_reduced():
    unet, text = tiny_unet(), torch.randn(1, 5, 16)
    with attnscope.capture(unet, kind="cross", keep={"words": attnscope.Reduced("cross")}) as trace:
        for timestep in (900, 500):
            unet(torch.zeros(1, 4, 16, 16), timestep, encoder_hidden_states=text)
    assert trace.reduced["words"].steps == (0, 1)
