"""Several runs in one capture: each is a pass of its own, and nothing of one is in another."""

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
)
from pass_cases import alone, same_attention
from PIL import Image

import attnscope
from attnscope.errors import ParameterError, SelectionError
from attnscope.testing.made_traces import made_trace
from attnscope.testing.tiny_models import tiny_pipeline, tiny_unet
from capture_cases import PROMPT, leftovers, run


def test_two_calls_of_a_pipeline_are_two_passes_with_facts_of_their_own(pipe, seeded):
    small = {"prompt": "the star", "height": 64, "width": 96, "num_inference_steps": 3}
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded, generator=seeded(3), output_type="pil")
        run(pipe, seeded, generator=seeded(4), output_type="pil", **small)
    first, second = trace.passes
    assert [one.prompt() for one in trace.passes] == [PROMPT, "the star"]
    assert [len(one.steps) for one in trace.passes] == [2, 3]
    assert [one.run.planned_steps for one in trace.passes] == [2, 3]
    assert [one.run.seed for one in trace.passes] == [3, 4]
    assert [one.run.image_size_hw for one in trace.passes] == [(128, 128), (64, 96)]
    assert [one.picture.size for one in trace.passes] == [(128, 128), (96, 64)]
    assert same_attention(first, alone(pipe, seeded, generator=seeded(3)))
    assert same_attention(second, alone(pipe, seeded, generator=seeded(4), **small))
    assert not leftovers(pipe)


def test_a_trace_of_several_passes_asks_which_and_says_what_they_are(pipe, seeded):
    with attnscope.capture(pipe, kind="cross") as trace:
        run(pipe, seeded)
        run(pipe, seeded, prompt="the star")
    message = r"has 2 passes: say which one is meant. trace.passes\[0\] is <Trace 'a red cat and the star'.* 'the star'"
    for ask in (
        lambda: trace.probabilities(block=1, kind="cross"),
        lambda: attnscope.heat_map(trace, "star"),
        lambda: trace.steps,
        lambda: trace.words(),
    ):
        with pytest.raises(SelectionError, match=message):
            ask()
    assert repr(trace).startswith("<Trace of 2 passes: <Trace 'a red cat")
    assert attnscope.heat_map(trace.passes[1], "star").array.shape == (16, 16)


def test_a_trace_of_one_pass_is_its_own_pass(pipe, seeded):
    trace = alone(pipe, seeded)
    assert trace.passes == (trace,)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "options", [{}, {"budget": "30MB"}, {"where": "folder"}, {"where": "folder", "budget": "30MB"}]
)
def test_passes_are_kept_wherever_records_go(pipe, seeded, tmp_path, options):
    if "where" in options:
        options = {**options, "where": tmp_path / "run.trace"}
    keep = {"words": attnscope.Reduced("cross")}
    with attnscope.capture(pipe, keep=keep, **options) as trace:
        run(pipe, seeded, output_type="pil")
        run(pipe, seeded, prompt="the star", output_type="pil")
    with attnscope.capture(pipe, keep=keep) as second:
        run(pipe, seeded, prompt="the star", output_type="pil")
    traces = [trace] if "where" not in options else [trace, attnscope.load_trace(options["where"])]
    for each in traces:
        assert same_attention(each.passes[1], second)
        maps = each.passes[1].reduced["words"].map(block=1)
        assert torch.equal(maps, second.reduced["words"].map(block=1))
        assert not torch.equal(maps, each.passes[0].reduced["words"].map(block=1))
        assert np.array_equal(each.passes[1].picture, second.picture)
        assert each.passes[0].prompt() == PROMPT


