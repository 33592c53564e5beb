"""The colours of the picture-book world, in sRGB 0..1."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Rgb = Float[np.ndarray, "3"]

_HEX: dict[str, str] = {
    "red": "d8342f",
    "orange": "f08a24",
    "yellow": "f6d838",
    "green": "3f9b46",
    "blue": "2f62d0",
    "purple": "7d3fae",
    "pink": "f391b8",
    "white": "f4f2ec",
}
COLOURS = tuple(_HEX)
"""The eight colour words, in rainbow order."""


def from_hex(code: str) -> Rgb:
    """sRGB 0..1 from hexadecimal digits.

    Args:
        code: Six digits.
    """
    return np.frombuffer(bytes.fromhex(code), dtype=np.uint8).astype(np.float32) / 255


def rgb(colour: str) -> Rgb:
    """sRGB 0..1 of a colour word.

    Args:
        colour: One of COLOURS.
    """
    return from_hex(_HEX[colour])


def darker(colour: Rgb, share: float) -> Rgb:
    """A colour moved towards black.

    Args:
        colour: sRGB 0..1.
        share: 0 leaves it, 1 gives black.
    """
    return colour * (1 - share)


def lighter(colour: Rgb, share: float) -> Rgb:
    """A colour moved towards white.

    Args:
        colour: sRGB 0..1.
        share: 0 leaves it, 1 gives white.
    """
    return colour + (1 - colour) * share


def varied(colour: Rgb, rng: np.random.Generator, *, spread: float = 0.03) -> Rgb:
    """A colour changed a little by chance in each channel, as paint is.

    Args:
        colour: sRGB 0..1.
        rng: Source of chance.
        spread: The largest change, in sRGB 0..1.
    """
    return np.clip(colour + rng.uniform(-spread, spread, 3), 0, 1)
