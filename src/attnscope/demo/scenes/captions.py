"""Say in words what a plan shows, in varied wording, and remember which word means what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from attnscope.demo.scenes.layout import PlacedThing, Plan
from attnscope.demo.scenes.things import THINGS

Kind = Literal["thing", "colour", "stuff", "look"]

NO_COLOURS_SHARE = 0.35
"""Share of captions that name no colour at all, so that words for shapes must stand by themselves."""

NO_COLOUR_SHARE = 0.12
"""Share of things whose colour the other captions leave out."""


@dataclass(frozen=True)
class Mention:
    """A word of a caption that stands for something visible.

    Attributes:
        text: The word.
        start: Its first character in the caption.
        kind: 'thing', 'colour' (of a thing), 'stuff' or 'look' (an adjective of stuff: night, sunset, brick).
        part: Name of the scene's part that it means.
    """

    text: str
    start: int
    kind: Kind
    part: str


Piece = tuple[str, Kind | None, str]
"""(word, kind, part). The kind is None for words that mean nothing visible."""


def caption(plan: Plan, rng: np.random.Generator) -> tuple[str, tuple[Mention, ...]]:
    """A true sentence about a plan, and its meaningful words in order.

    Args:
        plan: The plan.
        rng: Source of chance.
    """
    things = _things(plan, rng)
    order = rng.random()
    if order < 0.5:
        pieces = things + _background(plan, rng)
    elif order < 0.75:
        pieces = _view(plan) + _plain("with") + things
    elif order < 0.9:
        pieces = _opening(rng) + things + _background(plan, rng)
    else:
        pieces = things
    return _spell(pieces)


def _things(plan: Plan, rng: np.random.Generator) -> list[Piece]:
    """The things in any order: "a red house, a tree and a boat"."""
    colourless = 1.0 if rng.random() < NO_COLOURS_SHARE else NO_COLOUR_SHARE
    order = [plan.things[i] for i in rng.permutation(len(plan.things))]
    phrases = [_thing(thing, named=rng.random() >= colourless) for thing in order]
    pieces = phrases[0]
    for index, phrase in enumerate(phrases[1:], start=2):
        pieces = pieces + (_plain("and") if index == len(phrases) else _plain(",")) + phrase
    return pieces


def _thing(thing: PlacedThing, *, named: bool) -> list[Piece]:
    word: Piece = (thing.name, "thing", thing.name)
    if not named:
        return [*_plain("a"), word]
    article = "an" if thing.colour[0] in "aeiou" else "a"
    return [*_plain(article), (thing.colour, "colour", thing.name), word]


def _background(plan: Plan, rng: np.random.Generator) -> list[Piece]:
    """What follows the things: where they are. It may leave out sky or ground."""
    if plan.sky == "wall":
        return (
            _plain("in front of a") + _wall() + ([] if rng.random() < 0.4 else _plain("on") + _ground(plan))
        )
    said = rng.random()
    sky = _sky(plan) if said < 0.75 else []
    ground = _ground(plan) if said >= 0.2 else []
    hills = _plain("and") + _hills() if plan.hills and rng.random() < 0.6 else []
    if not ground:
        return _plain("under") + sky
    return _plain(_preposition(plan)) + ground + hills + (_plain("under") + sky if sky else [])


def _preposition(plan: Plan) -> str:
    """The word between things and ground: "on" if all stand there, "over" if none, else "with"."""
    standing = [THINGS[thing.name].places[0] in ("ground", "sea") for thing in plan.things]
    return "on" if all(standing) else "with" if any(standing) else "over"


def _view(plan: Plan) -> list[Piece]:
    """The background first: "a night sky over snow and hills"."""
    if plan.sky == "wall":
        return _plain("a") + _wall() + _plain("and") + _ground(plan)
    hills = _plain("and") + _hills() if plan.hills else []
    return _sky(plan) + _plain("over") + _ground(plan) + hills


def _opening(rng: np.random.Generator) -> list[Piece]:
    return _plain(str(rng.choice(["a picture of", "a drawing of", "there is"])))


def _sky(plan: Plan) -> list[Piece]:
    look: list[Piece] = [] if plan.sky == "day" else [(plan.sky, "look", "sky")]
    return [*_plain("a" if look else "the"), *look, ("sky", "stuff", "sky")]


def _ground(plan: Plan) -> list[Piece]:
    first: list[Piece] = [(plan.ground, "stuff", plan.ground)]
    if plan.ground == "sea":
        first = _plain("the") + first
    shore: list[Piece] = [*_plain("and"), ("sand", "stuff", "sand")]
    return first + (shore if plan.shore else [])


def _wall() -> list[Piece]:
    return [("brick", "look", "wall"), ("wall", "stuff", "wall")]


def _hills() -> list[Piece]:
    return [("hills", "stuff", "hills")]


def _plain(words: str) -> list[Piece]:
    return [(word, None, "") for word in words.split()]


def _spell(pieces: list[Piece]) -> tuple[str, tuple[Mention, ...]]:
    """Join the words with spaces (none before a comma) and note where the meaningful ones begin."""
    text, mentions = "", []
    for word, kind, part in pieces:
        text += " " if text and word != "," else ""
        if kind is not None:
            mentions.append(Mention(word, len(text), kind, part))
        text += word
    return text, tuple(mentions)
