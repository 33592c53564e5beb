"""Maps and numbers on their way to a browser: floats beside what is known of them, or NPZ."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Float

from attnscope.errors import ParameterError
from attnscope.places import Statistics


def pack_maps(maps: Sequence[tuple[int | None, Float[np.ndarray, "height width"]]]) -> bytes:
    """Several maps in one body: the length of a JSON head (4 bytes, little endian), the head, then the values.

    The head lists for each map its number (of the block or head; null for a mean), height, width and Statistics.
    Values are little-endian float16 of value / maximum, row by row, one map after the other: the largest is 1, and
    down to 6e-5 of it 3 decimal digits are exact.
    Raises ParameterError for maps that hold NaN or infinite values.
    """
    if not all(np.isfinite(array).all() for _, array in maps):
        raise ParameterError(
            "this attention holds NaN or infinite values: the run overflowed; run the model in float32 or bfloat16"
        )
    head = [
        {"number": number, "height": array.shape[0], "width": array.shape[1], **asdict(Statistics.of(array))}
        for number, array in maps
    ]
    values = [_halves(array, entry["maximum"]) for (_, array), entry in zip(maps, head, strict=True)]
    return _headed(json.dumps(head)) + b"".join(values)


def pack_numbers(head: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays beside what is known of them: the length of a JSON head (4 bytes, little endian), the head, the numbers.

    The head is {"head": what is known, "arrays": [[name, shape], ...]}. Numbers are little-endian float32, -inf
    included, one array after the other.
    """
    shapes = [[name, list(array.shape)] for name, array in arrays.items()]
    values = b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays.values())
    return _headed(f'{{"head": {head}, "arrays": {json.dumps(shapes)}}}') + values


def _headed(text: str) -> bytes:
    head = text.encode()
    head += b" " * (-len(head) % 4)
    return len(head).to_bytes(4, "little") + head


def _halves(array: Float[np.ndarray, "height width"], maximum: float) -> bytes:
    return (array / maximum if maximum > 0 else array).astype("<f2").tobytes()


def npz(**arrays: Any) -> bytes:
    """Arrays for numpy.load."""
    body = io.BytesIO()
    np.savez_compressed(body, **arrays)
    return body.getvalue()
