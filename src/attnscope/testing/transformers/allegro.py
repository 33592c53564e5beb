"""A tiny Allegro."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from attnscope.testing.transformers.parts import (
    HEADS,
    LATENT_CHANNELS,
    WIDE,
    quiet,
    sharp,
    tiny_t5_encoder,
    tiny_t5_tokenizer,
)


def tiny_allegro(folder: Path, **changes: Any) -> Any:
    """An AllegroPipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' AllegroTransformer3DModel to change.
    """
    from diffusers import AllegroPipeline, AllegroTransformer3DModel, AutoencoderKLAllegro, DDIMScheduler

    settings = {
        "num_attention_heads": HEADS, "attention_head_dim": 12, "cross_attention_dim": 12 * HEADS, "num_layers": 2,
        "caption_channels": 2 * WIDE, "sample_height": 12, "sample_width": 16, "sample_frames": 3,
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = AllegroTransformer3DModel(**{**settings, **changes}).eval()
    vae = AutoencoderKLAllegro(
        block_out_channels=(4, 4, 4, 4), layers_per_block=1, norm_num_groups=2,
        latent_channels=LATENT_CHANNELS, down_block_types=("AllegroDownBlock3D",) * 4,
        up_block_types=("AllegroUpBlock3D",) * 4,
    )  # fmt: skip
    vae.enable_tiling()  # its decoder knows no other way
    pipe = AllegroPipeline(
        transformer=sharp(transformer), scheduler=DDIMScheduler(), vae=vae.eval(),
        text_encoder=tiny_t5_encoder(2 * WIDE), tokenizer=tiny_t5_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)
