"""A tiny PRX."""

from __future__ import annotations

import warnings
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
    shifted_vae,
    tiny_t5_encoder,
    tiny_t5_tokenizer,
)


class _Cleaning:
    """Cleans prompts without the package ftfy, which the pipeline's own needs."""

    clean_text = basic_clean = staticmethod(str.strip)


def tiny_prx(folder: Path, **changes: Any) -> Any:
    """A PRXPipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' PRXTransformer2DModel to change.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler, PRXPipeline, PRXTransformer2DModel

    settings = {
        "in_channels": LATENT_CHANNELS, "patch_size": 2, "context_in_dim": 2 * WIDE, "hidden_size": HEADS * HEAD_DIM,
        "num_heads": HEADS, "depth": 2, "axes_dim": [4, 4],
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = PRXTransformer2DModel(**{**settings, **changes}).eval()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`LoraLoaderMixin`", FutureWarning)  # diffusers' own parent class
        pipe = PRXPipeline(
            transformer=sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=shifted_vae(),
            text_encoder=tiny_t5_encoder(2 * WIDE), tokenizer=tiny_t5_tokenizer(),
        )  # fmt: skip
    pipe.text_preprocessor = _Cleaning()
    return quiet(pipe)
