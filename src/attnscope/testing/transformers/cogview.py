"""A tiny CogView3-Plus and CogView4."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from attnscope.testing.transformers.parts import (
    HEAD_DIM,
    HEADS,
    WIDE,
    quiet,
    sharp,
    tiny_decoder,
    tiny_glm_tokenizer,
    tiny_t5_encoder,
    tiny_t5_tokenizer,
    tiny_vae,
)

_SETTINGS = {
    "patch_size": 2, "in_channels": 4, "out_channels": 4, "num_layers": 2, "attention_head_dim": HEAD_DIM,
    "num_attention_heads": HEADS, "text_embed_dim": 2 * WIDE, "time_embed_dim": 8, "condition_dim": 2,
    "pos_embed_max_size": 8, "sample_size": 16,
}  # fmt: skip


def tiny_cogview3(folder: Path, **changes: Any) -> Any:
    """A CogView3PlusPipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' CogView3PlusTransformer2DModel to change.
    """
    from diffusers import CogVideoXDDIMScheduler, CogView3PlusPipeline, CogView3PlusTransformer2DModel

    torch.manual_seed(0)
    transformer = CogView3PlusTransformer2DModel(**{**_SETTINGS, **changes}).eval()
    pipe = CogView3PlusPipeline(
        transformer=sharp(transformer), scheduler=CogVideoXDDIMScheduler(), vae=tiny_vae(),
        text_encoder=tiny_t5_encoder(2 * WIDE), tokenizer=tiny_t5_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)


def tiny_cogview4(folder: Path, **changes: Any) -> Any:
    """A CogView4Pipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' CogView4Transformer2DModel to change.
    """
    from diffusers import CogView4Pipeline, CogView4Transformer2DModel, FlowMatchEulerDiscreteScheduler

    torch.manual_seed(0)
    transformer = CogView4Transformer2DModel(**{**_SETTINGS, **changes}).eval()
    pipe = CogView4Pipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=tiny_vae(),
        text_encoder=tiny_decoder("Glm", 2 * WIDE), tokenizer=tiny_glm_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)
