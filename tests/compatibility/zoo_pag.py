"""Perturbed-attention guidance: a third row whose chosen self-attentions look at themselves alone."""

from __future__ import annotations

from typing import Any

from compatibility.case import NEGATIVE, Case
from compatibility.parts import controlnet, mask, picture, stable_diffusion_xl
from compatibility.zoo_control import control_xl
from compatibility.zoo_stable_diffusion import asks, case, sized

GROUP = "Perturbed-attention guidance"
BRANCHES = ("uncond", "cond", "perturbed")


def pag(name: str, run: Any, **truth: Any) -> Case:
    """A case of a PAG pipeline."""
    return case(name, run, **{"group": GROUP, "branches": BRANCHES, "rows_apart": True, **truth})


def control() -> dict[str, Any]:
    return {"controlnet": controlnet()}


FILL = {"image": picture, "mask_image": mask, "strength": 1.0}
XL = {"make": stable_diffusion_xl}

CASES = [
    pag("StableDiffusionPAGPipeline", sized()),
    pag("StableDiffusionPAGImg2ImgPipeline", asks(negative_prompt=NEGATIVE, image=picture, strength=1.0)),
    pag("StableDiffusionPAGInpaintPipeline", sized(**FILL)),
    pag("StableDiffusionControlNetPAGPipeline", sized(image=picture), parts=control),
    pag("StableDiffusionControlNetPAGInpaintPipeline", sized(**FILL, control_image=picture), parts=control),
    pag("StableDiffusionXLPAGPipeline", sized(), **XL),
    pag(
        "StableDiffusionXLPAGImg2ImgPipeline",
        asks(negative_prompt=NEGATIVE, image=picture, strength=1.0),
        **XL,
    ),
    pag("StableDiffusionXLPAGInpaintPipeline", sized(**FILL), **XL),
    pag("StableDiffusionXLControlNetPAGPipeline", sized(image=picture), parts=control_xl, **XL),
    pag(
        "StableDiffusionXLControlNetPAGImg2ImgPipeline",
        sized(image=picture, control_image=picture, strength=1.0),
        parts=control_xl,
        **XL,
    ),
]
