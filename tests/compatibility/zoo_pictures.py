"""The other transformers that make pictures."""

from __future__ import annotations

from typing import Any

import diffusers

from attnscope.testing.transformers import tiny_prx
from compatibility.case import NEGATIVE, Case
from compatibility.transformer_parts import MASK, PICTURE, cleaned, other, own
from transformer_cases import ONE

GROUP = "Other transformers"
PERTURBED = (("uncond", "cond", "perturbed"),)
PAG = {"branches": PERTURBED, "rows_apart": True}


def picture(name: str, like: str, options: Any, **truth: Any) -> Case:
    """A case of this table."""
    return other(GROUP, name, like, options, **truth)


WITH_PICTURE = {"image": PICTURE, "strength": 1.0, "negative_prompt": NEGATIVE}
FILLED_IN = {**WITH_PICTURE, "mask_image": MASK}
PIXART = "PixArtSigmaPipeline"


def _controlled_hunyuan(pipe: Any) -> dict[str, Any]:
    config = {**pipe.transformer.config, "transformer_num_layers": 4}
    net = diffusers.HunyuanDiT2DControlNetModel.from_config(config)
    return {"controlnet": net.eval(), **UNSAFE}


def _controlled_sana(pipe: Any) -> dict[str, Any]:
    config = {**pipe.transformer.config, "num_layers": 1}
    return {"controlnet": diffusers.SanaControlNetModel.from_config(config).eval()}


def _sprint(pipe: Any) -> dict[str, Any]:
    return {"scheduler": diffusers.SCMScheduler()}


def _with_guidance_told(pipe: Any) -> dict[str, Any]:
    """The pipeline asks for an option that the model's class does not have, though its config.json may."""
    pipe.transformer.register_to_config(guidance_embeds=False)
    return {}


UNSAFE = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
SPRINT = {"guidance_embeds": True, "qk_norm": "rms_norm_across_heads"}
ONE_STEP = {"intermediate_timesteps": 1.3}
GUIDED = {"negative_prompt": NEGATIVE}

CASES = [
    own(GROUP, "PixArtAlphaPipeline"),
    own(GROUP, PIXART),
    picture(
        "PixArtSigmaPAGPipeline",
        PIXART,
        GUIDED,
        more=lambda pipe: {"pag_applied_layers": ["blocks.1"]},
        **PAG,
    ),
    own(GROUP, "HunyuanDiTPipeline"),
    picture(
        "HunyuanDiTPAGPipeline",
        "HunyuanDiTPipeline",
        GUIDED,
        more=lambda pipe: {**UNSAFE, "pag_applied_layers": ["blocks.1"]},
        **PAG,
    ),
    picture(
        "HunyuanDiTControlNetPipeline",
        "HunyuanDiTPipeline",
        {**GUIDED, "control_image": PICTURE},
        more=_controlled_hunyuan,
    ),
    own(GROUP, "AuraFlowPipeline"),
    own(GROUP, "CogView3PlusPipeline"),
    own(GROUP, "CogView4Pipeline"),
    picture(
        "CogView4ControlPipeline",
        "CogView4Pipeline",
        {**GUIDED, "control_image": PICTURE},
        changes={"in_channels": 8},
    ),
    own(GROUP, "LuminaPipeline"),
    own(GROUP, "Lumina2Pipeline", known={"there": (27, 5)}),
    own(GROUP, "SanaPipeline"),
    picture(
        "SanaPAGPipeline",
        "SanaPipeline",
        GUIDED,
        more=lambda pipe: {"pag_applied_layers": ["transformer_blocks.1"]},
        **PAG,
    ),
    picture(
        "SanaControlNetPipeline",
        "SanaPipeline",
        {**GUIDED, "control_image": PICTURE},
        more=_controlled_sana,
    ),
    picture("SanaSprintPipeline", "SanaPipeline", ONE_STEP, more=_sprint, changes=SPRINT, branches=ONE),
    picture(
        "SanaSprintImg2ImgPipeline",
        "SanaPipeline",
        {**ONE_STEP, "image": PICTURE, "strength": 0.6},
        more=_sprint,
        changes=SPRINT,
        branches=ONE,
    ),
    own(GROUP, "ChromaPipeline"),
    picture("ChromaImg2ImgPipeline", "ChromaPipeline", WITH_PICTURE),
    picture("ChromaInpaintPipeline", "ChromaPipeline", FILLED_IN, more=_with_guidance_told),
    own(GROUP, "BriaPipeline", latent=16),
    own(GROUP, "OvisImagePipeline"),
    own(GROUP, "LongCatImagePipeline"),
    own(GROUP, "PRXPipeline"),
    picture(
        "PRXPixelPipeline",
        "PRXPipeline",
        GUIDED,
        make=cleaned("prx.pipeline_prx_pixel", tiny_prx),
        more=lambda pipe: {"prompt_max_tokens": 12},
        changes={"in_channels": 3, "patch_size": 16},
        latent=1,
    ),
]
