"""Steps against an independent truth: the U-Net's calls by a hook of ours, and what the progress bar counts."""

from contextlib import contextmanager
from types import SimpleNamespace

import diffusers
import pytest
import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    StableDiffusionSAGPipeline,
)

import attnscope
from attnscope.errors import SelectionError
from attnscope.recording.passes import IncompleteCaptureWarning
from attnscope.recording.schedule import Schedule
from attnscope.trace.step_rows import PartialMeanWarning
from capture_cases import PROMPT, leftovers, run
from pipeline_zoo import PHOTO, made, of_same_parts

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:torch.meshgrid"
)


@contextmanager
def counted(pipe):
    """(timesteps of the U-Net's calls, updates of the progress bar) of what runs inside."""
    calls, updates, bar = [], [], pipe.progress_bar
    handle = pipe.unet.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(float(torch.as_tensor(args[1]).flatten()[0])),
        with_kwargs=True,
    )

    def watched_bar(*args, **kwargs):
        inner = bar(*args, **kwargs)
        update = inner.update
        inner.update = lambda n=1: (updates.append(n), update(n))
        return inner

    pipe.progress_bar = watched_bar
    try:
        yield calls, updates
    finally:
        handle.remove()
        del pipe.progress_bar


def check(pipe, seeded, one_call_a_step=True, **options):
    with counted(pipe) as (calls, updates):
        plain = run(pipe, seeded, **options)
    with attnscope.capture(pipe, kind="cross", blocks=1) as trace:
        picture = run(pipe, seeded, **options)
    assert torch.equal(picture, plain)
    assert [call.timestep for call in trace.calls] == calls
    assert [step.index for step in trace.steps] == list(range(len(trace.steps)))
    if one_call_a_step:
        assert len(trace.steps) == len(calls)
    assert trace.run.planned_steps == len(trace.steps)
    assert not leftovers(pipe)
    return trace, updates


SCHEDULERS = [
    "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "LCMScheduler",
    "LMSDiscreteScheduler", "PNDMScheduler", "SASolverScheduler", "TCDScheduler", "UniPCMultistepScheduler",
]  # fmt: skip
OF_ORDER_2 = ["HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler"]


def scheduled(pipe, name, kind=StableDiffusionPipeline, **options):
    options |= {"skip_prk_steps": True} if name == "PNDMScheduler" else {}
    scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config, **options)
    other = kind(**pipe.components | {"scheduler": scheduler})
    other.set_progress_bar_config(disable=True)
    return other


@pytest.mark.parametrize("name", SCHEDULERS)
def test_each_call_is_a_step(pipe, seeded, name):
    trace, updates = check(scheduled(pipe, name), seeded, num_inference_steps=4)
    warm_up = name == "PNDMScheduler"  # its second timestep comes twice, and the bar counts that once
    assert len(trace.steps) == len(updates) + warm_up


@pytest.mark.parametrize("name", OF_ORDER_2)
def test_two_calls_are_a_step(pipe, seeded, name):
    trace, updates = check(scheduled(pipe, name), seeded, one_call_a_step=False, num_inference_steps=4)
    assert [len(step.calls) for step in trace.steps] == [2, 2, 2, 1]
    assert len(updates) == 4


@pytest.mark.parametrize("name", ["DDIMScheduler", "PNDMScheduler", *OF_ORDER_2])
def test_image_to_image_takes_the_last_part_of_the_schedule(pipe, seeded, name):
    other = scheduled(pipe, name, StableDiffusionImg2ImgPipeline)
    options = {"image": PHOTO, "strength": 0.6, "num_inference_steps": 5}
    trace, _ = check(other, seeded, one_call_a_step=False, **options)
    warm_up = name == "PNDMScheduler"
    assert len(trace.steps) == 3 + warm_up
    assert len(trace.calls) == (5 if name in OF_ORDER_2 else 3 + warm_up)


def test_timesteps_of_the_users_own(pipe, seeded):
    other = scheduled(pipe, "DDPMScheduler")
    trace, _ = check(other, seeded, timesteps=[900, 500, 499, 10])
    assert [step.timestep for step in trace.steps] == [900.0, 500.0, 499.0, 10.0]
    sigmas, _ = check(scheduled(pipe, "EulerDiscreteScheduler"), seeded, sigmas=[9.0, 4.0, 0.5, 0.0])
    assert len(sigmas.steps) == 3


