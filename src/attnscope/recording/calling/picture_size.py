"""How large pictures are: how many pixels a latent place covers, and what a pipeline gave."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from attnscope.records.layers import SizeHW

_DECODERS = ("vae", "vqvae", "movq", "vqgan")
"""What pipelines call the model that turns a latent into pixels."""
_SCALES = (
    "vae_scale_factor",
    "vae_scale_factor_spatial",
    "vae_spatial_compression_ratio",
    "vae_spatial_scale_factor",
)
_SCALES_OF_TIME = (
    "vae_scale_factor_temporal",
    "vae_temporal_compression_ratio",
    "vae_temporal_scale_factor",
)


def pixels_per_latent(pipeline: Any) -> int | None:
    """Pixels along each side of a latent place; 1 for a model of pixels, None if unknown.

    Args:
        pipeline: The pipeline.
    """
    decoders = [part for name in _DECODERS if (part := getattr(pipeline, name, None)) is not None]
    if not decoders:
        return 1
    if (scale := _first_number(pipeline, _SCALES)) is not None:
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


def frames_shown(pipeline: Any, latent_frames: int, frames: int) -> list[int]:
    """Of each frame of a latent, the number of the video's frame in the middle of those that it stands for.

    Args:
        pipeline: The pipeline, which says how many frames of a video are one of the latent.
        latent_frames: Frames of the latent.
        frames: Frames of the video.

    Returns:
        The numbers; none where these frames of a latent don't make such a video.
    """
    of_one = _first_number(pipeline, _SCALES_OF_TIME) or 1
    numbers = range(latent_frames)
    if frames == (latent_frames - 1) * of_one + 1:  # the first one stands for one frame
        return [0, *((number - 1) * of_one + 1 + (of_one - 1) // 2 for number in numbers[1:])]
    if frames == latent_frames * of_one:
        return [number * of_one + (of_one - 1) // 2 for number in numbers]
    return []


def _first_number(pipeline: Any, names: tuple[str, ...]) -> int | None:
    found = (getattr(pipeline, name, None) for name in names)
    return next((number for number in found if isinstance(number, int)), None)
