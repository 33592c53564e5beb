"""How many pixels a latent place covers, by the pipeline's own parts."""

from __future__ import annotations

from typing import Any

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