@pytest.mark.parametrize("name", ["DDIMScheduler", "HeunDiscreteScheduler"])
def test_the_last_step_alone_is_kept_and_saved(pipe, seeded, tmp_path, name):
    other = scheduled(pipe, name)
    with attnscope.capture(other, kind="cross", steps=[-1]) as trace:
        run(other, seeded, num_inference_steps=3)
    loaded = attnscope.load_trace(trace.save(tmp_path / "last.trace"))
    assert [step.index for step in loaded.steps] == [2]
    assert loaded.probabilities(block=1, kind="cross").equal(trace.probabilities(block=1, kind="cross"))


def test_timesteps_that_a_callback_sets_anew_do_not_move_the_steps(pipe, seeded):
    def set_anew(pipeline, step, timestep, tensors):
        if step == 1:
            pipeline.scheduler.set_timesteps(50)
        return tensors

    trace, _ = check(pipe, seeded, num_inference_steps=4, callback_on_step_end=set_anew)
    assert len(trace.steps) == 4


def test_free_u_and_an_interrupt_do_not_move_the_steps(pipe, seeded):
    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    try:
        check(pipe, seeded, num_inference_steps=3)
    finally:
        pipe.disable_freeu()

    def stop(pipeline, step, timestep, tensors):
        pipeline._interrupt = step == 1
        return tensors

    with pytest.warns(IncompleteCaptureWarning, match="steps 2 to 3 never came"):
        with attnscope.capture(pipe, kind="cross") as trace:
            run(pipe, seeded, num_inference_steps=4, callback_on_step_end=stop)
    assert [step.index for step in trace.steps] == [0, 1]


# Extra calls


@pytest.fixture
def excited(pipe):
    processors = dict(pipe.unet.attn_processors)
    yield made("StableDiffusionAttendAndExcitePipeline", pipe)
    pipe.unet.set_attn_processor(processors)
    pipe.unet.requires_grad_(True)


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


# Steps that lack something


def ends_guidance(after):
    def callback(pipeline, step, timestep, tensors):
        if step == after:
            pipeline._guidance_scale = 0.0
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[-1]
        return tensors

    return {"callback_on_step_end": callback, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}


def test_means_over_steps_leave_out_those_without_the_branch_and_say_so(pipe, seeded):
    keep = {name: attnscope.Reduced("cross", branch=name) for name in ("uncond", "cond")}
    with pytest.warns(
        IncompleteCaptureWarning, match="'uncond' are of steps 0 to 1: steps 2 to 3 lack the branch"
    ):
        with attnscope.capture(pipe, keep=keep) as trace:
            run(pipe, seeded, num_inference_steps=4, **ends_guidance(1))
    with attnscope.capture(pipe) as whole:
        run(pipe, seeded, num_inference_steps=4)
    chosen = {"block": 1, "kind": "cross", "image": 0, "mean": ("step", "head")}
    said = "mean over steps 0 to 1: steps 2 to 3 lack block 1 cross, or a row of branch 'uncond'"
    with pytest.warns(PartialMeanWarning, match=said):
        mean = trace.probabilities(branch="uncond", **chosen)
    torch.testing.assert_close(mean, whole.probabilities(branch="uncond", step=[0, 1], **chosen))
    torch.testing.assert_close(trace.reduced["uncond"].map(block=1), mean)
    assert trace.reduced["uncond"].steps == (0, 1)
    assert trace.reduced["cond"].steps == (0, 1, 2, 3)
    assert trace.probabilities(branch="cond", **chosen).shape == mean.shape  # without a warning
    with pytest.warns(PartialMeanWarning):
        both = trace.probabilities(**chosen | {"mean": ("step", "branch", "head")})
    torch.testing.assert_close(
        both, whole.probabilities(step=[0, 1], **chosen | {"mean": ("step", "branch", "head")})
    )
    with pytest.raises(
        SelectionError, match="steps 2 to 3 all lack block 1 cross, or a row of branch 'uncond'"
    ):
        trace.probabilities(branch="uncond", step=[2, 3], **chosen)
    with pytest.raises(SelectionError, match="step 2 has no row for branch 'uncond'"):
        trace.probabilities(branch="uncond", block=1, kind="cross")


def test_maps_and_segments_of_a_branch_that_ends_early(pipe, seeded):
    with attnscope.capture(pipe) as trace:
        run(pipe, seeded, num_inference_steps=4, **ends_guidance(1))
    with attnscope.capture(pipe) as whole:
        run(pipe, seeded, num_inference_steps=4)
    for preset in (None, "daam"):
        with pytest.warns(PartialMeanWarning):
            heat = attnscope.heat_map(trace, 3, branch="uncond", preset=preset)
        right = attnscope.heat_map(whole, 3, branch="uncond", preset=preset, steps=[0, 1])
        assert heat.array == pytest.approx(right.array, abs=1e-6)
    from attnscope.segmentation.evidence import aggregated_attention

    with pytest.warns(PartialMeanWarning, match="mean over steps 0 to 1"):
        own = aggregated_attention(trace, branch="uncond")
    torch.testing.assert_close(own, aggregated_attention(whole, branch="uncond", step=[0, 1]))
    with pytest.raises(SelectionError, match="all lack a row of branch 'uncond'"):
        aggregated_attention(trace, branch="uncond", step=[2, 3])


