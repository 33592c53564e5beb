"""Numbers of any kind as 8-bit tones: arrays, and grey pictures of more than 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from attnscope.errors import ImageError

DARKEST = 1 / 16
"""Of the white of 16 bits: a picture that is nowhere brighter was meant for another white, such as that of 12 bits."""


def bytes_of_array(array: np.ndarray) -> UInt8[np.ndarray, "height width *channel"]:
    """An array as 8-bit tones, grey without an axis for its one channel.

    Args:
        array: As for `load_picture`.

    Raises:
        ImageError: Its shape, its type or its values are no picture's.
    """
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            f"got an array of shape {tuple(array.shape)}; expected (height, width) or (height, width, 1 | 3 | 4)"
            + _other_order(array.shape)
        )
    if np.ma.is_masked(array):
        raise ImageError("got an array with masked places: fill them first, array.filled(0)")
    tones = _array_tones(np.asarray(array))
    return tones[:, :, 0] if array.ndim == 3 and channels == 1 else tones


def _other_order(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] in (1, 3, 4) and 0 not in shape:
        return ". Its channels come first: transpose it with (1, 2, 0), or permute(1, 2, 0) in torch"
    if len(shape) == 4 and shape[0] == 1:
        return ". It is a batch of one picture: take array[0]"
    return ". It is a batch: give its pictures one by one" if len(shape) == 4 else ""


def _array_tones(array: np.ndarray) -> np.ndarray:
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "u" and size == 1:
        return np.ascontiguousarray(array)
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind == "u" and size == 2:
        _refuse_dark(float(array.min()), float(array.max()), "the array")
        return _scaled(array, 65535)
    if kind == "f" and np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1:
        return _scaled(array, 1)
    values = f" with values from {array.min()} to {array.max()}" if kind in "iuf" else ""
    raise ImageError(
        f"got an array of {array.dtype}{values}; expected uint8, uint16, bool, or floats in 0..1{_remedy(array)}"
    )


def _remedy(array: np.ndarray) -> str:
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        return ""
    if array.dtype.kind == "f" and array.min() >= -0.5 and array.max() <= 1.5:
        return ": clip it, np.clip(array, 0, 1)"
    if array.min() >= -1 and array.max() <= 1:
        return ": (array + 1) / 2 brings -1..1 there"
    return ": if white is 255, give array.astype('uint8')" if array.min() >= 0 and array.max() <= 255 else ""


def bytes_of_grey(image: Image.Image, name: str) -> UInt8[np.ndarray, "height width"]:
    """A grey picture of more than 8 bits as 8-bit tones.

    White is 65535 in 16 bits. In 32-bit integers it is 255, as Pillow has it, or 65535 where there is more and in files
    whose 16 bits Pillow holds so (PNG, PGM). In floats it is 1, 255 or 65535, the least that holds all values.

    Args:
        image: Of mode I, F, or one of I;16.
        name: What it is called in messages.

    Raises:
        ImageError: Values are negative, infinite or above 65535, or nothing tells what is white.
    """
    values = np.asarray(image)
    low, high = (float(values.min()), float(values.max()))
    if not (low >= 0 and high <= 65535):  # NaN is neither
        raise ImageError(
            f"{name} has grey values from {low:g} to {high:g}; expected 0..65535. Scale them to 0..1, and give an array"
        )
    if values.dtype.kind == "f" and high <= 1:
        return _scaled(values, 1)
    if values.dtype.kind == "f" and high < 128:
        raise ImageError(
            f"{name} has float values up to {high:.7g}: more than 1, and too dark if white is 255, so it is "
            "unclear which value is white. Take values = np.asarray(picture), and give np.clip(values, 0, "
            "1) or values / values.max()"
        )
    of_16_bits = values.dtype.itemsize == 2 or (values.dtype.kind == "i" and image.format in ("PNG", "PPM"))
    if high <= 255 and not of_16_bits:
        return _scaled(values, 255)
    _refuse_dark(low, high, name)
    return _scaled(values, 65535)


def _refuse_dark(low: float, high: float, name: str) -> None:
    if low < high < 65535 * DARKEST:
        raise ImageError(
            f"{name} has 16-bit values up to {high:g} of 65535, which is almost black. Are these 8 or 12 "
            "bits stored in 16? Take values = np.asarray(picture), and give an array in which white is 1: "
            "values / 255, values / 4095 or values / values.max()"
        )


def _scaled(values: np.ndarray, white: int) -> Any:
    """Rows are scaled a few at a time, since float64 takes eight times the memory of the result."""
    tones = np.empty(values.shape, np.uint8)
    rows = max(1, 4_000_000 // max(1, values[0].size))
    for top in range(0, len(values), rows):
        tones[top : top + rows] = np.round(values[top : top + rows].astype(np.float64) * (255 / white))
    return tones
