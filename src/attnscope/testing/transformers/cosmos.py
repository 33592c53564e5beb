"""A tiny Cosmos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from attnscope.testing.transformers.parts import (
    HEADS,
    LATENT_CHANNELS,
    WIDE,
    quiet,
    sharp,
    tiny_t5_encoder,
    tiny_t5_tokenizer,
)


def tiny_cosmos(folder: Path, **changes: Any) -> Any:
    """A CosmosTextToWorldPipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' CosmosTransformer3DModel to change.
    """
    from diffusers import (
        AutoencoderKLCosmos,
        CosmosTextToWorldPipeline,
        CosmosTransformer3DModel,
        EDMEulerScheduler,
    )

    settings = {
        "in_channels": LATENT_CHANNELS, "out_channels": LATENT_CHANNELS, "num_attention_heads": HEADS,
        "attention_head_dim": WIDE, "num_layers": 2, "text_embed_dim": 2 * WIDE, "adaln_lora_dim": 4,
        "max_size": (4, 32, 32), "rope_scale": (2.0, 1.0, 1.0), "concat_padding_mask": False,
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = CosmosTransformer3DModel(**{**settings, **changes}).eval()
    vae = AutoencoderKLCosmos(
        latent_channels=LATENT_CHANNELS, encoder_block_out_channels=(8, 8, 8, 8), resolution=64, num_layers=2,
        decode_block_out_channels=(8, 8, 8, 8), attention_resolutions=(8,),
    )  # fmt: skip
    pipe = CosmosTextToWorldPipeline(
        text_encoder=tiny_t5_encoder(2 * WIDE), tokenizer=tiny_t5_tokenizer(), transformer=sharp(transformer),
        vae=vae.eval(), scheduler=EDMEulerScheduler(final_sigmas_type="sigma_min"), safety_checker=_Harmless(),
    )  # fmt: skip
    return quiet(pipe)


class _Harmless(nn.Module):
    """In place of Cosmos' guardrail, a package of its own."""

    device, dtype = torch.device("cpu"), torch.float32

    def check_text_safety(self, prompt: str) -> bool:
        return True

    def check_video_safety(self, video: Any) -> Any:
        return video
