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

    start: its first character in the caption (words may come twice: "a red house and a red boat");
    kind: "thing", "colour" (of a thing), "stuff" (sky, grass, ...) or "look" (night, sunset, brick).
    """

    text: str
    start: int
    kind: Kind
    mask: Bool[np.ndarray, "height width"]


@dataclass(frozen=True)
class Scene:
    """A drawn picture with its truth.

    image: sRGB, 0..255; segments: for each pixel the index into parts; parts: what is shown, from back to
    front ("sky", "grass", "house"); words: the caption's meaningful words in order; colours: of every thing
    ("boat" -> "white"), named by the caption or not.
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
        """Where each word of the caption is seen; a word that comes twice has the union."""
        masks: dict[str, Bool[np.ndarray, "height width"]] = {}
        for word in self.words:
            masks[word.text] = masks.get(word.text, np.zeros_like(word.mask)) | word.mask
        return masks

    @property
    def pil_image(self) -> Image.Image:
        """The picture for Pillow and for diffusers."""
        return Image.fromarray(self.image)


def scene(seed: int, *, size_px: int = 256) -> Scene:
    """The scene of this seed as a square picture.

    Example:
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
    """The scenes of these seeds, one after the other."""
    for seed in seeds:
        yield scene(seed, size_px=size_px)
