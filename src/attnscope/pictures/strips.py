"""Large pictures a few rows at a time, so that what is computed of them takes the memory of a strip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer
from PIL import Image

from attnscope.records.layers import SizeHW

LARGE_PIXELS = 40_000_000
"""From here on a photo is decoded when it is asked for and not kept, and up to 256 labels take a byte a pixel."""
PIXELS_AT_ONCE = 1 << 20


class Strips(NamedTuple):
    """A picture that is made a few rows at a time.

    Attributes:
        size_hw: (height, width) in pixels.
        strips: RGB pictures of that width, from top to bottom.
    """

    size_hw: SizeHW
    strips: Iterator[Image.Image]


def strips(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture in strips of about a million pixels.

    Args:
        height: In pixels.
        width: In pixels.
    """
    rows = max(1, PIXELS_AT_ONCE // max(1, width))
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def renumbered(
    labels: Integer[np.ndarray, "height width"], numbers: Integer[np.ndarray, " label"]
) -> Integer[np.ndarray, "height width"]:
    """The same array, each label replaced by its new number.

    Args:
        labels: The segment of every pixel, which is changed.
        numbers: The new number of each label.
    """
    for rows in strips(*labels.shape):
        labels[rows] = numbers[labels[rows]]
    return labels


def pixels_of_labels(
    labels: Integer[np.ndarray, "height width"], count: int
) -> Integer[np.ndarray, " label"]:
    """How many pixels each label has.

    Args:
        labels: The segment of every pixel.
        count: How many labels there may be.
    """
    pixels = np.zeros(count, dtype=np.int64)
    for rows in strips(*labels.shape):
        pixels += np.bincount(labels[rows].ravel(), minlength=count)
    return pixels
