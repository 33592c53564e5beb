"""A map over a picture as the viewer draws it: the picture shows through where there is little attention.

The page's paint.js and ramps.js do the same in the browser.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image

from attnscope.errors import ParameterError
from attnscope.pictures.heat_colours import EMBER, ramp
from attnscope.pictures.maps import resize_maps
from attnscope.pictures.sizes import size_hw
from attnscope.records.layers import SizeHW

RAMPS: dict[str, tuple[str, ...]] = {
    "ember": EMBER,
    "viridis": (
        *("#440154", "#481a6c", "#472f7d", "#414487", "#39568c", "#31688e", "#2a788e", "#23888e"),
        *("#1f988b", "#22a884", "#35b779", "#54c568", "#7ad151", "#a5db36", "#d2e21b", "#fde725"),
    ),
    "magma": (
        *("#000004", "#0b0924", "#20114b", "#3b0f70", "#57157e", "#721f81", "#8c2981", "#a8327d"),
        *("#c43c75", "#de4968", "#f1605d", "#fa7f5e", "#fe9f6d", "#febf84", "#fddea0", "#fcfdbf"),
    ),
    "cividis": (
        *("#00224e", "#002e6c", "#1e3a6f", "#35456c", "#47516c", "#575d6d", "#666970", "#757575"),
        *("#848279", "#948e77", "#a59c74", "#b7a96e", "#c8b866", "#dbc75a", "#eed649", "#fee838"),
    ),
}
"""viridis and magma: matplotlib, S. van der Walt and N. Smith 2015, CC0; cividis: Nunez, Anderton and Renslow 2018, by
matplotlib, CC0."""

GROUND = (136, 136, 136)
"""Where there is no picture."""
DECADES = 3
"""Of the logarithmic scale, below the brightest value."""
LEVELS = (0.25, 0.5, 0.75)
"""Of the scale, where contours run."""


def draw_map(
    values: Float[np.ndarray, "height width"],
    picture: Image.Image | SizeHW,
    *,
    top: float | None = None,
    colours: str = "ember",
    scale: Literal["linear", "log"] = "linear",
    opacity: float = 0.8,
    through: bool = True,
    contours: bool = False,
    cells: bool = False,
) -> Image.Image:
    """A map over a picture, in the colours and with the transparency of the viewer.

    Args:
        values: The map, not negative, of any size.
        picture: What it lies on, or the (height, width) of a grey ground.
        top: The value with the brightest colour. Default: the map's maximum. Give one number to compare maps.
        colours: 'ember', 'viridis', 'magma' or 'cividis'.
        scale: 'log' covers three decades below top.
        opacity: Of the brightest colour, 0..1.
        through: Whether opacity falls with the value, down to none; else it is the same everywhere.
        contours: Whether white lines run at 1/4, 1/2 and 3/4 of the scale.
        cells: Whether the map's cells are squares; else values between their middles are interpolated.

    Raises:
        ParameterError: There are no such colours, opacity is outside 0..1, or top is negative.
    """
    if colours not in RAMPS:
        raise ParameterError(f"colours {colours!r}: expected one of {', '.join(RAMPS)}")
    if not 0 <= opacity <= 1:
        raise ParameterError(f"opacity is {opacity}; expected 0 (only the picture) to 1 (only the colours)")
    if top is not None and not top >= 0:
        raise ParameterError(f"top is {top}; expected a value of the map, 0 or more")
    under = picture.convert("RGB") if isinstance(picture, Image.Image) else _ground(picture)
    brightest = float(values.max()) if top is None else top
    shades = _shades(_sampled(values, size_hw(under), cells), brightest, scale)
    share = (opacity * (shades / 255 if through else np.ones_like(shades)))[..., None]
    mixed = (1 - share) * np.asarray(under, np.float32) + share * ramp(RAMPS[colours])[shades]
    if contours:
        mixed[_lines(shades)] = 255
    return Image.fromarray(np.clip(mixed + 0.5, 0, 255).astype(np.uint8))


def _ground(size: SizeHW) -> Image.Image:
    height, width = size
    return Image.new("RGB", (width, height), GROUND)


def _sampled(
    values: Float[np.ndarray, "height width"], size: SizeHW, cells: bool
) -> Float[np.ndarray, "rows columns"]:
    """The map's value at every pixel."""
    if not cells:
        whole = np.ascontiguousarray(values, np.float32)
        return resize_maps(torch.from_numpy(whole), size).numpy()
    rows, columns = (
        ((np.arange(pixels) + 0.5) * count / pixels).astype(int)
        for pixels, count in zip(size, values.shape, strict=True)
    )
    return values[rows[:, None], columns].astype(np.float32)


def _shades(
    values: Float[np.ndarray, "rows columns"], top: float, scale: str
) -> Float[np.ndarray, "rows columns"]:
    """Numbers of colours, 0..255."""
    if top <= 0:
        return np.zeros(values.shape, np.uint8)
    share = 1 + np.log10(np.maximum(values, 1e-30) / top) / DECADES if scale == "log" else values / top
    return np.floor(255 * np.clip(share, 0, 1) + 0.5).astype(np.uint8)


def _lines(shades: np.ndarray) -> Bool[np.ndarray, "rows columns"]:
    """Where the shade passes a level to the right or below."""
    bands = np.digitize(shades, [255 * level for level in LEVELS])
    lines = np.zeros(shades.shape, bool)
    inner = bands[:-1, :-1]
    lines[:-1, :-1] = (inner != bands[:-1, 1:]) | (inner != bands[1:, :-1])
    return lines
