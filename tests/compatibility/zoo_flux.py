"""Pipelines of Flux.1."""

from __future__ import annotations

from typing import Any

import diffusers

from attnscope.testing.transformers.parts import LATENT_CHANNELS
from compatibility.case import NEGATIVE, PROMPT, Case
from compatibility.transformer_parts import DEFAULT, MASK, PICTURE, other, own
from transformer_cases import HEIGHT, ONE, WIDTH

GROUP = "Flux.1"
GUIDED = {"true_cfg_scale": 4.0, "negative_prompt": NEGATIVE}
WITH_PICTURE = {"image": PICTURE, "strength": 1.0}
PACKED = 4 * LATENT_CHANNELS
FILL = {"in_channels": 2 * PACKED + 256, "out_channels": PACKED}
CONTROL = {"in_channels": 2 * PACKED, "out_channels": PACKED}
REFERENCE = ("text", "image", "reference")
KONTEXT = {"sides": {".attn": (REFERENCE, REFERENCE)}, "tokens": {"text": 12, "reference": 48}}
RESIZED = {"image": PICTURE, "max_area": HEIGHT * WIDTH, "_auto_resize": False}


def flux(name: str, options: Any, **truth: Any) -> Case:
    """A case of this table."""
    return other(GROUP, name, "FluxPipeline", options, **truth)


def _controlled(pipe: Any) -> dict[str, Any]:
    control = diffusers.FluxControlNetModel.from_transformer(
        pipe.transformer, num_layers=1, num_single_layers=1, num_attention_heads=2, attention_head_dim=8
    )
    return {"controlnet": control.eval()}


def _small_grid(pipe: Any) -> dict[str, Any]:
    return {"resolution": 96}


IN_A_GRID = {
    "prompt": DEFAULT, "height": DEFAULT, "width": DEFAULT, "task_prompt": PROMPT, "content_prompt": NEGATIVE,
    "image": [[PICTURE, PICTURE], [PICTURE, None]],
}  # fmt: skip

CASES = [
    own(GROUP, "FluxPipeline"),
    flux("FluxImg2ImgPipeline", {**WITH_PICTURE, **GUIDED}),
    flux("FluxInpaintPipeline", {**WITH_PICTURE, **GUIDED, "mask_image": MASK}),
    flux("FluxFillPipeline", {"image": PICTURE, "mask_image": MASK}, changes=FILL, branches=ONE),
    flux("FluxKontextPipeline", {**RESIZED, **GUIDED}, known=KONTEXT),
    flux(
        "FluxKontextInpaintPipeline",
        {**RESIZED, **GUIDED, "image_reference": PICTURE, "mask_image": MASK, "strength": 1.0},
        known=KONTEXT,
    ),
    flux("FluxControlPipeline", {"control_image": PICTURE}, changes=CONTROL, branches=ONE),
    flux(
        "FluxControlImg2ImgPipeline",
        {**WITH_PICTURE, "control_image": PICTURE},
        changes=CONTROL,
        branches=ONE,
    ),
    flux(
        "FluxControlInpaintPipeline",
        {**WITH_PICTURE, "control_image": PICTURE, "mask_image": MASK},
        changes=CONTROL,
        branches=ONE,
    ),
    flux("FluxControlNetPipeline", {"control_image": PICTURE, **GUIDED}, more=_controlled),
    flux(
        "FluxControlNetImg2ImgPipeline",
        {**WITH_PICTURE, "control_image": PICTURE},
        more=_controlled,
        branches=ONE,
    ),
    flux(
        "FluxControlNetInpaintPipeline",
        {**WITH_PICTURE, "control_image": PICTURE, "mask_image": MASK},
        more=_controlled,
        branches=ONE,
    ),
    flux("VisualClozeGenerationPipeline", IN_A_GRID, changes=FILL, branches=ONE, more=_small_grid),
    flux("VisualClozePipeline", IN_A_GRID, changes=FILL, branches=ONE, more=_small_grid),
]
