"""A tiny LTX-Video."""

from __future__ import annotations

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
    tiny_t5_encoder,
    tiny_t5_tokenizer,
)


def tiny_ltx(folder: Path, **changes: Any) -> Any:
    """An LTXPipeline with two blocks; a place of the latent is 16 pixels, and a frame of it 2 frames.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' LTXVideoTransformer3DModel to change.
    """
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXPipeline,
        LTXVideoTransformer3DModel,
    )

    settings = {
        "in_channels": LATENT_CHANNELS, "out_channels": LATENT_CHANNELS, "num_attention_heads": HEADS,
        "attention_head_dim": HEAD_DIM, "cross_attention_dim": HEADS * HEAD_DIM, "num_layers": 2,
        "caption_channels": 2 * WIDE,
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = LTXVideoTransformer3DModel(**{**settings, **changes}).eval()
    vae = AutoencoderKLLTXVideo(
        latent_channels=LATENT_CHANNELS, block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        layers_per_block=(1, 1, 1), decoder_layers_per_block=(1, 1, 1), spatio_temporal_scaling=(True, True),
        decoder_spatio_temporal_scaling=(True, True), decoder_inject_noise=(False, False, False),
        upsample_residual=(False, False), upsample_factor=(1, 1), down_block_types=("LTXVideoDownBlock3D",) * 2,
        downsample_type=("conv", "conv"),
    )  # fmt: skip
    pipe = LTXPipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae.eval(),
        text_encoder=tiny_t5_encoder(2 * WIDE), tokenizer=tiny_t5_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)
