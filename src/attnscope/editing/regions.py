"""A mask or a box on a layer's grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from attnscope.errors import ParameterError
from attnscope.records import Grid

Where = Any
"""A mask, (height, width), of which what is true or at least half of the largest value counts; or a box, (top, left,
bottom, right), in shares of the picture's height and width."""
Checked: TypeAlias = "Bool[Tensor, 'height width'] | tuple[float, float, float, float]"


def checked_mask(where: Where) -> Checked:
    """A mask or a box as a user gives it.

    Args:
        where: A mask as an array, a tensor or a picture; or a box of four numbers.

    Raises:
        ParameterError: It is neither.
    """
    if (
        isinstance(where, Sequence)
        and len(where) == 4
        and all(isinstance(side, (int, float)) for side in where)
    ):
        top, left, bottom, right = map(float, where)
        if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
            raise ParameterError(
                f"box {tuple(where)}: expected (top, left, bottom, right) in shares of the picture, 0 to 1, top before "
                "bottom and left before right"
            )
        return top, left, bottom, right
    array = np.asarray(where.detach().cpu() if isinstance(where, Tensor) else where)
    if array.ndim == 3:  # a picture in colour
        array = array.mean(-1)
    if array.ndim != 2 or array.dtype.kind not in "buif" or not array.size:
        raise ParameterError(
            f"where is {type(where).__name__} of shape {array.shape}: expected a mask (height, width), or a box (top, "
            "left, bottom, right)"
        )
    mask = torch.from_numpy(array.astype(bool if array.dtype.kind == "b" else np.float32))
    if mask.dtype != torch.bool:
        mask = (mask > 0) & (mask >= mask.max() / 2)
    if not mask.any():
        raise ParameterError("the mask is empty: expected at least one value that is true or above 0")
    return mask


def on_grid(where: Checked, grid: Grid) -> Bool[Tensor, " place"]:
    """The places of a grid that lie in a mask or a box, at least one: those of which it covers a half or more.

    Args:
        where: From `checked_mask`.
        grid: The grid.
    """
    covered = _box(where, grid) if isinstance(where, tuple) else _covered(where.float(), grid)
    return (covered >= min(0.5, float(covered.max()))).flatten()


def _covered(mask: Tensor, grid: Grid) -> Tensor:
    """The share of each place that a mask covers."""
    size = (grid.height, grid.width)
    if mask.shape[0] < grid.height or mask.shape[1] < grid.width:
        larger = [max(side, of_grid) for side, of_grid in zip(mask.shape, size, strict=True)]
        mask = interpolate(mask[None, None], larger, mode="nearest-exact")[0, 0]
    return adaptive_avg_pool2d(mask[None, None], size)[0, 0]


def _box(box: tuple[float, float, float, float], grid: Grid) -> Tensor:
    top, left, bottom, right = box
    rows, columns = _overlap(top, bottom, grid.height), _overlap(left, right, grid.width)
    return rows[:, None] * columns


def _overlap(low: float, high: float, cells: int) -> Tensor:
    """The share of each of some equal cells that a range of 0..1 covers."""
    starts = torch.arange(cells, dtype=torch.float64)
    return (high * cells - starts).clamp(0, 1) - (low * cells - starts).clamp(0, 1)
