"""Draw shapes in a unit box with smooth edges, and lay the result over a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from attnscope.demo.scenes.palette import Rgb, darker

SUPERSAMPLING = 4
"""Shapes are drawn this many times larger and averaged down: edges get 16 grey levels."""

OUTLINE = 0.035
"""Width of the dark contour, as a share of the box's shorter side."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle in the picture, in shares of the picture's side.

    Attributes:
        x: Its left edge.
        y: Its upper edge.
        width: Its width.
        height: Its height.
    """

    x: float
    y: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.y + self.height

    def pixels(self, size_px: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in whole pixels; may reach outside the picture.

        Args:
            size_px: Side of the picture in pixels.
        """
        left, top = round(self.x * size_px), round(self.y * size_px)
        return (
            left,
            top,
            left + max(2, round(self.width * size_px)),
            top + max(2, round(self.height * size_px)),
        )


class Pen:
    """Paints shapes in a box: x from 0 to 1 to the right, y from 0 to 1 downwards.

    Args:
        width_px: Width of the box in pixels.
        height_px: Height of the box in pixels.
    """

    def __init__(self, width_px: int, height_px: int) -> None:
        self._size = (width_px * SUPERSAMPLING, height_px * SUPERSAMPLING)
        self._image = Image.new("RGBA", self._size, (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self._image)
        self._contour_px = max(1, round(OUTLINE * min(self._size)))

    def polygon(self, points: Sequence[Point], colour: Rgb, *, contour: bool = True) -> None:
        """Paint a filled polygon.

        Args:
            points: Its corners, (x, y).
            colour: sRGB 0..1.
            contour: Add a darker edge inside it.
        """
        self._draw.polygon([self._at(p) for p in points], _bytes(colour))
        if contour:
            ring = [self._at(p) for p in [*points, points[0], points[1]]]
            self._draw.line(ring, _bytes(darker(colour, 0.45)), self._contour_px, joint="curve")

    def ellipse(self, centre: Point, radius: Point, colour: Rgb, *, contour: bool = True) -> None:
        """Paint a filled ellipse.

        Args:
            centre: (x, y).
            radius: (horizontal, vertical).
            colour: sRGB 0..1.
            contour: Add a darker edge inside it.
        """
        left, top = self._at((centre[0] - radius[0], centre[1] - radius[1]))
        right, bottom = self._at((centre[0] + radius[0], centre[1] + radius[1]))
        edge = _bytes(darker(colour, 0.45)) if contour else None
        self._draw.ellipse(
            (left, top, right, bottom), _bytes(colour), edge, self._contour_px if contour else 0
        )

    def line(self, start: Point, end: Point, colour: Rgb, *, width: float) -> None:
        """Paint a straight stroke.

        Args:
            start: (x, y).
            end: (x, y).
            colour: sRGB 0..1.
            width: As a share of the box's shorter side.
        """
        self._draw.line(
            [self._at(start), self._at(end)], _bytes(colour), max(1, round(width * min(self._size)))
        )

    def lift(self) -> Float[np.ndarray, "height width 4"]:
        """What was painted: premultiplied RGB and coverage, 0..1, at the picture's own resolution."""
        small = self._image.convert("RGBa").reduce(SUPERSAMPLING)
        # Pillow hands out the bytes of RGBa only under its own raw mode.
        raw = np.frombuffer(small.tobytes("raw", "RGBa"), dtype=np.uint8)
        return raw.reshape(small.height, small.width, 4).astype(np.float32) / 255

    def _at(self, point: Point) -> Point:
        return point[0] * (self._size[0] - 1), point[1] * (self._size[1] - 1)


def _bytes(colour: Rgb) -> tuple[int, int, int, int]:
    red, green, blue = (np.clip(colour, 0, 1) * 255).round().astype(int).tolist()
    return red, green, blue, 255
