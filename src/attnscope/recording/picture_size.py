"""How large pictures are: how many pixels a latent place covers, and what a pipeline gave."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from attnscope.records.layers import SizeHW

_DECODERS = ("vae", "vqvae", "movq", "vqgan")
"""What pipelines call the model that turns a latent into pixels."""


def pixels_per_latent(pipeline: Any) -> int | None:
    """Pixels along each side of a latent place; 1 for a model of pixels, None if unknown.

    Args:
        pipeline: The pipeline.
    """
    decoders = [part for name in _DECODERS if (part := getattr(pipeline, name, None)) is not None]
    if not decoders:
        return 1
    scale = getattr(pipeline, "vae_scale_factor", None)
    if isinstance(scale, int):
        return scale
    levels = getattr(getattr(decoders[0], "config", None), "block_out_channels", None)
    return 2 ** (len(levels) - 1) if levels else None


def size_of_pictures(result: Any, output_type: Any) -> SizeHW | None:
    """Height and width of pictures in any of diffusers' forms; None for latents.

    Args:
        result: What a pipeline's image processor gave.
        output_type: The form that was asked for.
    """
    if isinstance(result, np.ndarray) and result.ndim == 4:
        return result.shape[1], result.shape[2]
    if isinstance(result, Tensor) and result.ndim == 4 and output_type == "pt":
        return result.shape[2], result.shape[3]
    if isinstance(result, list) and result and hasattr(result[0], "convert"):
        return result[0].height, result[0].width
    return None
