"""Pipelines of Stable Diffusion 3."""

from __future__ import annotations

from typing import Any

import diffusers

from attnscope.testing.transformers.parts import tiny_vae
from compatibility.case import NEGATIVE, Case
from compatibility.transformer_parts import MASK, PICTURE, other, own

GROUP = "Stable Diffusion 3 and 3.5"
WITH_PICTURE = {"image": PICTURE, "strength": 1.0, "negative_prompt": NEGATIVE}
SINGLE = {"dual_attention_layers": ()}
"""Without the second attention of 3.5 medium, which some of diffusers' processors can't run."""
WIDE = {"in_channels": 16, "out_channels": 16}
PERTURBED = (("uncond", "cond", "perturbed"),)


def sd3(name: str, options: Any, **truth: Any) -> Case:
    """A case of this table."""
    return other(GROUP, name, "StableDiffusion3Pipeline", options, **truth)


def _control(more_channels: int = 0) -> Any:
    def make(pipe: Any) -> dict[str, Any]:
        control = diffusers.SD3ControlNetModel.from_transformer(
            pipe.transformer, num_layers=1, num_extra_conditioning_channels=more_channels
        )
        return {"controlnet": control.eval()}

    return make


def _perturbed(pipe: Any) -> dict[str, Any]:
    return {"pag_applied_layers": "blocks.1"}


CASES = [
    own(GROUP, "StableDiffusion3Pipeline"),
    sd3("StableDiffusion3Img2ImgPipeline", WITH_PICTURE),
    sd3(
        "StableDiffusion3InpaintPipeline",
        {**WITH_PICTURE, "mask_image": MASK},
        more=lambda pipe: {"vae": tiny_vae(16, shift_factor=0.0609)},
        changes=WIDE,
    ),
    sd3(
        "StableDiffusion3ControlNetPipeline",
        {"control_image": PICTURE, "negative_prompt": NEGATIVE},
        more=_control(),
    ),
    sd3(
        "StableDiffusion3ControlNetInpaintingPipeline",
        {"control_image": PICTURE, "control_mask": MASK, "negative_prompt": NEGATIVE},
        more=_control(1),
    ),
    sd3(
        "StableDiffusion3PAGPipeline",
        {"negative_prompt": NEGATIVE},
        more=_perturbed,
        changes=SINGLE,
        branches=PERTURBED,
        main=None,
    ),
    sd3(
        "StableDiffusion3PAGImg2ImgPipeline",
        WITH_PICTURE,
        more=_perturbed,
        changes=SINGLE,
        branches=PERTURBED,
        main=None,
    ),
]
