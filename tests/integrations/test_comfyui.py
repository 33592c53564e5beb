"""The nodes for ComfyUI: what is recorded of a run, and when there is a trace of it."""

from __future__ import annotations

from typing import Any

import comfy_real
import pytest
import torch
from comfy_cases import (
    Watch,
    captured,
    conds,
    heat_map,
    pictures,
    trace_of,
)
from torch import Tensor

from attnscope.errors import CaptureError, ParameterError, SelectionError
from integrations.comfyui.choices import numbers
from integrations.comfyui.images import pictures_of
from integrations.comfyui.stepping import Prediction, Stepping

# What the model computes


@pytest.mark.parametrize(
    ("images", "sampler", "cfg", "separate"),
    [
        (1, "euler", 5, False),
        (2, "euler", 5, False),
        (2, "heun", 5, False),
        (1, "euler", 1, False),
        (2, "euler", 5, True),
    ],
)
def test_latent_is_bitwise_same_with_the_node(world, images, sampler, cfg, separate):
    def run(model: Any) -> Tensor:
        if separate:
            world.separate(model)
        return world.sample(model, *conds(world), images=images, sampler=sampler, cfg=cfg)

    model, handle = captured(world, branches="both")
    assert torch.equal(run(world.model()), run(model))
    assert trace_of(handle, images).images == images


def test_the_model_that_went_in_is_not_changed(world):
    model = world.model()
    captured(world, model)
    assert model.model_options == {"transformer_options": {}}
    assert not any(model.wrappers.values())


@pytest.mark.parametrize("images", [1, 3])
def test_probabilities_are_those_that_the_layers_compute(world, images):
    model, handle = captured(world, branches="both")
    watch = Watch(model)
    world.sample(model, *conds(world), images=images)
    trace = trace_of(handle, images)
    assert trace.branches == ("uncond", "cond")
    assert len(trace.calls) == 3
    for layer in trace.layers:
        for call in trace.calls:
            expected = watch.probabilities(layer.path, call.index, layer.heads)
            got = trace.probabilities(layer=layer, step=call.step).flatten(0, 1)
            torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-6)  # float32 against float64


@pytest.mark.parametrize("how", ["together", "separate", "negative first", "separate, negative first"])
def test_cond_and_uncond_are_kept_apart(world, how):
    model, handle = captured(world, branches="both")
    if "separate" in how:
        world.separate(model)
    positive, negative = conds(world)
    world.sample(model, positive, negative, images=2, negative_first="negative first" in how)
    trace = trace_of(handle, 2)
    assert len(trace.calls) == (6 if "separate" in how else 3)
    for layer in trace.layers.of_kind("cross"):
        to_k = model.model.diffusion_model.get_submodule(layer.path).to_k
        for branch, ((context, _),) in (("cond", positive), ("uncond", negative)):
            keys = to_k(context)[0].unflatten(-1, (layer.heads, -1)).transpose(0, 1)
            for step in trace.steps:
                call = step.main_of(branch)
                record = trace.records.get(call.index, layer.id)
                rows = [record.key[at] for at, row in enumerate(call.rows) if row.branch == branch]
                assert len(rows) == 2
                for row in rows:
                    torch.testing.assert_close(row, keys, rtol=0, atol=1e-6)


def test_images_of_a_batch_are_kept_apart(world):
    """The self-attention of each image depends on its own noise only, so alone it is the same."""
    model, handle = captured(world)
    watch = Watch(model)
    world.sample(model, *conds(world), images=2, cfg=1)
    trace = trace_of(handle, 2)
    layer = trace.layers.of_kind("self")[0]
    expected = watch.probabilities(layer.path, 0, layer.heads)
    got = trace.probabilities(layer=layer, step=0, branch="cond")
    assert not torch.allclose(got[0], got[1])
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-6)


