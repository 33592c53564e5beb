"""Tiny models that are built as Flux is: Bria, Ovis-Image and LongCat-Image."""

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
    shifted_vae,
    tiny_decoder,
    tiny_qwen_tokenizer,
    tiny_t5_encoder,
    tiny_t5_tokenizer,
    tiny_vae,
)

_SETTINGS = {
    "patch_size": 1, "in_channels": 4 * LATENT_CHANNELS, "num_layers": 1, "num_single_layers": 1,
    "attention_head_dim": HEAD_DIM, "num_attention_heads": HEADS, "joint_attention_dim": 2 * WIDE,
    "axes_dims_rope": [2, 2, 4],
}  # fmt: skip
_LONGCAT_CHANNELS = 16
"""Of its latent, whatever its VAE says."""


def tiny_bria(folder: Path, **changes: Any) -> Any:
    """A BriaPipeline with a double and a single block.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' BriaTransformer2DModel to change.
    """
    from diffusers import BriaPipeline, BriaTransformer2DModel, FlowMatchEulerDiscreteScheduler

    torch.manual_seed(0)
    transformer = BriaTransformer2DModel(**{**_SETTINGS, **changes}).eval()
    pipe = BriaPipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=tiny_vae(shift_factor=0.0),
        text_encoder=tiny_t5_encoder(2 * WIDE), tokenizer=tiny_t5_tokenizer(),
    )  # fmt: skip
    return quiet(pipe)


def tiny_ovis(folder: Path, **changes: Any) -> Any:
    """An OvisImagePipeline with a double and a single block.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' OvisImageTransformer2DModel to change.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler, OvisImagePipeline, OvisImageTransformer2DModel

    settings = {**_SETTINGS, "out_channels": 4 * LATENT_CHANNELS}
    torch.manual_seed(0)
    transformer = OvisImageTransformer2DModel(**{**settings, **changes}).eval()
    pipe = OvisImagePipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=shifted_vae(),
        text_encoder=tiny_decoder("Qwen3", 2 * WIDE, QWEN_WORDS), tokenizer=tiny_qwen_tokenizer(),
    )  # fmt: skip
    pipe.system_prompt = "the star: "
    pipe.user_prompt_begin_id = len(pipe.tokenizer("<|im_start|>user\nthe star:")["input_ids"])
    return quiet(pipe)


def tiny_longcat(folder: Path, **changes: Any) -> Any:
    """A LongCatImagePipeline with a double and a single block. Call it with `enable_prompt_rewrite=False`.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' LongCatImageTransformer2DModel to change.
    """
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        LongCatImagePipeline,
        LongCatImageTransformer2DModel,
    )

    torch.manual_seed(0)
    settings = {**_SETTINGS, "in_channels": 4 * _LONGCAT_CHANNELS}
    transformer = LongCatImageTransformer2DModel(**{**settings, **changes}).eval()
    tokenizer = tiny_qwen_tokenizer()
    pipe = LongCatImagePipeline(
        transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=tiny_vae(_LONGCAT_CHANNELS, shift_factor=0.1),
        text_encoder=tiny_decoder("Qwen3", 2 * WIDE, QWEN_WORDS), tokenizer=tokenizer, text_processor=tokenizer,
    )  # fmt: skip
    pipe.tokenizer_max_length = 32
    return quiet(pipe)
