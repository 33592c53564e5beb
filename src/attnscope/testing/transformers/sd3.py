"""A tiny Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from attnscope.testing.tiny_models import tiny_tokenizer
from attnscope.testing.transformers.parts import (
    HEAD_DIM,
    HEADS,
    WIDE,
    quiet,
    sharp,
    shifted_vae,
    tiny_clip_encoder,
    tiny_t5_encoder,
    tiny_t5_tokenizer,
)


def tiny_sd3(folder: Path, **changes: Any) -> Any:
    """A StableDiffusion3Pipeline with three blocks, the second with an attention of the image to itself (as in 3.5).

    Args:
        folder: Where the tokenizer's files are written.
        **changes: Options of diffusers' SD3Transformer2DModel to change.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    clip = tiny_tokenizer(folder / "tokenizer")
    settings = {
        "sample_size": 16, "patch_size": 2, "in_channels": 4, "num_layers": 3, "num_attention_heads": HEADS,
        "attention_head_dim": HEAD_DIM, "joint_attention_dim": 2 * WIDE, "caption_projection_dim": HEADS * HEAD_DIM,
        "pooled_projection_dim": 2 * WIDE, "out_channels": 4, "pos_embed_max_size": 32, "dual_attention_layers": (1,),
        "qk_norm": "rms_norm",
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(**{**settings, **changes}).eval()
    pipe = StableDiffusion3Pipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=shifted_vae(),
        text_encoder=tiny_clip_encoder(clip, projection=True), tokenizer=clip,
        text_encoder_2=tiny_clip_encoder(clip, projection=True), tokenizer_2=clip,
        text_encoder_3=tiny_t5_encoder(2 * WIDE), tokenizer_3=tiny_t5_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)
