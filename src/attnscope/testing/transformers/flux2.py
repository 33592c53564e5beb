"""A tiny Flux 2, and its Klein."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from attnscope.testing.transformers.parts import (
    HEAD_DIM,
    HEADS,
    LATENT_CHANNELS,
    QWEN_WORDS,
    WIDE,
    quiet,
    sharp,
    tiny_decoder,
    tiny_qwen_tokenizer,
)

LAYERS_READ = (0, 1)
"""Of the text's encoder, the layers whose results are joined."""


def tiny_flux2(folder: Path, kind: str = "Flux2Pipeline", **changes: Any) -> Any:
    """A pipeline of Flux 2 with two double and two single blocks. Call it with `text_encoder_out_layers=(0, 1)`.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        kind: The class of the pipeline.
        **changes: Options of diffusers' Flux2Transformer2DModel to change.
    """
    import diffusers

    settings = {
        "in_channels": 4 * LATENT_CHANNELS, "num_layers": 2, "num_single_layers": 2, "attention_head_dim": HEAD_DIM,
        "num_attention_heads": HEADS, "joint_attention_dim": len(LAYERS_READ) * WIDE, "timestep_guidance_channels": 8,
        "axes_dims_rope": (2, 2, 2, 2), "guidance_embeds": kind == "Flux2Pipeline",
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = diffusers.Flux2Transformer2DModel(**{**settings, **changes}).eval()
    vae = diffusers.AutoencoderKLFlux2(
        block_out_channels=(4, 8, 8, 8),
        norm_num_groups=2,
        latent_channels=LATENT_CHANNELS,
        layers_per_block=1,
    ).eval()
    pipe = getattr(diffusers, kind)(
        transformer=sharp(transformer), scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), vae=vae,
        text_encoder=tiny_decoder("Qwen3", WIDE, QWEN_WORDS), tokenizer=tiny_qwen_tokenizer(),
    )  # fmt: skip
    if kind == "Flux2Pipeline":
        pipe.system_message = "the star"
    return quiet(pipe)


def tiny_flux2_klein(folder: Path, **changes: Any) -> Any:
    """A Flux2KleinPipeline.

    Args:
        folder: Not used.
        **changes: As for `tiny_flux2`.
    """
    return tiny_flux2(folder, "Flux2KleinPipeline", **changes)
