"""A picture-book world drawn by a program: pictures with a caption and the exact mask of every word.

    from attnscope.demo.scenes import scene

    picture = scene(7)
    picture.caption                  # "a white boat over the sea under a night sky" or the like
    picture.masks["boat"]            # where the boat is seen, True or False for each pixel

Scenes depend on their seed alone, never on their size: `scene(7, size_px=128)` is the same picture, smaller.
Only NumPy and Pillow are used. A scene of 256 pixels takes about 10 ms.

The shipped demo model has never seen a scene whose seed is below FIRST_TRAINING_SEED.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image

from attnscope.demo.scenes.captions import Kind, caption
from attnscope.demo.scenes.drawing import draw
from attnscope.demo.scenes.layout import plan
from attnscope.demo.scenes.palette import COLOURS
from attnscope.demo.scenes.stuff import GROUNDS
from attnscope.demo.scenes.things import THINGS

FIRST_TRAINING_SEED = 1_000_000
"""Training uses seeds from here upwards, evaluation and users those below."""

WORDS = tuple(
    sorted(
        {
            *THINGS,
            *COLOURS,
            *GROUNDS,
            "sky",
            "hills",
            "wall",
            "brick",
            "sunset",
            "night",
            "and",
            "a",
            "an",
            "the",
        }
        | {"on", "over", "under", "with", "in", "front", "of", "picture", "drawing", "there", "is", ","}
    )
)
"""Every word that a caption may hold."""


@dataclass(frozen=True)
class Word:
    """A word of the caption and where the picture shows what it means.

    Attributes:
        text: The word.
        start: Its first character in the caption. Words may come twice: "a red house and a red boat".
        kind: 'thing', 'colour' (of a thing), 'stuff' (sky, grass, ...) or 'look' (night, sunset, brick).
        mask: Where it is seen.
    """

    text: str
    start: int
    kind: Kind
    mask: Bool[np.ndarray, "height width"]


@dataclass(frozen=True)
class Scene:
    """A drawn picture with its truth.

    Attributes:
        seed: The seed that it was drawn from.
        image: sRGB, 0..255.
        caption: A true sentence about it.
        words: The caption's meaningful words, in order.
        segments: For each pixel the number of its part.
        parts: What is shown, from back to front: 'sky', 'grass', 'house'.
        colours: Colour of every thing ('boat': 'white'), whether the caption names it or not.
    """

    seed: int
    image: UInt8[np.ndarray, "height width 3"]
    caption: str
    words: tuple[Word, ...]
    segments: Int[np.ndarray, "height width"]
    parts: tuple[str, ...]
    colours: dict[str, str]

    @property
    def masks(self) -> dict[str, Bool[np.ndarray, "height width"]]:
        """Where each word of the caption is seen. A word that comes twice has one mask for both."""
        masks: dict[str, Bool[np.ndarray, "height width"]] = {}
        for word in self.words:
            masks[word.text] = masks.get(word.text, np.zeros_like(word.mask)) | word.mask
        return masks

    @property
    def pil_image(self) -> Image.Image:
        """The picture for Pillow and for diffusers."""
        return Image.fromarray(self.image)


def scene(seed: int, *, size_px: int = 256) -> Scene:
    """The scene of a seed, as a square picture.

    Args:
        seed: 0 or more.
        size_px: Side of the picture in pixels. The scene is the same at every size.

    >>> scene(3).caption == scene(3, size_px=64).caption
    True
    """
    planning, wording, painting = np.random.default_rng(seed).spawn(3)
    idea = plan(planning)
    text, mentions = caption(idea, wording)
    canvas = draw(idea, size_px, painting)
    words = tuple(
        Word(m.text, m.start, m.kind, canvas.labels == canvas.parts.index(m.part)) for m in mentions
    )
    colours = {thing.name: thing.colour for thing in idea.things}
    return Scene(seed, canvas.finish(), text, words, canvas.labels, tuple(canvas.parts), colours)


def scenes(seeds: Iterable[int], *, size_px: int = 256) -> Iterator[Scene]:
    """The scenes of several seeds, one after the other.

    Args:
        seeds: The seeds.
        size_px: Side of the pictures in pixels.
    """
    for seed in seeds:
        yield scene(seed, size_px=size_px)
