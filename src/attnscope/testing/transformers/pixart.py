"""A tiny PixArt-alpha and -sigma."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from attnscope.testing.transformers.parts import (
    HEAD_DIM,
    HEADS,
    WIDE,
    quiet,
    sharp,
    tiny_t5_encoder,
    tiny_t5_tokenizer,
    tiny_vae,
)


def tiny_pixart(folder: Path, **changes: Any) -> Any:
    """A PixArtAlphaPipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' PixArtTransformer2DModel to change.
    """
    return _made("PixArtAlphaPipeline", changes)


def tiny_pixart_sigma(folder: Path, **changes: Any) -> Any:
    """A PixArtSigmaPipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' PixArtTransformer2DModel to change.
    """
    return _made("PixArtSigmaPipeline", changes)


def _made(name: str, changes: Mapping[str, Any]) -> Any:
    import diffusers

    settings = {
        "sample_size": 16, "num_layers": 2, "patch_size": 2, "attention_head_dim": HEAD_DIM,
        "num_attention_heads": HEADS, "caption_channels": 2 * WIDE, "in_channels": 4, "cross_attention_dim": 16,
        "out_channels": 8, "attention_bias": True, "activation_fn": "gelu-approximate", "num_embeds_ada_norm": 1000,
        "norm_type": "ada_norm_single", "norm_elementwise_affine": False, "norm_eps": 1e-6,
        "use_additional_conditions": False,
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = diffusers.PixArtTransformer2DModel(**{**settings, **changes}).eval()
    pipe = getattr(diffusers, name)(
        transformer=sharp(transformer), scheduler=diffusers.DDIMScheduler(), vae=tiny_vae(),
        text_encoder=tiny_t5_encoder(2 * WIDE), tokenizer=tiny_t5_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)
