"""The nine things of the picture-book world: how each is drawn, where it may be, which colours it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from attnscope.demo.scenes.palette import COLOURS, Rgb, darker, from_hex, lighter
from attnscope.demo.scenes.pen import Pen, Point

WOOD = from_hex("7a4a2b")
GLASS = from_hex("bfe3f2")
CANVAS = from_hex("f7f3e3")
BASKET = from_hex("a9713c")

Draw = Callable[[Pen, Rgb, np.random.Generator], None]


@dataclass(frozen=True)
class Thing:
    """One kind of thing.

    Attributes:
        draw: Paints it.
        places: Where it may be: 'ground', 'sea', 'sky' or 'air' (anywhere).
        colours: The colours that it takes.
        aspect: Width over height.
        sizes: Range of its height, as a share of the picture's side.
    """

    draw: Draw
    places: tuple[str, ...]
    colours: tuple[str, ...]
    aspect: float
    sizes: tuple[float, float]


def house(pen: Pen, colour: Rgb, rng: np.random.Generator) -> None:
    """A wall in the house's colour, a dark gable roof, a door and two windows.

    Args:
        pen: Paints in the thing's box.
        colour: The thing's colour.
        rng: Source of chance.
    """
    door = float(rng.choice([0.22, 0.5, 0.78]))
    if rng.random() < 0.5:
        pen.polygon([(0.68, 0.05), (0.8, 0.05), (0.8, 0.35), (0.68, 0.35)], darker(colour, 0.5))
    pen.polygon([(0.1, 0.4), (0.9, 0.4), (0.9, 1), (0.1, 1)], colour)
    pen.polygon([(0, 0.45), (0.5, 0.02), (1, 0.45)], darker(colour, 0.4))
    pen.polygon([(door - 0.09, 0.66), (door + 0.09, 0.66), (door + 0.09, 1), (door - 0.09, 1)], WOOD)
    for x in {0.22, 0.5, 0.78} - {door}:
        pen.polygon([(x - 0.08, 0.55), (x + 0.08, 0.55), (x + 0.08, 0.73), (x - 0.08, 0.73)], GLASS)


def tree(pen: Pen, colour: Rgb, rng: np.random.Generator) -> None:
    """A trunk under a round crown, or a fir of three tiers.

    Args:
        pen: Paints in the thing's box.
        colour: The thing's colour.
        rng: Source of chance.
    """
    pen.polygon([(0.42, 0.6), (0.58, 0.6), (0.61, 1), (0.39, 1)], WOOD)
    if rng.random() < 0.4:
        for top, bottom, half in ((0.35, 0.82, 0.46), (0.18, 0.6, 0.37), (0.0, 0.38, 0.27)):
            pen.polygon([(0.5 - half, bottom), (0.5, top), (0.5 + half, bottom)], colour)
        return
    for x, y, radius in ((0.27, 0.46, 0.24), (0.73, 0.46, 0.24), (0.5, 0.26, 0.25)):
        pen.ellipse((x, y), (radius, radius * 0.98), colour)
    pen.ellipse((0.5, 0.44), (0.27, 0.22), colour, contour=False)
    pen.ellipse((0.42, 0.22), (0.1, 0.07), lighter(colour, 0.25), contour=False)


def boat(pen: Pen, colour: Rgb, rng: np.random.Generator) -> None:
    """A coloured hull, a mast and two pale sails; drawn to either side.

    Args:
        pen: Paints in the thing's box.
        colour: The thing's colour.
        rng: Source of chance.
    """
    left = rng.random() < 0.5

    def side(points: list[Point]) -> list[Point]:
        return [(1 - x, y) for x, y in points] if left else points

    pen.polygon(side([(0.5, 0.05), (0.92, 0.66), (0.5, 0.66)]), CANVAS)
    pen.polygon(side([(0.44, 0.16), (0.44, 0.66), (0.12, 0.66)]), darker(CANVAS, 0.12))
    foot, tip = side([(0.47, 0.75), (0.47, 0.02)])
    pen.line(foot, tip, WOOD, width=0.05)
    pen.polygon(side([(0, 0.7), (1, 0.7), (0.84, 1), (0.16, 1)]), colour)
    pen.polygon(
        side([(0.04, 0.77), (0.96, 0.77), (0.93, 0.83), (0.07, 0.83)]), lighter(colour, 0.5), contour=False
    )


def balloon(pen: Pen, colour: Rgb, rng: np.random.Generator) -> None:
    """A hot-air balloon with lighter gores over a basket.

    Args:
        pen: Paints in the thing's box.
        colour: The thing's colour.
        rng: Source of chance.
    """
    for x in (0.36, 0.64):
        pen.line((x, 0.62), ((x + 0.5) / 2, 0.88), WOOD, width=0.03)
    pen.polygon([(0.13, 0.5), (0.87, 0.5), (0.6, 0.76), (0.4, 0.76)], darker(colour, 0.15))
    pen.ellipse((0.5, 0.36), (0.46, 0.355), colour)
    pen.ellipse((0.5, 0.36), (0.17, 0.335), lighter(colour, 0.35), contour=False)
    pen.polygon([(0.38, 0.84), (0.62, 0.84), (0.59, 1), (0.41, 1)], BASKET)


def sun(pen: Pen, colour: Rgb, rng: np.random.Generator) -> None:
    """A disc with twelve rays.

    Args:
        pen: Paints in the thing's box.
        colour: The thing's colour.
        rng: Source of chance.
    """
    turn = rng.uniform(0, pi / 6)
    pen.polygon(_spikes(24, 0.5, 0.33, turn), lighter(colour, 0.25), contour=False)
    pen.ellipse((0.5, 0.5), (0.31, 0.31), colour)


def moon(pen: Pen, colour: Rgb, rng: np.random.Generator) -> None:
    """A crescent that opens to either side.

    Args:
        pen: Paints in the thing's box.
        colour: The thing's colour.
        rng: Source of chance.
    """
    outer = [(0.5 + 0.48 * sin(a), 0.5 - 0.48 * cos(a)) for a in np.linspace(0.0, pi, 24)]
    inner = [(0.5 + 0.2 * sin(a), 0.5 - 0.48 * cos(a)) for a in np.linspace(pi, 0.0, 24)]
    crescent = [((x - 0.5) * 1.3 + 0.25, y) for x, y in outer + inner[1:-1]]
    if rng.random() < 0.5:
        crescent = [(1 - x, y) for x, y in crescent]
    pen.polygon(crescent, colour)


def cloud(pen: Pen, colour: Rgb, rng: np.random.Generator) -> None:
    """Four puffs on a flat base.

    Args:
        pen: Paints in the thing's box.
        colour: The thing's colour.
        rng: Source of chance.
    """
    lift = rng.uniform(-0.05, 0.05)
    puffs = (
        (0.2, 0.66, 0.19, 0.3),
        (0.42, 0.44 + lift, 0.21, 0.4),
        (0.64, 0.5 - lift, 0.2, 0.4),
        (0.82, 0.7, 0.17, 0.28),
    )
    for x, y, width, height in puffs:
        pen.ellipse((x, y), (width, height), colour)
    for x, y, width, height in puffs:
        pen.ellipse((x, y + 0.03), (width * 0.88, height * 0.88), colour, contour=False)


def star(pen: Pen, colour: Rgb, rng: np.random.Generator) -> None:
    """Five points, a little turned.

    Args:
        pen: Paints in the thing's box.
        colour: The thing's colour.
        rng: Source of chance.
    """
    turn = rng.uniform(-0.25, 0.25)
    pen.polygon(_spikes(10, 0.49, 0.22, turn), colour)
    pen.polygon(_spikes(10, 0.26, 0.12, turn), lighter(colour, 0.35), contour=False)


def heart(pen: Pen, colour: Rgb, rng: np.random.Generator) -> None:
    """The heart of playing cards, with a gloss.

    Args:
        pen: Paints in the thing's box.
        colour: The thing's colour.
        rng: Source of chance.
    """
    curve = [
        (16 * sin(a) ** 3, 13 * cos(a) - 5 * cos(2 * a) - 2 * cos(3 * a) - cos(4 * a)) for a in _turns(60)
    ]
    pen.polygon([(0.5 + x / 34.5, 0.44 - y / 31.5) for x, y in curve], colour)
    pen.ellipse((0.28, 0.27), (0.09, 0.09), lighter(colour, 0.55), contour=False)


def _turns(count: int) -> list[float]:
    return [2 * pi * i / count for i in range(count)]


def _spikes(count: int, outer: float, inner: float, turn: float) -> list[Point]:
    """Corners of a star polygon around the middle of the box; turn is in radians."""
    radii = [outer if i % 2 == 0 else inner for i in range(count)]
    return [
        (0.5 + r * sin(a + turn), 0.5 - r * cos(a + turn)) for r, a in zip(radii, _turns(count), strict=True)
    ]


THINGS: dict[str, Thing] = {
    "house": Thing(house, ("ground",), COLOURS, 1.05, (0.36, 0.48)),
    "tree": Thing(tree, ("ground",), ("green", "green", "green", *COLOURS[:-1]), 0.82, (0.4, 0.56)),
    "boat": Thing(boat, ("sea",), COLOURS, 1.0, (0.36, 0.48)),
    "balloon": Thing(balloon, ("air",), COLOURS, 0.76, (0.4, 0.54)),
    "sun": Thing(sun, ("sky",), ("yellow", "orange", "red"), 1.0, (0.3, 0.42)),
    "moon": Thing(moon, ("sky",), ("white", "yellow"), 0.72, (0.32, 0.44)),
    "cloud": Thing(cloud, ("sky",), ("white", "white", "pink"), 1.9, (0.2, 0.27)),
    "star": Thing(star, ("air",), COLOURS, 1.0, (0.3, 0.44)),
    "heart": Thing(heart, ("air",), COLOURS, 1.08, (0.28, 0.42)),
}
"""Every thing by its word."""
