"""A tiny HunyuanDiT."""

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
    tiny_bert_encoder,
    tiny_bert_tokenizer,
    tiny_t5_encoder,
    tiny_t5_tokenizer,
    tiny_vae,
)


def tiny_hunyuandit(folder: Path, **changes: Any) -> Any:
    """A HunyuanDiTPipeline with four blocks, the last of which also gets what the first one made.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' HunyuanDiT2DModel to change.
    """
    from diffusers import DDPMScheduler, HunyuanDiT2DModel, HunyuanDiTPipeline

    settings = {
        "sample_size": 16, "num_layers": 4, "patch_size": 2, "attention_head_dim": HEAD_DIM,
        "num_attention_heads": HEADS, "in_channels": 4, "hidden_size": HEADS * HEAD_DIM,
        "cross_attention_dim": 2 * WIDE, "cross_attention_dim_t5": 2 * WIDE, "pooled_projection_dim": WIDE,
        "activation_fn": "gelu-approximate",
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = HunyuanDiT2DModel(**{**settings, **changes}).eval()
    pipe = HunyuanDiTPipeline(
        transformer=sharp(transformer), scheduler=DDPMScheduler(), vae=tiny_vae(), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False, text_encoder=tiny_bert_encoder(2 * WIDE),
        tokenizer=tiny_bert_tokenizer(), text_encoder_2=tiny_t5_encoder(2 * WIDE), tokenizer_2=tiny_t5_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)
