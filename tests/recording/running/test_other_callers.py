"""Whoever else calls a captured model has passes of its own: another pipeline, a callback, a loop by hand, a thread."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from threading import Barrier

import pytest
import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)
from pass_cases import alone, same_attention
from PIL import Image

import attnscope
from attnscope.errors import CaptureError
from capture_cases import PROMPT, leftovers, run
from pipeline_zoo import OwnGuidance


def test_another_pipeline_of_the_same_parts_is_known_and_a_pass_of_its_own(pipe, seeded):
    again = StableDiffusionImg2ImgPipeline(**pipe.components)
    again.set_progress_bar_config(disable=True)
    options = {"image": Image.new("RGB", (96, 64), (200, 30, 40)), "strength": 0.5, "num_inference_steps": 4}
    plain = run(again, seeded, prompt="the star", **options)
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded)
        picture = run(again, seeded, prompt="the star", **options)
        run(again, seeded, prompt="on the grass", **options)
    assert torch.equal(picture, plain)
    with attnscope.capture(again) as alone_again:
        run(again, seeded, prompt="the star", **options)
    first, second, third = trace.passes
    assert [one.prompt() for one in trace.passes] == [PROMPT, "the star", "on the grass"]
    assert second.tokens() == alone_again.tokens()
    assert same_attention(first, alone(pipe, seeded))
    assert same_attention(second, alone_again)
    assert second.run.pipeline == "StableDiffusionImg2ImgPipeline"
    assert third.branches == ("uncond", "cond")
    assert not leftovers(pipe) + leftovers(again)


def test_a_pipeline_around_a_captured_model_is_known(pipe, seeded):
    options = {"prompt": ["the star", "a cat"], "negative_prompt": ["grass"] * 2, "num_images_per_prompt": 2}
    with attnscope.capture(pipe.unet) as trace:
        run(pipe, seeded, **options)
    with attnscope.capture(pipe) as watched:
        run(pipe, seeded, **options)
    assert same_attention(trace, watched)
    assert trace.run.prompts == watched.run.prompts == ["the star"] * 2 + ["a cat"] * 2
    assert trace.run.negative_prompts == watched.run.negative_prompts
    assert trace.run.tokens == watched.run.tokens
    assert not leftovers(pipe)


def test_a_pipeline_that_nothing_tells_of_is_refused_with_a_remedy_that_works(pipe):
    """Its rows would be taken for images, or for those of the run before."""
    own, text = OwnGuidance(**pipe.components), torch.randn(2, 77, 16)
    message = r"a OwnGuidance calls the captured U-Net, but this capture does not watch it.*branches="
    for model in (pipe, pipe.unet):
        with pytest.raises(CaptureError, match=message), attnscope.capture(model):
            own(2, text)
        with attnscope.capture(model, branches=("uncond", "cond")) as trace:
            own(2, text)
        assert trace.branches == ("uncond", "cond")
    assert not leftovers(pipe) + leftovers(own)


def test_a_run_inside_the_same_pipelines_callback_is_a_pass_of_its_own(pipe, seeded):
    def nest(pipeline, step, timestep, tensors):
        if step == 0:
            scheduler, pipe.scheduler = pipe.scheduler, deepcopy(pipe.scheduler)
            run(pipeline, seeded, prompt="the star", num_inference_steps=3)
            pipe.scheduler = scheduler
        return tensors

    options = {"num_inference_steps": 3, "callback_on_step_end": nest}
    plain = run(pipe, seeded, **options)
    with attnscope.capture(pipe, kind="cross") as trace:
        assert torch.equal(run(pipe, seeded, **options), plain)
    with attnscope.capture(pipe, kind="cross") as by_itself:
        run(pipe, seeded, prompt="the star", num_inference_steps=3)
    outer, inner = trace.passes
    assert (outer.prompt(), inner.prompt()) == (PROMPT, "the star")
    assert (len(outer.steps), len(inner.steps)) == (3, 3)
    assert all(len(step.calls) == 1 for step in (*outer.steps, *inner.steps))
    assert same_attention(inner, by_itself)


def test_the_model_called_by_hand_after_the_pipeline_is_a_pass_of_its_own(pipe, seeded):
    text = torch.randn(1, 77, 16)
    with torch.no_grad(), attnscope.capture(pipe, kind="cross", blocks=1) as trace:
        run(pipe, seeded)
        pipe.unet(torch.zeros(1, 4, 16, 16), pipe.scheduler.timesteps[-1], encoder_hidden_states=text)
        run(pipe, seeded, prompt="the star")
        pipe.unet(torch.zeros(1, 4, 16, 16), 3, encoder_hidden_states=text)
    assert [len(one.steps) for one in trace.passes] == [2, 1, 2, 1]
    assert [one.prompt() for one in trace.passes] == [PROMPT, "", "the star", ""]
    assert all(len(step.calls) == 1 for one in trace.passes for step in one.steps)
    message = r"called by hand with a batch of 2 row"
    with pytest.raises(CaptureError, match=message), torch.no_grad(), attnscope.capture(pipe):
        run(pipe, seeded)
        pipe.unet(torch.zeros(2, 4, 16, 16), 3, encoder_hidden_states=text.expand(2, -1, -1))


def test_a_loop_by_hand_is_known_by_what_the_pipeline_encoded(pipe):
    with torch.no_grad(), attnscope.capture(pipe, kind="cross", blocks=1) as trace:
        for prompt in ("a red cat", "the star"):
            text, no_text = pipe.encode_prompt(prompt, "cpu", 1, True, negative_prompt="grass")
            pipe.scheduler.set_timesteps(3)
            for timestep in pipe.scheduler.timesteps:
                both = torch.cat([no_text, text])
                pipe.unet(torch.zeros(2, 4, 16, 16), timestep, encoder_hidden_states=both)
    assert [one.prompt() for one in trace.passes] == ["a red cat", "the star"]
    assert [len(one.steps) for one in trace.passes] == [3, 3]
    assert all(one.branches == ("uncond", "cond") for one in trace.passes)


@pytest.mark.parametrize("order", [1, -1])
def test_a_schedule_that_starts_again_begins_a_pass(pipe, order):
    """As pipelines do that refine what they have made, or that make a plan first; -1 is an inversion by hand."""
    text = torch.randn(1, 77, 16)
    pipe.scheduler.set_timesteps(4)
    timesteps = list(pipe.scheduler.timesteps)[::order]
    with torch.no_grad(), attnscope.capture(pipe, kind="cross", blocks=1) as trace:
        for timestep in timesteps * 2:
            pipe.unet(torch.zeros(1, 4, 16, 16), timestep, encoder_hidden_states=text)
    times = [[(step.index, step.timestep) for step in one.steps] for one in trace.passes]
    assert times == [list(enumerate(map(float, timesteps)))] * 2


def in_a_thread(work):
    """Run something in another thread, and raise here what it raises there."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_another_threads_run_of_the_same_model_passes_by(pipe, seeded):
    of_its_own = ("scheduler", "tokenizer")  # neither takes two threads
    other = StableDiffusionPipeline(
        **pipe.components | {name: deepcopy(getattr(pipe, name)) for name in of_its_own}
    )
    other.set_progress_bar_config(disable=True)
    plain = run(other, seeded, prompt="the star", num_inference_steps=3)
    made, inside = [], Barrier(2, timeout=20)

    def meet(pipeline, step, timestep, tensors):
        inside.wait()  # both are in the middle of their runs, and go on together
        return tensors

    def others_run():
        options = {"num_inference_steps": 3, "callback_on_step_end": meet}
        made.append(run(other, seeded, prompt="the star", **options))

    with ThreadPoolExecutor(1) as pool, attnscope.capture(pipe) as trace:
        run_there = pool.submit(others_run)
        picture = run(pipe, seeded, num_inference_steps=3, callback_on_step_end=meet)
        run_there.result()
    assert torch.equal(made[0], plain)
    assert torch.equal(picture, run(pipe, seeded, num_inference_steps=3))
    with attnscope.capture(pipe) as by_itself:
        run(pipe, seeded, num_inference_steps=3)
    assert len(trace.passes) == 1
    assert same_attention(trace, by_itself)
    assert not leftovers(pipe) + leftovers(other)


