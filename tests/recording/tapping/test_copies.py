"""A watched pipeline that is copied, pickled, saved or moved: the copy is not watched, and works as the original."""

from __future__ import annotations

import copy
import gc
import io
import pickle

import pytest
import torch
from diffusers import AutoPipelineForImage2Image, StableDiffusionPipeline

from attnscope import capture
from attnscope.recording.tapping.watching import WatchedMethod
from attnscope.testing.tiny_models import tiny_pipeline
from capture_cases import leftovers, run


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


def saved_by_torch(thing):
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = [copy.deepcopy, pickled, saved_by_torch]


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    """One of their own: asked for all layers, a text encoder of transformers gets hooks that no pickle takes."""
    return tiny_pipeline(tmp_path_factory.mktemp("copied"))


def facts(trace):
    return len(trace.calls), list(trace.run.prompts), len(trace.run.pictures), len(trace.passes), repr(trace)


@pytest.mark.thorough
@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("when", ["before a run", "after a run"])
def test_a_copy_runs_alike_and_never_writes_into_the_trace(pipe, seeded, copied, when):
    plain = run(pipe, seeded)
    with capture(pipe) as trace:
        if when == "before a run":
            twin = copied(pipe)
            picture = run(pipe, seeded)
        else:
            picture = run(pipe, seeded)
            twin = copied(pipe)
        known = facts(trace)
        twin.set_progress_bar_config(disable=True)
        inside = run(twin, seeded)
        assert facts(trace) == known
        record = trace.record(block=1, kind="cross").query.clone()
    afterwards = run(twin, seeded, prompt="a star")
    assert facts(trace) == known
    assert torch.equal(trace.record(block=1, kind="cross").query, record)
    assert torch.equal(picture, plain)
    assert torch.equal(inside, plain)
    assert not torch.equal(afterwards, plain)
    assert leftovers(pipe) == []


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_holds_nothing_of_the_capture(pipe, seeded, copied):
    with capture(pipe) as trace:
        twin = copied(pipe)
        run(pipe, seeded)
    del trace
    held, seen = [twin.unet, twin, twin.image_processor], set()
    while held:
        thing = held.pop()
        if id(thing) in seen or isinstance(thing, (type, torch.Tensor)) or hasattr(thing, "__globals__"):
            continue
        seen.add(id(thing))
        assert not isinstance(thing, WatchedMethod)
        assert not type(thing).__module__.startswith("attnscope")
        held += gc.get_referents(thing)
    assert len(seen) > 500


@pytest.mark.thorough
@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_can_be_captured_at_once(pipe, seeded, copied):
    with capture(pipe) as first:
        run(pipe, seeded)
        twin = copied(pipe)
        twin.set_progress_bar_config(disable=True)
        with capture(twin) as second:
            run(twin, seeded)
    assert torch.equal(first.record(block=3, kind="self").key, second.record(block=3, kind="self").key)
    assert second.run.prompts == first.run.prompts
    again = copied(twin)
    with capture(again) as third:
        run(again, seeded)
    assert third.run.prompts == first.run.prompts


@pytest.mark.parametrize("copied", COPIES)
def test_a_part_can_be_copied_alone_and_in_the_middle_of_a_run(pipe, seeded, copied):
    plain, twins = run(pipe, seeded), []

    def copy_unet(pipeline, step, timestep, tensors):
        twins.append(
            (copied(pipeline.unet), copied(pipeline.image_processor), copied(pipeline.encode_prompt))
        )
        return tensors

    with capture(pipe) as trace:
        assert torch.equal(run(pipe, seeded, callback_on_step_end=copy_unet), plain)
        sample, text = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 16)
        outputs = [unet(sample, 5, text).sample for unet, _, _ in twins]
    assert len(trace.calls) == 2
    assert len(trace.passes) == 1
    with torch.no_grad():
        assert torch.equal(outputs[0], pipe.unet(sample, 5, text).sample)
    assert torch.equal(
        twins[0][2]("a cat", "cpu", 1, False)[0], pipe.encode_prompt("a cat", "cpu", 1, False)[0]
    )


def test_a_watched_pipeline_is_saved_as_it_is(pipe, seeded, tmp_path):
    with capture(pipe) as trace:
        run(pipe, seeded)
        pipe.save_pretrained(tmp_path / "watched")
        pipe.to(torch.float32)
    loaded = StableDiffusionPipeline.from_pretrained(tmp_path / "watched", safety_checker=None)
    loaded.set_progress_bar_config(disable=True)
    assert torch.equal(run(loaded, seeded), run(pipe, seeded))
    assert len(trace.calls) == 2


def test_a_pipeline_made_from_a_watched_one_is_not_watched_itself(pipe):
    with capture(pipe) as trace:
        other = AutoPipelineForImage2Image.from_pipe(pipe)
        assert not any(isinstance(value, WatchedMethod) for value in vars(other).values())
        other("a cat", image=torch.rand(1, 3, 128, 128), num_inference_steps=2)  # it is known by its source
    assert (trace.prompt(), trace.run.pipeline) == ("a cat", "StableDiffusionImg2ImgPipeline")
    assert leftovers(pipe) + leftovers(other) == []


def test_a_shallow_copy_writes_nothing_once_the_capture_is_over(pipe, seeded):
    with capture(pipe) as trace:
        twin = copy.copy(pipe)
        run(pipe, seeded)
    known = facts(trace)
    run(twin, seeded, prompt="a star")
    assert facts(trace) == known


def test_somebodys_own_method_is_copied_and_stays(pipe, seeded):
    asked = []
    own = pipe.encode_prompt

    def spied(*args, **kwargs):
        asked.append(args)
        return own(*args, **kwargs)

    pipe.encode_prompt = spied
    try:
        with capture(pipe):
            run(pipe, seeded)
            twin = copy.deepcopy(pipe)
        assert pipe.encode_prompt is spied
        assert twin.encode_prompt is spied
        assert len(asked) == 1
    finally:
        del pipe.encode_prompt


def test_a_method_that_is_replaced_during_the_capture_is_left_alone(pipe, seeded):
    with capture(pipe):
        run(pipe, seeded)
        watched = pipe.encode_prompt
        pipe.encode_prompt = own = lambda *args, **kwargs: watched(*args, **kwargs)
    try:
        assert pipe.encode_prompt is own
        run(pipe, seeded)
    finally:
        del pipe.encode_prompt
