"""The bytes that are told before a run are those that the run takes."""

import pytest

import attnscope
from attnscope.errors import ParameterError

PROMPT = "a red cat"


def taken(trace):
    projections = sum(projection.nbytes for projection in trace.records.projections.values())
    previews = sum(3 * each.width * each.height for of in trace.previews.values() for each in of)
    return (
        projections
        + previews
        + sum(
            tensor.numel() * tensor.element_size()
            for step in trace.steps
            for layer in trace.layers
            for tensor in trace.record(block=layer.block, kind=layer.kind, step=step.index).tensors.values()
        )
    )


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2])
def test_every_policys_call_takes_the_bytes_that_it_says(pipe, batch):
    plan = attnscope.estimate(pipe, steps=11, batch=batch, size=(128, 64))
    assert len(plan) == 11
    for policy in plan[:-1]:
        with eval(
            policy.call, {"pipe": pipe, "capture": attnscope.capture, "Reduced": attnscope.Reduced}
        ) as trace:
            pipe(
                PROMPT,
                height=128,
                width=64,
                num_images_per_prompt=batch,
                num_inference_steps=11,
                output_type="pil" if "previews" in policy.call else "latent",
            )
        maps = [value for kept in trace.reduced.values() for value in kept.maps.values()]
        held = taken(trace) + sum(value.numel() * value.element_size() for value in maps)
        assert held == policy.run_bytes, policy.name


def test_the_figures_of_stable_diffusion_v1():
    whole, *_, materialised = attnscope.estimate("sd1", steps=50)
    assert whole.step_bytes == pytest.approx(142e6, rel=0.01)
    assert materialised.step_bytes == pytest.approx(2.9e9, rel=0.02)
    assert attnscope.estimate("sd1", itemsize=4)[0].run_bytes == 2 * whole.run_bytes


def test_without_guidance_there_is_no_branch_to_leave_out():
    calls = [policy.call for policy in attnscope.estimate("sd1", guidance=False)]
    assert not any("branch" in call for call in calls)


@pytest.mark.parametrize("steps", [0, -1, 2.5, True])
def test_impossible_steps_are_refused(steps):
    with pytest.raises(ParameterError, match="steps="):
        attnscope.estimate("sd1", steps=steps)


@pytest.mark.parametrize(("model", "px"), [("sd1", 64 * 64), ("sdxl", 128 * 128), ("flux", 64 * 64)])
def test_previews_have_a_pixel_for_each_place_of_the_latent_or_each_patch(model, px):
    policies = {policy.call: policy for policy in attnscope.estimate(model, steps=3)}
    more = policies["capture(pipe, previews=True)"].run_bytes - policies["capture(pipe)"].run_bytes
    assert more == 3 * 3 * px


def test_previews_are_small_whatever_the_picture():
    policies = {policy.call: policy for policy in attnscope.estimate("sd1", steps=1, size=(4096, 2048))}
    more = policies["capture(pipe, previews=True)"].run_bytes - policies["capture(pipe)"].run_bytes
    assert more == 3 * 128 * 64