def test_a_pipeline_that_runs_in_another_thread_than_its_capture_is_followed(pipe, seeded):
    with attnscope.capture(pipe, kind="cross") as trace:
        for prompt in ("the star", "a cat"):
            in_a_thread(lambda prompt=prompt: run(pipe, seeded, prompt=prompt))
        run(pipe, seeded)
    assert [one.prompt() for one in trace.passes] == ["the star", "a cat", PROMPT]


def test_a_model_that_ran_in_another_thread_only_is_said_to_have_done_so(pipe, seeded):
    other = StableDiffusionPipeline(**pipe.components)
    with pytest.raises(CaptureError, match="in another thread only"), attnscope.capture(pipe):
        in_a_thread(lambda: run(other, seeded))


def test_a_run_inside_another_ones_callback_leaves_the_outer_run_whole(pipe, seeded):
    inner = StableDiffusionPipeline(**pipe.components | {"scheduler": deepcopy(pipe.scheduler)})

    def nest(_, step, timestep, tensors):
        if step == 0:
            run(inner, seeded, prompt="the star")
        return tensors

    with attnscope.capture([pipe, inner], kind="cross") as trace:
        run(pipe, seeded, num_inference_steps=3, callback_on_step_end=nest)
    with attnscope.capture(pipe, kind="cross") as outer:
        run(pipe, seeded, num_inference_steps=3)
    with attnscope.capture(inner, kind="cross") as by_itself:
        run(inner, seeded, prompt="the star")
    assert [one.prompt() for one in trace.passes] == [PROMPT, "the star"]
    assert same_attention(trace.passes[0], outer)
    assert same_attention(trace.passes[1], by_itself)
