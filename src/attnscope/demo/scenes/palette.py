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
    """sRGB 0..1 of six hexadecimal digits."""
    return np.frombuffer(bytes.fromhex(code), dtype=np.uint8).astype(np.float32) / 255


def rgb(colour: str) -> Rgb:
    """sRGB 0..1 of a colour word."""
    return from_hex(_HEX[colour])


def darker(colour: Rgb, share: float) -> Rgb:
    """The colour moved towards black; share 0 leaves it, 1 is black."""
    return colour * (1 - share)


def lighter(colour: Rgb, share: float) -> Rgb:
    """The colour moved towards white; share 0 leaves it, 1 is white."""
    return colour + (1 - colour) * share


def varied(colour: Rgb, rng: np.random.Generator, *, spread: float = 0.03) -> Rgb:
    """The colour with a little chance in each channel, as paint has; spread is in sRGB 0..1."""
    return np.clip(colour + rng.uniform(-spread, spread, 3), 0, 1)
