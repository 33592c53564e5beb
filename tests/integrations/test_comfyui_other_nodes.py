"""The nodes for ComfyUI beside other nodes: what can't be recorded is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfy_cases import (
    captured,
    conds,
    trace_of,
)
from comfy_stand_in import StandInWorld
from comfy_stand_in_unet import attention_pytorch
from torch import Tensor

from attnscope.errors import CaptureError, SelectionError


def passing(n: Any, context: Any, value: Any, extra: Any) -> tuple[Any, Any, Any]:
    return n, context, value


def test_another_nodes_patch_is_refused(world):
    model, _ = captured(world)
    model.set_model_attn1_patch(passing)
    with pytest.raises(CaptureError, match="passing changes what goes into self-attention.*kinds: cross"):
        world.sample(model, *conds(world))


def test_replaced_attention_is_refused_and_the_other_kind_is_not(world):
    def zero(q: Tensor, k: Tensor, v: Tensor, extra: Any) -> Tensor:
        return torch.zeros_like(q)

    for kinds, refused in (("both", True), ("self", False)):
        model, handle = captured(world, kinds=kinds)
        model.set_model_attn2_replace(zero, "middle", 0)
        if refused:
            with pytest.raises(CaptureError, match="zero replaces cross-attention"):
                world.sample(model, *conds(world))
        else:
            world.sample(model, *conds(world))
            assert trace_of(handle).layers.kinds == ("self",)


def override(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def test_override_of_another_node_is_refused(world):
    model = world.model()
    model.model_options["transformer_options"]["optimized_attention_override"] = override
    with pytest.raises(CaptureError, match="override already stands in for the attention of this model"):
        captured(world, model)
    model, _ = captured(world)
    with pytest.raises(CaptureError, match="already stands in"):
        captured(world, model)
    model.model_options["transformer_options"]["optimized_attention_override"] = override
    with pytest.raises(CaptureError, match="override replaced the recorder: put Capture attention last"):
        world.sample(model, *conds(world))


@pytest.mark.parametrize("extra", [{}, {"area": (2, 2, 0, 0)}])
def test_several_conditionings_and_areas_are_refused(world, extra):
    positive, negative = conds(world)
    model, _ = captured(world)
    several = [*positive, *positive] if not extra else [[positive[0][0], extra]]
    with pytest.raises(CaptureError, match="the positive conditioning is (2 at once|one for an area)"):
        world.sample(model, several, negative)


def test_sampler_that_reports_steps_late_is_refused(world):
    model, _ = captured(world)
    with pytest.raises(CaptureError, match="steps can't be told apart, as with dpm_fast"):
        world.sample(model, *conds(world), steps=4, sampler="dpm_fast")


def test_second_look_of_another_node_is_refused():
    """Perturbed-attention guidance runs the prompt again within one prediction."""
    world = StandInWorld()
    model, _ = captured(world)

    def twice(executor: Any, x: Tensor, sigma: Tensor, *args: Any) -> Tensor:
        executor.class_obj.predict_all([executor.class_obj.conds["positive"]], x, sigma)
        return executor(x, sigma, *args)

    model.add_wrapper_with_key("predict_noise", "other", twice)
    with pytest.raises(CaptureError, match="the branch cond ran twice in one prediction"):
        world.sample(model, *conds(world))


def test_compiled_model_is_refused(world):
    model, _ = captured(world)
    model.add_wrapper_with_key(
        "apply_model", "torch.compile", lambda executor, *args, **kwargs: executor(*args, **kwargs)
    )
    with pytest.raises(CaptureError, match="compiled"):
        world.sample(model, *conds(world))


def test_model_without_a_unet_is_refused():
    world = StandInWorld()
    model = world.model()
    model.model.diffusion_model = torch.nn.Linear(2, 2)
    with pytest.raises(CaptureError, match="the model is a Linear.*expected a U-Net"):
        captured(world, model)


def test_merged_places_are_refused():
    """Token merging in a module that no patch announces: the queries aren't the grid's places."""
    world = StandInWorld()
    model, _ = captured(world)
    attention = model.model.diffusion_model.middle_block[1].transformer_blocks[0].attn1
    forward = attention.forward

    def merged(x: Tensor, context: Any, value: Any, options: Any) -> Tensor:
        return forward(x[:, ::2], None, None, options).repeat_interleave(2, 1)

    attention.forward = merged
    with pytest.raises(
        CaptureError, match="self-attention of middle block 0.* has 3 queries and 3 keys.*expected the 6"
    ):
        world.sample(model, *conds(world))


def test_added_mask_is_recorded():
    world = StandInWorld()
    model, handle = captured(world, kinds="cross", blocks="3")
    attention = model.model.diffusion_model.middle_block[1].transformer_blocks[0].attn2
    mask = torch.randn(6, 12, generator=torch.Generator().manual_seed(3))
    seen = {}

    def masked(x: Tensor, context: Any, value: Any, options: Any) -> Tensor:
        q, k, v = attention.to_q(x), attention.to_k(context), attention.to_v(value)
        seen["q"], seen["k"] = (t.double().unflatten(-1, (2, -1)).transpose(1, 2) for t in (q, k))
        return attention.to_out(attention_pytorch(q, k, v, 2, mask, transformer_options=options))

    attention.forward = masked
    world.sample(model, *conds(world), steps=1, cfg=1)
    expected = torch.softmax(seen["q"] @ seen["k"].mT * 4**-0.5 + mask, -1)
    got = trace_of(handle).probabilities(block=3, kind="cross", step=0, branch="cond")
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("block", ["input_blocks.0.1", "output_blocks.0.1"])
def test_attention_that_runs_unseen_is_refused(block):
    """A module that another node replaced hands no transformer_options on."""
    world = StandInWorld()
    model, handle = captured(world)
    attention = model.model.diffusion_model.get_submodule(block).transformer_blocks[0].attn2
    forward = attention.forward
    attention.forward = lambda x, context, value, options: forward(x, context, value, {})
    with pytest.raises(CaptureError, match="cross-attention of .* ran unseen"):
        world.sample(model, *conds(world))
    with pytest.raises(SelectionError, match="the trace is empty: cross-attention"):
        trace_of(handle)


def test_skipped_block_is_refused():
    world = StandInWorld()
    model, _ = captured(world)
    model.model.diffusion_model.output_blocks[0][1].transformer_blocks[0].forward = lambda x, *_: x
    with pytest.raises(
        CaptureError, match="output block 0.* did not run, or ran unseen \\(2 of 8 are missing\\)"
    ):
        world.sample(model, *conds(world))
