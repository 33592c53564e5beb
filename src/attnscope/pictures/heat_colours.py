"""Colours of maps: a ramp from dark to light for heat, blue and orange for what is less and more.

Both can be told apart by the colour-blind, and heat also in grey.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE_PX = 512
EMBER = ("#0d0829", "#3b0f70", "#7b1f83", "#b8347a", "#e75863", "#fb8b5c", "#fec077", "#fcfdbf")
"""Stops of even steps in lightness, from deep indigo through magenta and orange to pale yellow."""

# From deep blue by way of light grey to deep orange, equally light on both sides
_SIGNED_STOPS = ("#0f57b0", "#2f7fd6", "#86b8e8", "#ececec", "#f4b06c", "#e8781e", "#c44c00")


def heat_colours(values: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
    """sRGB colours of values in 0..1.

    Args:
        values: An array of any shape. Values outside 0..1 get the colours at the ends, NaN that of 0.

    Returns:
        uint8, with one more axis for red, green and blue.
    """
    index = np.clip(np.nan_to_num(values) * 255 + 0.5, 0, 255).astype(np.uint8)
    return ramp(EMBER)[index]


def heat_picture(values: Float[np.ndarray, "height width"]) -> Image:
    """A map as a picture of its own, each value a square: 0 is dark, the map's maximum bright.

    Args:
        values: The map, not negative, of any scale.

    Returns:
        A picture of about 512 pixels along its longer side.
    """
    return _squares(heat_colours(values / max(float(values.max()), 1e-30)))


def blend_heat(image: Image, values: Float[np.ndarray, "height width"], *, opacity: float) -> Image:
    """A heat map over a picture, which is greyed and dimmed where the heat is low.

    Args:
        image: The picture.
        values: The map in 0..1, at the picture's size.
        opacity: Opacity of the colours where the heat is highest, 0..1.
    """
    from PIL import Image as Pillow

    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    grey = pixels.mean(-1, keepdims=True)
    heat = np.clip(values, 0, 1)[..., None].astype(np.float32)
    under = 0.55 * ((1 - heat) * (0.6 * grey + 0.4 * pixels)) + heat * pixels
    share = opacity * (0.35 + 0.65 * heat)
    mixed = (1 - share) * under + share * heat_colours(values)
    return Pillow.fromarray(np.clip(mixed + 0.5, 0, 255).astype(np.uint8))


def signed_colours(values: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
    """sRGB colours of values in -1..1: blue for less, light grey for none, orange for more.

    Args:
        values: An array of any shape. Values outside -1..1 get the colours at the ends, NaN that of 0.

    Returns:
        uint8, with one more axis for red, green and blue.
    """
    index = np.clip((np.nan_to_num(values) + 1) * 127 + 0.5, 0, 254).astype(np.uint8)
    return ramp(_SIGNED_STOPS, 255)[index]  # an odd number has a middle


def signed_picture(values: Float[np.ndarray, "height width"]) -> Image:
    """A map of signed numbers as a picture of its own, each value a square: 0 is light grey.

    Args:
        values: The map, of any scale; the largest and its negative have the strongest colours.

    Returns:
        A picture of about 512 pixels along its longer side.
    """
    return _squares(signed_colours(values / max(float(np.abs(values).max()), 1e-30)))


def blend_signed(image: Image, values: Float[np.ndarray, "height width"], *, opacity: float) -> Image:
    """Signed numbers over a picture, which is light grey and shows where they are near 0.

    Args:
        image: The picture.
        values: The map in -1..1, at the picture's size.
        opacity: Opacity of the colours at the ends, 0..1.
    """
    from PIL import Image as Pillow

    grey = 80 + 0.65 * np.asarray(image.convert("L"), dtype=np.float32)[..., None]
    share = opacity * np.sqrt(np.clip(np.abs(values), 0, 1))[..., None].astype(np.float32)
    mixed = (1 - share) * grey + share * signed_colours(np.sign(values) * (0.5 + np.abs(values) / 2))
    return Pillow.fromarray(np.clip(mixed + 0.5, 0, 255).astype(np.uint8))


def _squares(colours: UInt8[np.ndarray, "height width 3"]) -> Image:
    from PIL import Image as Pillow

    scale = max(SIDE_PX // max(colours.shape[:2]), 1)
    return Pillow.fromarray(colours.repeat(scale, 0).repeat(scale, 1))


@cache
def ramp(hex_stops: tuple[str, ...], count: int = 256) -> UInt8[np.ndarray, "count 3"]:
    """sRGB colours between stops at even distances.

    Args:
        hex_stops: Colours such as "#0d0829", from the lowest value's to the highest's.
        count: How many colours.
    """
    stops = np.array(
        [[int(stop[at : at + 2], 16) for at in (1, 3, 5)] for stop in hex_stops], dtype=np.float64
    )
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(np.linspace(0, 1, count), places, stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)
