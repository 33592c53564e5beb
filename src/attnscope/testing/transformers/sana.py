"""A tiny Sana."""

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
    tiny_gemma_tokenizer,
)


def tiny_sana(folder: Path, **changes: Any) -> Any:
    """A SanaPipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' SanaTransformer2DModel to change.
    """
    from diffusers import AutoencoderDC, FlowMatchEulerDiscreteScheduler, SanaPipeline, SanaTransformer2DModel

    settings = {
        "sample_size": 16, "patch_size": 1, "in_channels": 4, "out_channels": 4, "num_layers": 2,
        "num_attention_heads": HEADS, "attention_head_dim": HEAD_DIM, "num_cross_attention_heads": HEADS,
        "cross_attention_head_dim": HEAD_DIM, "cross_attention_dim": HEADS * HEAD_DIM, "caption_channels": 2 * WIDE,
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = SanaTransformer2DModel(**{**settings, **changes}).eval()
    vae = AutoencoderDC(
        latent_channels=4, attention_head_dim=2, encoder_block_types=("ResBlock",) * 4,
        decoder_block_types=("ResBlock",) * 4, encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8), encoder_layers_per_block=(1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1), encoder_qkv_multiscales=((), (), (), ()),
        decoder_qkv_multiscales=((), (), (), ()), upsample_block_type="interpolate",
        downsample_block_type="stride_conv", decoder_norm_types="rms_norm", decoder_act_fns="silu",
    )  # fmt: skip
    pipe = SanaPipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae.eval(),
        text_encoder=tiny_decoder("Gemma2", 2 * WIDE), tokenizer=tiny_gemma_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)