def test_text_to_image_then_image_to_image_of_the_same_parts(pipe, seeded):
    again = StableDiffusionImg2ImgPipeline(**pipe.components)
    options = {"image": Image.new("RGB", (96, 64), (200, 30, 40)), "strength": 0.5, "num_inference_steps": 4}
    with attnscope.capture([pipe, again]) as trace:
        run(pipe, seeded)
        run(again, seeded, prompt="the star", **options)
    assert [one.run.pipeline for one in trace.passes] == [
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
    ]
    assert [one.prompt() for one in trace.passes] == [PROMPT, "the star"]
    assert [len(one.steps) for one in trace.passes] == [2, 2]
    with attnscope.capture(again) as alone_again:
        run(again, seeded, prompt="the star", **options)
    assert same_attention(trace.passes[1], alone_again)
    assert not leftovers(pipe) + leftovers(again)


def test_two_models_in_one_capture(pipe, seeded, tmp_path):
    refiner = tiny_pipeline(tmp_path)
    torch.manual_seed(5)
    refiner.unet = tiny_unet()
    with attnscope.capture([pipe, refiner], kind="cross") as trace:
        run(pipe, seeded)
        run(refiner, seeded, prompt="the star")
        run(pipe, seeded, prompt="grass")
    assert [one.prompt() for one in trace.passes] == [PROMPT, "the star", "grass"]
    with attnscope.capture(refiner, kind="cross") as by_itself:
        run(refiner, seeded, prompt="the star")
    assert same_attention(trace.passes[1], by_itself)
    assert not leftovers(pipe) + leftovers(refiner)


def test_a_bare_model_begins_a_pass_with_each_other_size():
    unet = tiny_unet()
    with torch.no_grad(), attnscope.capture(unet, kind="self") as trace:
        for size, step in ((16, 0), (16, 1), (8, 0)):
            unet(torch.zeros(1, 4, size, size), 900 - step, encoder_hidden_states=torch.zeros(1, 5, 16))
    assert [len(one.steps) for one in trace.passes] == [2, 1]
    assert [one.run.latent_size_hw for one in trace.passes] == [(16, 16), (8, 8)]


def test_a_latent_that_grows_within_a_call_begins_a_pass_with_the_same_prompt(pipe, seeded):
    """As where a pipeline refines its own result; the seed and the picture are those of the call, too."""

    def grow(pipe, step, timestep, tensors):
        latents = tensors["latents"]
        larger = torch.nn.functional.interpolate(latents, scale_factor=2.0) if step == 0 else latents
        return {"latents": larger}

    with attnscope.capture(pipe, kind="cross") as trace:
        run(pipe, seeded, num_inference_steps=3, generator=seeded(3), callback_on_step_end=grow)
    first, second = trace.passes
    assert [one.prompt() for one in trace.passes] == [PROMPT, PROMPT]
    assert [one.run.seed for one in trace.passes] == [3, 3]
    assert [one.run.latent_size_hw for one in trace.passes] == [(16, 16), (32, 32)]
    assert [one.run.image_size_hw for one in trace.passes] == [(128, 128), (256, 256)]
    assert [len(one.steps) for one in trace.passes] == [1, 2]
    assert second.branches == first.branches == ("uncond", "cond")
    assert attnscope.heat_map(second, "star").array.shape == (32, 32)


def test_a_later_pass_that_lacks_the_wanted_steps_runs_on_and_is_said(pipe, seeded):
    def two_runs():
        with attnscope.capture(pipe, steps=[1, -2]) as trace:
            run(pipe, seeded, num_inference_steps=4)
            run(pipe, seeded, num_inference_steps=1)
        return trace

    with pytest.warns(UserWarning, match="pass 1: steps 1 never came"):
        trace = two_runs()
    assert [[step.index for step in one.steps] for one in trace.passes] == [[1, 2], []]


def test_no_q_and_k_on_request(pipe, seeded):
    with attnscope.capture(pipe, qk=False, keep={"words": attnscope.Reduced("cross")}) as trace:
        run(pipe, seeded)
    assert (trace.calls, trace.reduced["words"].steps) == ((), (0, 1))
    with pytest.raises(ParameterError, match="qk=False keeps no Q and K, so there is nothing to record"):
        attnscope.capture(pipe, qk=False)


