"""A tiny Z-Image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from attnscope.testing.transformers.parts import (
    HEAD_DIM,
    HEADS,
    LATENT_CHANNELS,
    QWEN_WORDS,
    WIDE,
    quiet,
    sharp,
    shifted_vae,
    tiny_decoder,
    tiny_qwen_tokenizer,
)


def tiny_zimage(folder: Path, **changes: Any) -> Any:
    """A ZImagePipeline with a refiner of the image, one of the text, and two joint blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' ZImageTransformer2DModel to change.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel

    settings = {
        "in_channels": LATENT_CHANNELS, "dim": HEADS * HEAD_DIM, "n_layers": 2, "n_refiner_layers": 1, "n_heads": HEADS,
        "n_kv_heads": HEADS, "cap_feat_dim": 2 * WIDE, "axes_dims": [2, 2, 4], "axes_lens": [512, 128, 128],
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = ZImageTransformer2DModel(**{**settings, **changes}).eval()
    pipe = ZImagePipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=shifted_vae(),
        text_encoder=tiny_decoder("Qwen3", 2 * WIDE, QWEN_WORDS), tokenizer=tiny_qwen_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)
