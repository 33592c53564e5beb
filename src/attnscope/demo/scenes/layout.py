"""Decide what is where: a plausible plan of stuff and things, before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attnscope.demo.scenes.pen import Box
from attnscope.demo.scenes.stuff import GROUNDS, SKIES
from attnscope.demo.scenes.things import THINGS, Thing

LARGEST_OVERLAP = 0.15
"""Two things share at most this part of the smaller one's box."""

TRIES = 12
"""Places tried for a thing before it is left out."""

SAME_COLOUR_SHARE = 0.3
"""Share of scenes whose things all have one colour: there a colour word does not tell them apart."""


@dataclass(frozen=True)
class PlacedThing:
    """A thing of the plan.

    Attributes:
        name: The thing, such as 'boat'.
        colour: A colour word.
        box: Where it is, inside the picture.
    """

    name: str
    colour: str
    box: Box


@dataclass(frozen=True)
class Plan:
    """What a scene shows. Heights are shares of the picture's side, measured from the top.

    Attributes:
        sky: A key of SKIES, or 'wall' if a brick wall fills the background.
        ground: A key of GROUNDS.
        horizon: Where the ground begins.
        shore: Where sand begins before the sea, or None.
        hills: Height of the hills' middle line, or None.
        things: The things, from back to front.
    """

    sky: str
    ground: str
    horizon: float
    shore: float | None
    hills: float | None
    things: tuple[PlacedThing, ...]


def plan(rng: np.random.Generator) -> Plan:
    """A random plan with one to three things that fit where they stand.

    Args:
        rng: Source of chance.
    """
    sky = str(rng.choice(["day", "sunset", "night", "wall"], p=[0.34, 0.27, 0.27, 0.12]))
    ground = str(
        rng.choice(sorted(GROUNDS), p=[0.25, 0.2, 0.35, 0.2] if sky != "wall" else [0.5, 0.25, 0, 0.25])
    )
    horizon = float(rng.uniform(0.72, 0.82) if sky == "wall" else rng.uniform(0.5, 0.66))
    shore = float(rng.uniform(0.84, 0.9)) if ground == "sea" and rng.random() < 0.35 else None
    hills = float(horizon - rng.uniform(0.07, 0.14)) if sky in SKIES and rng.random() < 0.3 else None
    bare = Plan(sky, ground, horizon, shore, hills, ())
    return Plan(sky, ground, horizon, shore, hills, _things(bare, rng))


def _things(bare: Plan, rng: np.random.Generator) -> tuple[PlacedThing, ...]:
    """One to three things of different kinds, further ones first (their lower edge is higher)."""
    wanted = int(rng.choice([1, 2, 3], p=[0.35, 0.45, 0.2]))
    common = str(rng.choice(THINGS["house"].colours)) if rng.random() < SAME_COLOUR_SHARE else None
    placed: list[PlacedThing] = []
    for name in rng.permutation(_fitting(bare)).tolist():
        box = _free_box(THINGS[name], bare, placed, rng)
        colour = str(rng.choice(THINGS[name].colours))
        if box is not None:
            placed.append(PlacedThing(name, common if common in THINGS[name].colours else colour, box))
        if len(placed) == wanted:
            break
    return tuple(sorted(placed, key=lambda thing: thing.box.bottom))


def _fitting(bare: Plan) -> list[str]:
    """Names of the things that this background allows."""
    absent = {"sun"} if bare.sky == "night" else {"moon"} if bare.sky == "day" else set()
    places = (
        {"air"}
        | ({"sky"} if bare.sky in SKIES else set())
        | ({"sea"} if bare.ground == "sea" else {"ground"})
    )
    return [name for name, thing in THINGS.items() if places & set(thing.places) and name not in absent]


def _free_box(thing: Thing, bare: Plan, placed: list[PlacedThing], rng: np.random.Generator) -> Box | None:
    for _ in range(TRIES):
        box = _random_box(thing, bare, rng)
        if all(_overlap(box, other.box) <= LARGEST_OVERLAP for other in placed):
            return box
    return None


def _random_box(thing: Thing, bare: Plan, rng: np.random.Generator) -> Box:
    """A box of the thing's size where it may be: standing on the ground, afloat, in the sky or anywhere."""
    height = float(rng.uniform(*thing.sizes))
    width = height * thing.aspect
    low, high = {
        "ground": (bare.horizon + 0.06, 0.97),
        "sea": (bare.horizon + 0.1, bare.shore - 0.03 if bare.shore else 0.94),
        "sky": (height + 0.03, max(height + 0.04, bare.horizon - 0.02)),
        "air": (height + 0.03, 0.95),
    }[thing.places[0]]
    return Box(float(rng.uniform(0.02, 0.98 - width)), float(rng.uniform(low, high)) - height, width, height)


def _overlap(box: Box, other: Box) -> float:
    """Shared area as a part of the smaller box's area, 0..1."""
    width = min(box.x + box.width, other.x + other.width) - max(box.x, other.x)
    height = min(box.bottom, other.bottom) - max(box.y, other.y)
    smaller = min(box.width * box.height, other.width * other.height)
    return max(width, 0) * max(height, 0) / smaller