def test_a_folder_may_be_called_so(pipe, seeded, tmp_path):
    with attnscope.capture(pipe, kind="cross", folder=tmp_path / "run.trace") as trace:
        run(pipe, seeded)
    assert same_attention(attnscope.load_trace(tmp_path / "run.trace"), trace)
    with pytest.raises(ParameterError, match="both say where steps go"):
        attnscope.capture(pipe, folder=tmp_path / "other.trace", where="device")


def test_two_models_in_turns_are_two_passes():
    one, other = tiny_unet(), tiny_unet()
    with torch.no_grad(), attnscope.capture([one, other], blocks=1) as trace:
        for timestep in (900, 800):
            for unet in (one, other):
                unet(torch.zeros(1, 4, 16, 16), timestep, encoder_hidden_states=torch.zeros(1, 5, 16))
    assert [[step.timestep for step in of_model.steps] for of_model in trace.passes] == [[900.0, 800.0]] * 2


def test_nothing_of_a_call_that_failed_stays_for_the_next_one(pipe, seeded, monkeypatch):
    with attnscope.capture(pipe, kind="cross") as trace:
        with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="broken"):
            patched.setattr(
                pipe, "prepare_extra_step_kwargs", lambda *_: (_ for _ in ()).throw(RuntimeError("broken"))
            )
            run(pipe, seeded, generator=seeded(5))
        run(pipe, seeded, prompt="the star", generator=None)
    assert (len(trace.passes), trace.prompt(), trace.run.seed) == (1, "the star", None)


def test_a_capture_may_be_used_again_and_knows_nothing_of_the_first_time(pipe, seeded):
    capture = attnscope.capture(pipe, kind="cross")
    with capture as first:
        run(pipe, seeded)
    with capture as second:
        assert second.run.prompts == []
        run(pipe, seeded, prompt="the star")
    assert (first.prompt(), second.prompt()) == (PROMPT, "the star")


def test_a_refused_capture_leaves_no_folder(pipe, seeded, tmp_path):
    for choice in ({"steps": [99]}, {"branch": "cnod"}):
        with pytest.raises(SelectionError), attnscope.capture(pipe, folder=tmp_path / "run.trace", **choice):
            run(pipe, seeded)
        assert not (tmp_path / "run.trace").exists()


def test_a_later_pass_without_the_wanted_branch_runs_on(pipe, seeded):
    keep = {"words": attnscope.Reduced("cross", branch="uncond")}
    with attnscope.capture(pipe, kind="cross", branch="uncond", keep=keep) as trace:
        run(pipe, seeded)
        run(pipe, seeded, guidance_scale=1.0)
    assert [len(one.steps) for one in trace.passes] == [2, 0]
    with pytest.raises(SelectionError, match="reduced maps 'words': no step was added to them"):
        attnscope.heat_map(trace.passes[1], 2, reduced="words")
    with pytest.raises(SelectionError, match="holds no Q and K: none of its steps was captured"):
        attnscope.heat_map(trace.passes[1], "star")


def test_steps_that_reduced_maps_lack_are_said(pipe, seeded):
    def stop(pipeline, step, timestep, tensors):
        pipeline._interrupt = True
        return tensors

    def stopped():
        with attnscope.capture(pipe, qk=False, keep={"words": attnscope.Reduced("cross")}):
            run(pipe, seeded, num_inference_steps=3, callback_on_step_end=stop)

    with pytest.warns(UserWarning, match="steps 1 to 2 never came"):
        stopped()


def test_a_trace_of_nothing_is_not_saved_over_another(pipe, tmp_path):
    folder = made_trace().save(tmp_path / "good.trace")
    with pytest.raises(ValueError, match="callback_steps|prompt"), attnscope.capture(pipe) as trace:
        pipe(123)
    assert repr(trace) == "<Trace: nothing has run yet>"
    with pytest.raises(SelectionError, match="nothing to save"):
        trace.save(folder, overwrite=True)
    assert attnscope.load_trace(folder).prompt() == "red cat"
