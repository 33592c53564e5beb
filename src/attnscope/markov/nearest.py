"""Each pixel belongs to its nearest click."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from attnscope.errors import ParameterError


def nearest_click(
    maps: Float[np.ndarray, "click height width"],
    signs: Sequence[bool],
    points: Sequence[tuple[int, int]] = (),
) -> Bool[np.ndarray, "height width"]:
    """The pixels whose nearest click is a plus click that reaches them.

    Args:
        maps: Distances from each click, divided by the click's threshold: up to 1 lies within.
        signs: True for a plus click, False for a minus click.
        points: (row, column) of each click; the pixels themselves are set as their click says.

    Returns:
        True where the smallest distance is a plus click's and at most 1. Of equal distances the first click counts.

    Raises:
        ParameterError: Maps, signs and points are not of one number.

    Source: M2N2, section 3.4.
    """
    if not len(maps) or len(signs) != len(maps) or len(points) not in (0, len(maps)):
        raise ParameterError(
            f"{len(maps)} maps, {len(signs)} signs and {len(points)} points; expected one of each for every click"
        )
    mask = np.asarray(signs, bool)[maps.argmin(0)] & (maps.min(0) <= 1)
    for point, sign in zip(points, signs, strict=False):
        mask[point] = sign
    return mask
