"""A tiny CogVideoX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from attnscope.testing.transformers.parts import (
    HEAD_DIM,
    HEADS,
    LATENT_CHANNELS,
    T5_KEYS,
    WIDE,
    quiet,
    sharp,
    tiny_t5_encoder,
    tiny_t5_tokenizer,
)


def tiny_cogvideox(folder: Path, **changes: Any) -> Any:
    """A CogVideoXPipeline with two blocks, for 9 frames in 3 of the latent.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' CogVideoXTransformer3DModel to change.
    """
    from diffusers import (
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXPipeline,
        CogVideoXTransformer3DModel,
    )

    settings = {
        "num_attention_heads": HEADS, "attention_head_dim": 2 * HEAD_DIM, "in_channels": LATENT_CHANNELS,
        "out_channels": LATENT_CHANNELS, "time_embed_dim": 8, "text_embed_dim": 2 * WIDE, "num_layers": 2,
        "sample_width": 16, "sample_height": 12, "sample_frames": 9, "patch_size": 2, "max_text_seq_length": T5_KEYS,
        "use_rotary_positional_embeddings": True,
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = CogVideoXTransformer3DModel(**{**settings, **changes}).eval()
    vae = AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(4, 4, 4, 4), latent_channels=LATENT_CHANNELS, layers_per_block=1, norm_num_groups=2,
    )  # fmt: skip
    pipe = CogVideoXPipeline(
        tokenizer=tiny_t5_tokenizer(), text_encoder=tiny_t5_encoder(2 * WIDE), vae=vae.eval(),
        transformer=sharp(transformer), scheduler=CogVideoXDDIMScheduler(),
    )  # fmt: skip
    return quiet(pipe)
