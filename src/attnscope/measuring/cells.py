"""A mask of any size on the latent grid: of each cell the share that is in the mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from attnscope.errors import ParameterError
from attnscope.records.layers import SizeHW

CELLS = 1.5
"""How far the shape of a mask may be from that of the latent grid, in cells: pipelines pad to whole ones."""


def cells_inside(mask: Any, size: SizeHW, name: str) -> Float[np.ndarray, "height width"]:
    """Of each cell the share that is in a mask, by area.

    Args:
        mask: True inside, of any size and the picture's shape.
        size: Rows and columns of the grid.
        name: What the mask is of, for messages.

    Raises:
        ParameterError: It is no mask of two axes, has another shape than the picture, or covers nothing or all of it.
    """
    array = np.asarray(mask)
    if array.ndim != 2 or array.dtype != bool:
        raise ParameterError(
            f"the mask of {name} is {array.dtype} of shape {array.shape}: expected True and False, (height, width), "
            "such as np.asarray(picture.convert('L')) > 127"
        )
    (height, width), (rows, columns) = array.shape, size
    if not array.size or abs(height - width * rows / columns) > CELLS * max(height / rows, width / columns):
        raise ParameterError(
            f"the mask of {name} is {height}x{width}, which is not the shape of the picture: its latent grid is "
            f"{rows}x{columns}"
        )
    if array.all() or not array.any():
        part = "the whole picture" if array.all() else "nothing"
        raise ParameterError(f"the mask of {name} covers {part}, so no map can point at it: leave it out")
    return np.clip(_shares(rows, height) @ array @ _shares(columns, width).T, 0, 1)


def _shares(cells: int, pixels: int) -> Float[np.ndarray, "cell pixel"]:
    """Of each cell along a side the share that each pixel has in it."""
    cell, pixel = np.arange(cells)[:, None] / cells, np.arange(pixels) / pixels
    first, last = np.maximum(cell, pixel), np.minimum(cell + 1 / cells, pixel + 1 / pixels)
    return np.maximum(last - first, 0) * cells