def test_by_default_only_rows_of_the_prompt_are_kept(world):
    model, handle = captured(world)
    watch = Watch(model)
    world.sample(model, *conds(world), images=2)
    trace = trace_of(handle, 2)
    assert trace.branches == ("cond",)
    for layer in trace.layers:
        expected = watch.probabilities(layer.path, 0, layer.heads)[2:]  # ComfyUI puts uncond first
        got = trace.probabilities(layer=layer, step=0, branch="cond")
        torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-6)


def test_further_predictions_of_a_step_are_calls_of_it(world):
    model, handle = captured(world)
    world.sample(model, *conds(world), sampler="heun")
    trace = trace_of(handle)
    assert [call.step for call in trace.calls] == [0, 0, 1, 1, 2]
    assert [len(step.views) for step in trace.steps] == [1, 1, 1]


def test_predictions_get_the_step_that_is_reported_after_the_first():
    """Again at the same sigma, as sa_solver_pece predicts, is a repeat; Heun's second prediction is none."""
    steps = []
    stepping = Stepping(
        [9, 4, 1, 0], lambda step, prediction: steps.append((step, prediction.sigma, prediction.repeats))
    )
    for sigma, report in ((9, 0), (4, None), (4, 1), (4, None), (1, 2), (0.5, None)):
        stepping.predicted(Prediction(sigma))
        if report is not None:
            stepping.reported(report)
    stepping.finish()
    expected = [(0, 9, False), (0, 4, False), (1, 4, False), (1, 4, True), (2, 1, False), (2, 0.5, False)]
    assert steps == expected


@pytest.mark.skipif(not comfy_real.FOLDER, reason="ATTNSCOPE_COMFYUI names no ComfyUI checkout")
@pytest.mark.filterwarnings("ignore")
def test_steps_of_every_sampler_begin_at_its_sigmas(true_comfyui):
    world, refused = true_comfyui, []
    for sampler in world.samplers.SAMPLER_NAMES:
        model, handle = captured(world)
        try:
            got = world.sample(model, *conds(world), steps=4, sampler=sampler)
        except CaptureError:
            refused.append(sampler)
            continue
        assert torch.equal(got, world.sample(world.model(), *conds(world), steps=4, sampler=sampler)), sampler
        sigmas = world.samplers.KSampler(model, 4, model.load_device, sampler, "normal", 1.0).sigmas[:-1]
        times = [float(model.model.model_sampling.timestep(sigma)) for sigma in sigmas]
        assert [step.timestep for step in trace_of(handle).steps] == pytest.approx(times, abs=0.01), sampler
    assert refused == ["dpm_fast", "dpm_adaptive"]


def test_layers_have_the_blocks_of_the_unet_in_order(world):
    model, handle = captured(world)
    world.sample(model, *conds(world))
    layers = trace_of(handle).layers
    stages = [layer.stage for layer in layers.of_kind("self")]
    assert stages == sorted(stages, key=["down", "mid", "up"].index)
    assert layers[0].path.startswith("input_blocks.")
    assert [layer.block for layer in layers.of_kind("cross")] == list(range(1, len(stages) + 1))


# What is kept


def test_kinds_blocks_and_steps_are_chosen(world):
    model, handle = captured(world, kinds="cross", blocks="2-3", steps="1")
    world.sample(model, *conds(world))
    trace = trace_of(handle)
    assert [(layer.block, layer.kind) for layer in trace.layers] == [(2, "cross"), (3, "cross")]
    assert [step.index for step in trace.steps] == [1]


def test_chosen_steps_are_those_of_a_whole_run_with_several_predictions_a_step(world):
    whole, part = captured(world), captured(world, steps="1")
    for model, _ in (whole, part):
        world.sample(model, *conds(world), sampler="heun")
    every, chosen = trace_of(whole[1]), trace_of(part[1])
    assert [call.timestep for call in chosen.calls] == [c.timestep for c in every.calls if c.step == 1]
    got, expected = (trace.probabilities(block=1, kind="self", step=1) for trace in (chosen, every))
    assert torch.equal(got, expected)


