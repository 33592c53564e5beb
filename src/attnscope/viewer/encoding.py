"""Maps on their way to a browser: 16-bit floats beside their numbers, PNG, or NPZ."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from PIL import Image

from attnscope.heat_colours import heat_colours
from attnscope.images import indexed_png
from attnscope.viewer.maps import Numbers

PNG_SIDE_PX = 512
"""Small maps are enlarged to about this side, each value a square."""


def pack_maps(maps: Sequence[tuple[int | None, Float[np.ndarray, "height width"]]]) -> bytes:
    """Several maps in one body: the length of a JSON head (4 bytes, little endian), the head, then the values.

    The head lists for each map its block (or null), height, width and Numbers. Values are little-endian float16
    of value / maximum, row by row, one map after the other: the largest is 1, and 3 decimal digits are exact.
    """
    head = [
        {"block": block, "height": array.shape[0], "width": array.shape[1], **asdict(Numbers.of(array))}
        for block, array in maps
    ]
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    values = [_halves(array, entry["maximum"]) for (_, array), entry in zip(maps, head, strict=True)]
    return len(text).to_bytes(4, "little") + text + b"".join(values)


def _halves(array: Float[np.ndarray, "height width"], maximum: float) -> bytes:
    return (array / maximum if maximum > 0 else array).astype("<f2").tobytes()


def map_png(array: Float[np.ndarray, "height width"]) -> bytes:
    """The map in the colours of attnscope's heat maps, 0 dark, the maximum bright."""
    scale = max(PNG_SIDE_PX // max(array.shape), 1)
    colours = heat_colours(array / max(float(array.max()), 1e-30))
    return png(Image.fromarray(colours.repeat(scale, 0).repeat(scale, 1)))


def labels_png(labels: Integer[np.ndarray, "height width"]) -> bytes:
    """Labels as palette numbers, coloured."""
    return png(indexed_png(labels))


def png(image: Image.Image) -> bytes:
    body = io.BytesIO()
    image.save(body, format="PNG")
    return body.getvalue()


def npz(**arrays: Any) -> bytes:
    """Arrays for numpy.load."""
    body = io.BytesIO()
    np.savez_compressed(body, **arrays)
    return body.getvalue()
