"""Steps against an independent truth: the U-Net's calls by a hook of ours, and what the progress bar counts."""

from types import SimpleNamespace

import diffusers
import pytest
import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)
from step_cases import counted

import attnscope
from attnscope.errors import SelectionError
from attnscope.recording.calling.schedule import Schedule
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.trace.step_rows import PartialMeanWarning
from capture_cases import PROMPT, leftovers, run
from pipeline_zoo import PHOTO, of_same_parts

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:torch.meshgrid"
)


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