def test_a_layer_that_is_skipped_now_and_then_is_averaged_over_the_steps_that_have_it(pipe, seeded):
    """As DeepCache does: the middle of the U-Net runs in every second step."""
    middle, forward, kept, calls = pipe.unet.mid_block, pipe.unet.mid_block.forward, [], []

    def now_and_then(*args, **kwargs):
        calls.append(None)
        if len(calls) % 2:
            kept[:] = [forward(*args, **kwargs)]
        return kept[0]

    keep = {"grids": attnscope.Reduced("cross", per="grid"), "all": attnscope.Reduced("cross", per="all")}
    middle.forward = now_and_then
    try:
        with pytest.warns(IncompleteCaptureWarning):
            with attnscope.capture(pipe, keep=keep) as trace:
                run(pipe, seeded, num_inference_steps=4)
    finally:
        del middle.forward
    layer = next(layer for layer in trace.layers.of_kind("cross") if layer.stage == "mid")
    assert trace.steps_with(layer, "cond") == [0, 2]
    chosen = {"layer": layer, "branch": "cond", "image": 0, "mean": ("step", "head")}
    with pytest.warns(PartialMeanWarning, match="mean over steps 0, 2: steps 1, 3 lack"):
        mean = trace.probabilities(**chosen)
    torch.testing.assert_close(mean, trace.probabilities(step=[0, 2], **chosen))
    assert trace.reduced["all"].steps == (0, 2)
    assert trace.reduced["grids"].steps == (0, 2)


# Panorama


def test_views_of_a_panorama_are_never_averaged(pipe, seeded):
    panorama = of_same_parts("StableDiffusionPanoramaPipeline")(pipe)
    with attnscope.capture(panorama) as trace:
        run(panorama, seeded, height=128, width=576, num_inference_steps=1)
    assert len(trace.steps) == 1
    assert len(trace.steps[0].views) == 2
    finest = max(trace.layers, key=lambda layer: layer.grid.places)
    assert tuple(finest.grid) == trace.run.latent_size_hw == (16, 64)  # a view, not the panorama
    refused = [
        lambda: attnscope.heat_map(trace, "star"),
        lambda: attnscope.segment_trace(trace),
        lambda: trace.probabilities(block=1, kind="cross", mean="step"),
        lambda: trace.record(block=1, kind="cross"),
    ]
    for ask in refused:
        with pytest.raises(
            SelectionError,
            match="2 calls of the model that look alike.*choose one with call=|is not the shape of the",
        ):
            ask()
    one, other = (trace.probabilities(block=1, kind="cross", call=call) for call in (0, 1))
    assert not torch.equal(one, other)


def test_views_belong_to_their_steps(pipe, seeded):
    panorama = of_same_parts("StableDiffusionPanoramaPipeline")(pipe)
    with attnscope.capture(panorama, kind="cross", blocks=1) as trace:
        run(panorama, seeded, height=128, width=576, num_inference_steps=2)
    assert [len(step.views) for step in trace.steps] == [2, 2]


def test_an_entry_is_found_in_the_pipelines_own_list_where_the_scheduler_has_a_copy():
    """As in a panorama, where each view has a copy of the scheduler; PNDM's second timestep comes twice."""
    own = torch.tensor([751, 501, 501, 251])
    scheduler = SimpleNamespace(order=1, timesteps=own.clone())
    schedule = Schedule(scheduler, own)
    steps = []
    for timestep in own:
        for _ in range(2):
            scheduler.timesteps = own.clone()
            steps.append(schedule.step_of(schedule.find(timestep)))
    assert steps == [0, 0, 1, 1, 2, 2, 3, 3]


def test_more_steps_than_planned_are_said(pipe, seeded):
    class Longer(StableDiffusionPipeline):
        @torch.no_grad()
        def __call__(self, prompt):
            text, _ = self.encode_prompt(prompt, "cpu", 1, False)
            timesteps = [800, 600]
            for timestep in (*timesteps, 400, 200):
                self.unet(torch.zeros(1, 4, 16, 16), timestep, encoder_hidden_states=text)

    longer = Longer(**pipe.components)
    with pytest.warns(IncompleteCaptureWarning, match="4 steps came where the pipeline planned 2"):
        with attnscope.capture(longer, kind="cross") as trace:
            longer(PROMPT)
    assert len(trace.steps) == 4