def test_what_exceeds_the_budget_is_the_same_from_disk(world):
    model, roomy = captured(world)
    world.sample(model, *conds(world), images=2)
    whole = trace_of(roomy, 2)
    step = sum(whole.records.get(0, layer).nbytes for layer in whole.records.layers)
    model, tight = captured(world, max_gb=2.5 * step / 1e9)
    world.sample(model, *conds(world), images=2)
    records = trace_of(tight, 2).records
    assert records._store.held(records.folder, 0) is None  # it went to disk
    for layer in whole.layers:
        of_both = [trace.probabilities(layer=layer) for trace in (whole, trace_of(tight, 2))]
        assert torch.equal(*of_both)
    model, _ = captured(world, max_gb=1.5 * step / 1e9)
    with pytest.raises(
        CaptureError, match="one call of the model takes .* and max_gb is .*give more, or keep less"
    ):
        world.sample(model, *conds(world), images=2)


@pytest.mark.parametrize(("text", "chosen"), [("", None), ("3", {3}), ("1, 4-6", {1, 4, 5, 6})])
def test_numbers_are_read(text, chosen):
    assert numbers(text, "blocks") == chosen


@pytest.mark.parametrize("text", ["a", "3-1", "1,", "-1", "1-99999999"])
def test_other_numbers_are_refused(text):
    with pytest.raises(ParameterError, match="blocks: .* expected numbers and ranges such as 1, 4, 7-9"):
        numbers(text, "blocks")


def test_unknown_block_is_refused(world):
    with pytest.raises(ParameterError, match="blocks: 99: this model has blocks 1 to"):
        captured(world, blocks="99")


# Life of a trace


def test_a_new_run_replaces_the_one_before(world):
    model, handle = captured(world)
    world.sample(model, *conds(world), seed=1)
    before = trace_of(handle)
    world.sample(model, *conds(world), seed=2)
    after = trace_of(handle)
    assert (before.run.seed, after.run.seed) == (1, 2)
    assert len(after.calls) == 3
    get = [trace.probabilities(block=1, kind="self", step=0) for trace in (before, after)]
    assert not torch.equal(*get)


def test_clones_of_the_model_fill_the_same_trace(world):
    model, handle = captured(world)
    world.sample(model.clone().clone(), *conds(world))
    assert len(trace_of(handle).calls) == 3


def test_empty_trace_says_what_to_run(world):
    _, handle = captured(world)
    with pytest.raises(SelectionError, match="run KSampler with the model that Capture attention returns"):
        heat_map(handle, pictures(), word="cat")


def test_failed_run_leaves_no_trace_and_the_next_one_does(world, monkeypatch):
    model, handle = captured(world)
    world.sample(model, *conds(world))
    unet = model.model.diffusion_model
    hook = unet.middle_block[1].register_forward_hook(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        world.sample(model, *conds(world))
    with pytest.raises(SelectionError, match="the trace is empty: the run of KSampler ended before its end"):
        trace_of(handle)
    hook.remove()
    world.sample(model, *conds(world))
    assert len(trace_of(handle).calls) == 3


def test_latent_of_another_run_is_refused(world):
    model, handle = captured(world)
    first, second = (world.sample(model, *conds(world), seed=seed) for seed in (1, 2))
    assert handle.trace_of(pictures_of(pictures()), {"samples": second}).run.seed == 2
    for latent in (first, second * 1.01, torch.cat([second, second])):
        with pytest.raises(
            SelectionError, match="another run than this latent.*a Capture attention of its own"
        ):
            handle.trace_of(pictures_of(pictures()), {"samples": latent})


@pytest.mark.parametrize(("images", "size"), [(2, (32, 48)), (1, (48, 32))])
def test_picture_of_another_run_is_refused(world, images, size):
    model, handle = captured(world)
    world.sample(model, *conds(world))
    with pytest.raises(SelectionError, match="the run made 1 of 4x6 latent places: connect the picture"):
        heat_map(handle, pictures(images, size), word="cat")


def test_steps_beyond_the_run_are_refused(world):
    model, _ = captured(world, steps="50")
    with pytest.raises(CaptureError, match="no step of this run was kept"):
        world.sample(model, *conds(world))
