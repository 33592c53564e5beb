"""A tiny Qwen-Image."""

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


def tiny_qwenimage(folder: Path, **changes: Any) -> Any:
    """A QwenImagePipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' QwenImageTransformer2DModel to change.
    """
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImagePipeline,
        QwenImageTransformer2DModel,
    )

    settings = {
        "patch_size": 2, "in_channels": 4 * LATENT_CHANNELS, "out_channels": LATENT_CHANNELS, "num_layers": 2,
        "attention_head_dim": HEAD_DIM, "num_attention_heads": HEADS, "joint_attention_dim": 2 * WIDE,
        "axes_dims_rope": (2, 2, 4),
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = QwenImageTransformer2DModel(**{**settings, **changes}).eval()
    vae = AutoencoderKLQwenImage(
        base_dim=4, z_dim=LATENT_CHANNELS, dim_mult=[1, 2, 2, 2], num_res_blocks=1,
        latents_mean=[0.0] * LATENT_CHANNELS, latents_std=[1.0] * LATENT_CHANNELS,
    ).eval()  # fmt: skip
    tokenizer = tiny_qwen_tokenizer()
    pipe = QwenImagePipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae,
        text_encoder=tiny_decoder("Qwen3", 2 * WIDE, QWEN_WORDS), tokenizer=tokenizer,
    )  # fmt: skip
    before = pipe.prompt_template_encode.partition("<|im_start|>user\n")
    pipe.prompt_template_encode_start_idx = len(tokenizer("".join(before[:2]))["input_ids"])
    return quiet(pipe)
