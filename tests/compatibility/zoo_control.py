"""ControlNets and adapters beside a U-Net: it is the U-Net's attention that is captured."""

from __future__ import annotations

from typing import Any

import diffusers

from compatibility.case import Case
from compatibility.parts import (
    SDXL_UNET,
    controlnet,
    mask,
    picture,
    sharp,
    stable_diffusion_xl,
    unet,
)  # fmt: skip
from compatibility.zoo_stable_diffusion import case, sized

GROUP = "ControlNets and adapters"


def control_xl() -> dict[str, Any]:
    """SDXL's ControlNet."""
    return {"controlnet": controlnet(**SDXL_UNET)}


def union() -> dict[str, Any]:
    """A ControlNet that takes several kinds of pictures."""
    more = {"num_trans_channel": 8, "num_trans_head": 2, "num_trans_layer": 1, "num_proj_channel": 8}
    return {"controlnet": controlnet(diffusers.ControlNetUnionModel, **SDXL_UNET, **more)}


def adapter() -> dict[str, Any]:
    """A T2I-Adapter."""
    return {
        "adapter": diffusers.T2IAdapter(
            in_channels=3, channels=[8, 16], num_res_blocks=1, downscale_factor=8, adapter_type="full_adapter"
        )
    }


def _xs(options: dict[str, Any]) -> dict[str, Any]:
    base = unet(**options, layers_per_block=2)
    control = diffusers.ControlNetXSAdapter.from_unet(
        base, size_ratio=1, conditioning_embedding_out_channels=(4, 8, 8, 8)
    )
    return {"unet": base, "controlnet": sharp(control)}


def sd(name: str, run: Any, **truth: Any) -> Case:
    return case(name, run, **{"group": GROUP, "parts": lambda: {"controlnet": controlnet()}, **truth})


def xl(name: str, run: Any, **truth: Any) -> Case:
    return case(name, run, **{"group": GROUP, "make": stable_diffusion_xl, "parts": control_xl, **truth})


EDIT = {"image": picture, "control_image": picture, "strength": 1.0}
FILL = {**EDIT, "mask_image": mask}
MODE = {"control_image": lambda: [picture()], "control_mode": lambda: [0]}

CASES = [
    sd("StableDiffusionControlNetPipeline", sized(image=picture)),
    sd("StableDiffusionControlNetImg2ImgPipeline", sized(**EDIT)),
    sd("StableDiffusionControlNetInpaintPipeline", sized(**FILL)),
    xl("StableDiffusionXLControlNetPipeline", sized(image=picture)),
    xl("StableDiffusionXLControlNetImg2ImgPipeline", sized(**EDIT)),
    xl("StableDiffusionXLControlNetInpaintPipeline", sized(**FILL)),
    xl("StableDiffusionXLControlNetUnionPipeline", sized(**MODE), parts=union),
    xl("StableDiffusionXLControlNetUnionImg2ImgPipeline", sized(**{**EDIT, **MODE}), parts=union),
    xl("StableDiffusionXLControlNetUnionInpaintPipeline", sized(**{**FILL, **MODE}), parts=union),
    sd("StableDiffusionControlNetXSPipeline", sized(image=picture), parts=lambda: _xs({})),
    xl("StableDiffusionXLControlNetXSPipeline", sized(image=picture), parts=lambda: _xs(SDXL_UNET)),
    sd("StableDiffusionAdapterPipeline", sized(image=picture), parts=adapter),
    xl("StableDiffusionXLAdapterPipeline", sized(image=picture), parts=adapter),
]
