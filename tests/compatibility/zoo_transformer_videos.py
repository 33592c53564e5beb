"""Transformers that make videos."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from attnscope.testing import transformers as tiny
from compatibility.case import NEGATIVE, Case
from compatibility.transformer_parts import CLIP, DEFAULT, PICTURE, cleaned, other, own
from transformer_cases import without_ftfy

GROUP = "Videos"
GUIDED = {"negative_prompt": NEGATIVE}
WITH_PICTURE = {**GUIDED, "image": PICTURE}
WITH_VIDEO = {**GUIDED, "video": CLIP, "num_frames": DEFAULT, "num_inference_steps": 3}
"""The default strength leaves two steps of three."""
COGVIDEOX, WAN, COSMOS = "CogVideoXPipeline", "WanPipeline", "CosmosTextToWorldPipeline"
LONG = {"max_sequence_length": 512}
OF_512_KEYS = 5e-6
"""A softmax of 512 scores that are exact is off by 3e-6 in float32."""


def video(name: str, like: str, options: Any, **truth: Any) -> Case:
    """A case of this table."""
    return other(GROUP, name, like, options, **truth)


def _unipc(pipe: Any) -> dict[str, Any]:
    return {
        "scheduler": diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True
        )
    }


def _skyreels_parts(folder: Any, **changes: Any) -> Any:
    without_ftfy("skyreels_v2.pipeline_skyreels_v2_i2v")
    pipe = tiny.tiny_wan_with_picture(folder)
    pipe.transformer = tiny.tiny_skyreels2(folder, **changes).transformer
    return pipe


def _cosmos2(pipe: Any) -> dict[str, Any]:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)
    return {"scheduler": scheduler, "vae": tiny.tiny_wan(None).vae}


def _cosmos25(pipe: Any) -> dict[str, Any]:
    qwen = tiny.tiny_flux2(None)
    return {
        **_cosmos2(pipe), **_unipc(pipe), "text_encoder": qwen.text_encoder, "tokenizer": qwen.tokenizer,
    }  # fmt: skip


def _expanded(pipe: Any) -> dict[str, Any]:
    """As the 5B model of Wan 2.2: what is given of a video has a timestep of 0."""
    return {"expand_timesteps": True}


def _long_ltx(pipe: Any) -> dict[str, Any]:
    return {"scheduler": diffusers.schedulers.LTXEulerAncestralRFScheduler()}


def _encoded() -> dict[str, Any]:
    """In place of what LLaVA makes of a prompt and of the picture."""
    made = torch.Generator().manual_seed(0)
    given: dict[str, Any] = {"prompt": None}
    for negative in ("", "negative_"):
        given |= {
            f"{negative}prompt_embeds": torch.randn(1, 24, 32, generator=made),
            f"{negative}pooled_prompt_embeds": torch.randn(1, 16, generator=made),
            f"{negative}prompt_attention_mask": torch.ones(1, 24),
        }
    return given


def forced(name: str, module: str, options: Any, **truth: Any) -> Case:
    """A case of diffusion forcing."""
    make = cleaned(f"skyreels_v2.pipeline_skyreels_v2_diffusion_forcing{module}", tiny.tiny_skyreels2)
    return video(name, "SkyReelsV2Pipeline", options, make=make, more=_unipc, **truth)


CASES = [
    own(GROUP, COGVIDEOX),
    video("CogVideoXImageToVideoPipeline", COGVIDEOX, WITH_PICTURE, changes={"in_channels": 8}),
    video("CogVideoXVideoToVideoPipeline", COGVIDEOX, WITH_VIDEO),
    video(
        "CogVideoXFunControlPipeline",
        COGVIDEOX,
        {**GUIDED, "control_video": CLIP, "num_frames": DEFAULT},
        changes={"in_channels": 8},
    ),
    own(GROUP, "LTXPipeline", latent=16),
    video("LTXImageToVideoPipeline", "LTXPipeline", WITH_PICTURE, latent=16),
    video("LTXConditionPipeline", "LTXPipeline", WITH_PICTURE, latent=16),
    video("LTXI2VLongMultiPromptPipeline", "LTXPipeline", GUIDED, more=_long_ltx, latent=16),
    own(GROUP, WAN),
    video(
        "WanImageToVideoPipeline",
        WAN,
        {**WITH_PICTURE, **LONG},
        known={"tokens": {"text": 512}},
        make=cleaned("wan.pipeline_wan_i2v", tiny.tiny_wan_with_picture),
        main=1,
        tolerance=OF_512_KEYS,
    ),
    video(
        "WanVideoToVideoPipeline",
        WAN,
        WITH_VIDEO,
        make=cleaned("wan.pipeline_wan_video2video", tiny.tiny_wan),
        more=_unipc,
    ),
    video(
        "WanPipeline with two models",
        WAN,
        {**GUIDED, "num_inference_steps": 4},
        make=lambda folder: tiny.tiny_wan_of_two(folder),
        more=lambda pipe: {"boundary_ratio": 0.9},
        models=lambda pipe: [pipe.transformer, pipe.transformer_2],
        steps=4,
    ),
    video("WanPipeline, a timestep for each place", WAN, GUIDED, more=_expanded),
    video(
        "WanImageToVideoPipeline, a timestep for each place",
        WAN,
        WITH_PICTURE,
        make=cleaned("wan.pipeline_wan_i2v", tiny.tiny_wan),
        more=_expanded,
    ),
    video(
        "LucyEditPipeline",
        WAN,
        {**GUIDED, "video": CLIP},
        make=cleaned("lucy.pipeline_lucy_edit", tiny.tiny_wan),
        changes={"in_channels": 8},
    ),
    own(GROUP, "SkyReelsV2Pipeline"),
    video(
        "SkyReelsV2ImageToVideoPipeline",
        "SkyReelsV2Pipeline",
        {**WITH_PICTURE, **LONG},
        known={"tokens": {"text": 512}},
        make=_skyreels_parts,
        changes={"in_channels": 12, "image_dim": 8, "added_kv_proj_dim": 32},
        main=1,
        tolerance=OF_512_KEYS,
    ),
    forced("SkyReelsV2DiffusionForcingPipeline", "", {**GUIDED, "base_num_frames": 9}),
    forced("SkyReelsV2DiffusionForcingImageToVideoPipeline", "_i2v", {**WITH_PICTURE, "base_num_frames": 9}),
    forced(
        "SkyReelsV2DiffusionForcingVideoToVideoPipeline",
        "_v2v",
        {**GUIDED, "video": CLIP, "num_frames": 17, "base_num_frames": 17, "overlap_history": 5},
        known={"frames": 5},
    ),
    own(GROUP, "HunyuanVideoPipeline"),
    video(
        "HunyuanSkyreelsImageToVideoPipeline",
        "HunyuanVideoPipeline",
        {**WITH_PICTURE, "true_cfg_scale": 4.0},
        changes={"in_channels": 8},
    ),
    video(
        "HunyuanVideoImageToVideoPipeline",
        "HunyuanVideoPipeline",
        {**_encoded(), "image": PICTURE, "true_cfg_scale": 4.0},
        more=lambda pipe: {"image_processor": None},
        changes={"in_channels": 9, "image_condition_type": "latent_concat"},
        word=3,
        known={"cat": (3,)},
    ),
    own(GROUP, "MochiPipeline", known={"there": (3, 7)}, main=None),
    own(GROUP, "AllegroPipeline"),
    own(GROUP, COSMOS),
    video("CosmosVideoToWorldPipeline", COSMOS, WITH_PICTURE, changes={"in_channels": 5}),
    video(
        "Cosmos2TextToImagePipeline",
        COSMOS,
        {**GUIDED, "num_frames": DEFAULT},
        known={"frames": 1, "output": lambda made: made.images},
        more=_cosmos2,
    ),
    video(
        "Cosmos2VideoToWorldPipeline",
        COSMOS,
        {**WITH_PICTURE, "num_frames": 9},
        more=_cosmos2,
        changes={"in_channels": 5},
    ),
    video(  # the cat is behind the 80 tokens of what the encoder is told before, and ' a' and ' red'
        "Cosmos2_5_PredictBasePipeline",
        COSMOS,
        {**GUIDED, "num_frames": 9, "max_sequence_length": 96},
        known={"tokens": {"text": 96}, "cat": (82,)},
        more=_cosmos25,
        changes={"in_channels": 5},
    ),
]
