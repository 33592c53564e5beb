"""A tiny Flux.1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from attnscope.testing.tiny_models import tiny_tokenizer
from attnscope.testing.transformers.parts import (
    HEAD_DIM,
    HEADS,
    LATENT_CHANNELS,
    WIDE,
    quiet,
    sharp,
    shifted_vae,
    tiny_clip_encoder,
    tiny_t5_encoder,
    tiny_t5_tokenizer,
)


def tiny_flux(folder: Path, **changes: Any) -> Any:
    """A FluxPipeline with two double and two single blocks.

    Args:
        folder: Where the tokenizer's files are written.
        **changes: Options of diffusers' FluxTransformer2DModel to change.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    clip = tiny_tokenizer(folder / "tokenizer")
    settings = {
        "patch_size": 1, "in_channels": 4 * LATENT_CHANNELS, "num_layers": 2, "num_single_layers": 2,
        "attention_head_dim": HEAD_DIM, "num_attention_heads": HEADS, "joint_attention_dim": 2 * WIDE,
        "pooled_projection_dim": WIDE, "axes_dims_rope": (2, 2, 4), "guidance_embeds": False,
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(**{**settings, **changes}).eval()
    pipe = FluxPipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=shifted_vae(),
        text_encoder=tiny_clip_encoder(clip), tokenizer=clip,
        text_encoder_2=tiny_t5_encoder(2 * WIDE), tokenizer_2=tiny_t5_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)
