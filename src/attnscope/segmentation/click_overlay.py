"""Clicks as numbers, and clicks and their mask over a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw

from attnscope.errors import ParameterError
from attnscope.pictures.lines import draw_lines
from attnscope.pictures.overlays import segment_colours

Click = tuple[float, float]
"""(x, y) in pixels, from the upper left corner."""


def click_overlay(
    picture: Image.Image,
    mask: Bool[np.ndarray, "height width"],
    plus: Sequence[Click],
    minus: Sequence[Click],
    *,
    opacity: float = 0.6,
) -> Image.Image:
    """A picture with a thing in colour, a line around it, and clicks: a plus in white, a minus in black.

    Args:
        picture: RGB.
        mask: The thing.
        plus: Clicks on it.
        minus: Clicks beside it.
        opacity: Of the colour, 0 to 1.

    Raises:
        ParameterError: `opacity` is outside 0..1.
    """
    if not 0 <= opacity <= 1:
        raise ParameterError(f"opacity is {opacity}; expected 0 (only the picture) to 1 (only the colour)")
    colour = tuple(int(channel) for channel in segment_colours(1)[0])
    where = Image.fromarray((mask * round(255 * opacity)).astype(np.uint8))
    drawn = Image.composite(Image.new("RGB", picture.size, colour), picture.convert("RGB"), where)
    draw_lines(drawn, mask.astype(np.int32), slice(0, drawn.height))
    for clicks, sign in ((plus, True), (minus, False)):
        for click in clicks:
            _draw_click(drawn, click, sign)
    return drawn


def _draw_click(image: Image.Image, click: Click, sign: bool) -> None:
    draw, (x, y) = ImageDraw.Draw(image), (round(click[0]), round(click[1]))
    radius = max(2, round(min(image.size) / 50))
    inner, outer = ("white", "black") if sign else ("black", "white")
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=inner, outline=outer)
    arm = round(radius / 2)
    draw.line((x - arm, y, x + arm, y), fill=outer)
    if sign:
        draw.line((x, y - arm, x, y + arm), fill=outer)


def checked_clicks(clicks: Sequence[Click], name: str, size_wh: tuple[int, int]) -> tuple[Click, ...]:
    """Clicks as pairs of numbers within a picture.

    Args:
        clicks: (x, y) in pixels.
        name: What they are called.
        size_wh: (width, height) of the picture.

    Raises:
        ParameterError: They are no pairs, or outside of the picture.
    """
    try:
        pairs = [(float(x), float(y)) for x, y in clicks]
    except (TypeError, ValueError) as cause:
        raise ParameterError(
            f"{name} is {clicks!r}; expected a list of (x, y) in pixels, such as [(120, 80)]"
        ) from cause
    width, height = size_wh
    for x, y in pairs:
        if not (0 <= x < width and 0 <= y < height):  # also NaN
            raise ParameterError(
                f"{name} click ({x:g}, {y:g}) is outside of the picture; expected x from 0 to {width - 1} and y "
                f"from 0 to {height - 1}"
            )
    return tuple(pairs)
