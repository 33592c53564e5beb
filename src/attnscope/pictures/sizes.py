"""Sizes of pictures, always (height, width), and the size at which a model sees one."""

from __future__ import annotations

import math

from PIL import Image

from attnscope.errors import ImageError
from attnscope.records.layers import SizeHW

MAX_ASPECT = 16
"""Longer side / shorter side; beyond it a latent of the model's area is thinner than its U-Net."""


def size_hw(image: Image.Image) -> SizeHW:
    """(height, width) of a PIL image in pixels.

    Args:
        image: The picture.
    """
    return image.height, image.width


def fitted_size(size_hw: SizeHW, *, native_px: int, multiple_px: int) -> SizeHW:
    """The size at which a model should see a picture: its aspect ratio, at the area that the model was trained on.

    Args:
        size_hw: (height, width) of the picture in pixels.
        native_px: Side of the square that the model was trained on, in pixels.
        multiple_px: Both sides of the result are multiples of it, so that the U-Net can halve them.

    Returns:
        (height, width) in pixels with the least |log aspect error| + |log area error| / 2: shape counts more than area.

    Raises:
        ImageError: The picture is more than 16 times as long as it is wide, or the reverse.
    """
    height, width = size_hw
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise ImageError(
            f"the picture is {height}x{width} (height x width), {max(size_hw) / min(size_hw):.0f}:1; at most "
            f"{MAX_ASPECT}:1 fits the model. Cut it into pieces, or take its middle square with crop=True"
        )
    most = MAX_ASPECT * native_px // multiple_px

    def misfit(rows: int, columns: int) -> float:
        shape, area = rows * width / (columns * height), rows * columns * (multiple_px / native_px) ** 2
        return abs(math.log(shape)) + abs(math.log(area)) / 2

    pairs = ((rows, max(round(rows * width / height), 1)) for rows in range(1, most + 1))
    rows, columns = min(pairs, key=lambda pair: misfit(*pair))
    return rows * multiple_px, columns * multiple_px


def middle_box(size_hw: SizeHW) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the largest square in the middle of a picture, as the DiffSeg paper crops it.

    Args:
        size_hw: (height, width) of the picture in pixels.
    """
    height, width = size_hw
    side = min(size_hw)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def resized(image: Image.Image, size_hw: SizeHW) -> Image.Image:
    """A picture at another size, smoothed before it is made smaller (Lanczos).

    Args:
        image: The picture.
        size_hw: (height, width) in pixels.
    """
    return (
        image
        if (image.height, image.width) == size_hw
        else image.resize(size_hw[::-1], Image.Resampling.LANCZOS)
    )
