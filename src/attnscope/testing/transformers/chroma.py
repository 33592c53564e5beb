"""A tiny Chroma."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from attnscope.testing.transformers.parts import (
    HEAD_DIM,
    HEADS,
    LATENT_CHANNELS,
    WIDE,
    quiet,
    sharp,
    shifted_vae,
    tiny_t5_encoder,
    tiny_t5_tokenizer,
)


def tiny_chroma(folder: Path, **changes: Any) -> Any:
    """A ChromaPipeline with two double and two single blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' ChromaTransformer2DModel to change.
    """
    from diffusers import ChromaPipeline, ChromaTransformer2DModel, FlowMatchEulerDiscreteScheduler

    settings = {
        "patch_size": 1, "in_channels": 4 * LATENT_CHANNELS, "num_layers": 2, "num_single_layers": 2,
        "attention_head_dim": HEAD_DIM, "num_attention_heads": HEADS, "joint_attention_dim": 2 * WIDE,
        "axes_dims_rope": (2, 2, 4), "approximator_num_channels": 8, "approximator_hidden_dim": 16,
        "approximator_layers": 1,
    }  # fmt: skip
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`FluxPosEmbed`", FutureWarning)  # diffusers' own import
        transformer = ChromaTransformer2DModel(**{**settings, **changes}).eval()
    pipe = ChromaPipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=shifted_vae(),
        text_encoder=tiny_t5_encoder(2 * WIDE), tokenizer=tiny_t5_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)
