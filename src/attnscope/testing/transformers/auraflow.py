"""A tiny AuraFlow."""

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
    tiny_vae,
)


def tiny_auraflow(folder: Path, **changes: Any) -> Any:
    """An AuraFlowPipeline with two double and two single blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' AuraFlowTransformer2DModel to change.
    """
    from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel, FlowMatchEulerDiscreteScheduler

    settings = {
        "sample_size": 16, "patch_size": 2, "in_channels": 4, "num_mmdit_layers": 2, "num_single_dit_layers": 2,
        "attention_head_dim": HEAD_DIM, "num_attention_heads": HEADS, "joint_attention_dim": 2 * WIDE,
        "caption_projection_dim": HEADS * HEAD_DIM, "pos_embed_max_size": 256,
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = AuraFlowTransformer2DModel(**{**settings, **changes}).eval()
    pipe = AuraFlowPipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=tiny_vae(),
        text_encoder=tiny_t5_encoder(2 * WIDE, kind="UMT5"), tokenizer=tiny_t5_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)
