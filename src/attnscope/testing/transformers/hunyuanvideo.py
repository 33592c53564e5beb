"""A tiny HunyuanVideo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from attnscope.testing.tiny_models import tiny_tokenizer
from attnscope.testing.transformers.parts import (
    HEAD_DIM,
    HEADS,
    LATENT_CHANNELS,
    WIDE,
    quiet,
    sharp,
    tiny_clip_encoder,
    tiny_decoder,
    tiny_gemma_tokenizer,
)


def tiny_hunyuanvideo(folder: Path, **changes: Any) -> Any:
    """A HunyuanVideoPipeline with two double and two single blocks.

    Args:
        folder: Where the tokenizer's files are written.
        **changes: Options of diffusers' HunyuanVideoTransformer3DModel to change.
    """
    from diffusers import (
        AutoencoderKLHunyuanVideo,
        FlowMatchEulerDiscreteScheduler,
        HunyuanVideoPipeline,
        HunyuanVideoTransformer3DModel,
    )

    clip, llama = tiny_tokenizer(folder / "tokenizer"), tiny_gemma_tokenizer()
    llama.padding_side = "right"
    settings = {
        "in_channels": LATENT_CHANNELS, "out_channels": LATENT_CHANNELS, "num_attention_heads": HEADS,
        "attention_head_dim": HEAD_DIM, "num_layers": 2, "num_single_layers": 2, "num_refiner_layers": 1,
        "text_embed_dim": 2 * WIDE, "pooled_projection_dim": WIDE, "rope_axes_dim": (2, 2, 4),
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = HunyuanVideoTransformer3DModel(**{**settings, **changes}).eval()
    vae = AutoencoderKLHunyuanVideo(
        latent_channels=LATENT_CHANNELS, block_out_channels=(4, 4, 4, 4), layers_per_block=1, norm_num_groups=2,
        down_block_types=("HunyuanVideoDownBlock3D",) * 4, up_block_types=("HunyuanVideoUpBlock3D",) * 4,
    )  # fmt: skip
    pipe = HunyuanVideoPipeline(
        text_encoder=tiny_decoder("Llama", 2 * WIDE), tokenizer=llama, transformer=sharp(transformer),
        vae=vae.eval(), scheduler=FlowMatchEulerDiscreteScheduler(), text_encoder_2=tiny_clip_encoder(clip),
        tokenizer_2=clip,
    )  # fmt: skip
    return quiet(pipe)
