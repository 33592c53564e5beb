"""A tiny Mochi."""

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
    tiny_t5_encoder,
    tiny_t5_tokenizer,
)


def tiny_mochi(folder: Path, **changes: Any) -> Any:
    """A MochiPipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' MochiTransformer3DModel to change.
    """
    from diffusers import (
        AutoencoderKLMochi,
        FlowMatchEulerDiscreteScheduler,
        MochiPipeline,
        MochiTransformer3DModel,
    )

    settings = {
        "num_attention_heads": HEADS, "attention_head_dim": HEAD_DIM, "num_layers": 2, "pooled_projection_dim": WIDE,
        "in_channels": 12, "text_embed_dim": 2 * WIDE, "time_embed_dim": 8,
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = MochiTransformer3DModel(**{**settings, **changes}).eval()
    vae = AutoencoderKLMochi(
        encoder_block_out_channels=(32, 32, 32, 32), decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
    )  # fmt: skip
    pipe = MochiPipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae.eval(),
        text_encoder=tiny_t5_encoder(2 * WIDE), tokenizer=tiny_t5_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)
