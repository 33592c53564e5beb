"""Pipelines of the SDXL family."""

from __future__ import annotations

from typing import Any

import diffusers

from compatibility.case import NEGATIVE, Case
from compatibility.parts import SDXL_UNET, WIDE, mask, picture, stable_diffusion_xl, unet
from compatibility.zoo_stable_diffusion import asks, case, sized

GROUP = "SDXL"
REFINER = {
    "cross_attention_dim": WIDE, "projection_class_embeddings_input_dim": WIDE + 5 * 8,
}  # fmt: skip


def xl(name: str, run: Any, **truth: Any) -> Case:
    """A case of an SDXL pipeline."""
    return case(name, run, **{"make": stable_diffusion_xl, "group": GROUP, **truth})


def edits() -> dict[str, Any]:
    """A U-Net that also reads the picture that is edited."""
    return {"unet": unet(**{**SDXL_UNET, "in_channels": 8})}


def _refiner() -> Case:
    parts = {
        "tokenizer": None,
        "text_encoder": None,
        "requires_aesthetics_score": True,
        "unet_options": REFINER,
    }
    build = lambda: stable_diffusion_xl(diffusers.StableDiffusionXLImg2ImgPipeline, **parts)  # noqa: E731
    run = asks(negative_prompt=NEGATIVE, image=picture, strength=1.0)
    return Case("SDXL refiner", GROUP, build, run)


CASES = [
    xl("StableDiffusionXLPipeline", sized()),
    xl("StableDiffusionXLImg2ImgPipeline", asks(negative_prompt=NEGATIVE, image=picture, strength=1.0)),
    xl("StableDiffusionXLInpaintPipeline", sized(image=picture, mask_image=mask, strength=1.0)),
    xl(
        "StableDiffusionXLInstructPix2PixPipeline",
        sized(image=picture),
        parts=edits,
        branches=("cond", "image", "uncond"),
    ),
    _refiner(),
]
