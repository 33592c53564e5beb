"""How well words light up what they mean: heat maps of held-out scenes against the scenes' masks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from diffusers import StableDiffusionPipeline

import attnscope
from attnscope.demo.scenes import Scene, Word
from attnscope.demo.scoring import heat_iou, pointing_hit
from attnscope.photos.latents import noised, photo_latent, photo_tensor
from attnscope.photos.one_pass import photo_trace
from attnscope.segmentation.photo import TIMESTEP
from attnscope.trace.trace import Trace

HEAT_THRESHOLD = 0.4
"""A word's mask is where its heat is above this share of the largest value."""
COLOURLESS = "thing, no colour named"
SWAPPED = "thing, colours swapped"


class WordScore(NamedTuple):
    """How well one word lights up what it means.

    Attributes:
        kind: Kind of the word.
        hit: Whether its map points into its mask.
        area: The mask's share of the picture, 0..1.
        iou: IoU of the two masks, 0..1.
    """

    kind: str
    hit: bool
    area: float
    iou: float


def word_scores(pipe: StableDiffusionPipeline, picture: Scene) -> Iterator[WordScore]:
    """Score the words of a scene's caption, read in one pass with noise at timestep 300.

    Thing words in captions that name no colour come a second time, as "thing, no colour named". Where two things have
    different colours, their words come once more, as "thing, colours swapped", read with a caption that gives each
    thing the other's colour: a word that only follows its colour fails there.

    Args:
        pipe: The pipeline.
        picture: The scene.
    """
    colourless = not any(word.kind == "colour" for word in picture.words)
    for score in scores_of(caption_trace(pipe, picture), picture):
        yield score
        if score.kind == "thing" and colourless:
            yield score._replace(kind=COLOURLESS)
    swapped = with_colours_swapped(picture)
    if swapped is not None:
        again = scores_of(caption_trace(pipe, swapped), swapped)
        yield from (score._replace(kind=SWAPPED) for score in again if score.kind == "thing")


def scores_of(trace: Trace, picture: Scene) -> Iterator[WordScore]:
    """Score the words of a scene's caption.

    Args:
        trace: The scene, read with its caption.
        picture: The scene.
    """
    words = picture.words
    earlier = [sum(other.text == word.text for other in words if other.start < word.start) for word in words]
    spans = [trace.span(word.text, occurrence=number) for word, number in zip(words, earlier, strict=True)]
    for word, heat in zip(words, attnscope.heat_maps(trace, spans), strict=True):
        yield WordScore(
            word.kind,
            pointing_hit(heat.array, word.mask),
            float(word.mask.mean()),
            heat_iou(heat.array, word.mask, HEAT_THRESHOLD),
        )


def with_colours_swapped(picture: Scene) -> Scene | None:
    """The scene with its colour words moved on by one thing, and only the words of the things that got another colour.

    Args:
        picture: The scene.

    Returns:
        None if fewer than two colours are named: there is nothing to swap.
    """
    coloured = [word for word in picture.words if word.kind == "colour"]
    if len({word.text for word in coloured}) < 2:
        return None
    moved = [*coloured[1:], coloured[0]]
    caption, things, end = "", [], 0
    for old, new in zip(coloured, moved, strict=True):
        thing = next(word for word in picture.words if word.start > old.start)
        between = picture.caption[end : old.start]
        caption += re.sub(r"\ban? $", "an " if new.text[0] in "aeiou" else "a ", between) + new.text
        end = old.start + len(old.text)
        if new.text != old.text:
            things.append(replace(thing, start=thing.start + len(caption) - end))
    return replace(picture, caption=caption + picture.caption[end:], words=tuple[Word, ...](things))


def caption_trace(pipe: StableDiffusionPipeline, picture: Scene) -> Trace:
    """Cross-attention of one pass over a scene with its caption. The noise has the scene's seed.

    Args:
        pipe: The pipeline.
        picture: The scene.
    """
    pixels = photo_tensor(picture.pil_image, picture.segments.shape)
    latent = noised(pipe, photo_latent(pipe, pixels), TIMESTEP, picture.seed)
    return photo_trace(pipe, latent, picture.caption, timestep=TIMESTEP, kind="cross")
