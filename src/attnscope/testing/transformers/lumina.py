"""A tiny Lumina-Next and Lumina-Image 2.0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from attnscope.testing.transformers.parts import (
    WIDE,
    quiet,
    sharp,
    tiny_decoder,
    tiny_gemma_tokenizer,
    tiny_vae,
)

_SETTINGS = {
    "sample_size": 16, "patch_size": 2, "in_channels": 4, "hidden_size": 32, "num_layers": 2, "num_attention_heads": 4,
    "num_kv_heads": 2, "multiple_of": 16,
}  # fmt: skip


def tiny_lumina(folder: Path, **changes: Any) -> Any:
    """A LuminaPipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' LuminaNextDiT2DModel to change.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler, LuminaNextDiT2DModel, LuminaPipeline

    torch.manual_seed(0)
    transformer = LuminaNextDiT2DModel(**{**_SETTINGS, "cross_attention_dim": 2 * WIDE, **changes}).eval()
    pipe = LuminaPipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=tiny_vae(),
        text_encoder=tiny_decoder("Gemma", 2 * WIDE), tokenizer=tiny_gemma_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)


def tiny_lumina2(folder: Path, **changes: Any) -> Any:
    """A Lumina2Pipeline with a refiner of the text, one of the image, and two joint blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' Lumina2Transformer2DModel to change.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler, Lumina2Pipeline, Lumina2Transformer2DModel

    settings = {**_SETTINGS, "num_refiner_layers": 1, "axes_dim_rope": (4, 2, 2), "cap_feat_dim": 2 * WIDE}
    torch.manual_seed(0)
    transformer = Lumina2Transformer2DModel(**{**settings, **changes}).eval()
    pipe = Lumina2Pipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=tiny_vae(shift_factor=0.1),
        text_encoder=tiny_decoder("Gemma2", 2 * WIDE), tokenizer=tiny_gemma_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)
