"""From merged maps to the segment of every pixel, in little memory."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from attnscope.diffseg.suppression import segment_map
from attnscope.pictures.strips import LARGE_PIXELS, pixels_of_labels, renumbered
from attnscope.records.layers import SizeHW

Merged = Float[Tensor, "segment grid_height grid_width"]


def label_map(
    merged: Merged, size_hw: SizeHW
) -> tuple[Integer[np.ndarray, "height width"], Bool[Tensor, " segment"]]:
    """The segment of every pixel, numbered without gaps, and which of the maps have a pixel.

    Args:
        merged: The map of each segment on the grid.
        size_hw: Height and width of the labels in pixels.

    Returns:
        Labels as int32; as uint8 for up to 256 segments of more than `LARGE_PIXELS`.
    """
    small = math.prod(size_hw) > LARGE_PIXELS and len(merged) <= 256
    labels = segment_map(merged, size_hw, dtype=torch.uint8 if small else torch.int32).cpu().numpy()
    present = pixels_of_labels(labels, len(merged)) > 0
    if not present.all():
        labels = renumbered(labels, (present.cumsum() - 1).astype(labels.dtype))
    return labels, torch.from_numpy(present).to(merged.device)
