"""What training needs of a scene, at latent resolution. Without torch, since drawing runs in processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from attnscope.demo.scenes import Scene, scene
from attnscope.demo.scenes.things import THINGS

MOST_PARTS = 7
"""A scene has at most sky, hills, ground, shore and three things."""


class Truth(NamedTuple):
    """A scene for training.

    Attributes:
        pixels: sRGB, 0..255.
        caption: Its caption.
        parts: Share of each latent cell that each part covers, 0..255. Unused parts are 0.
        things: The same for all things together.
        words: (first character, text, part) of every meaningful word.
    """

    pixels: UInt8[np.ndarray, "side side 3"]
    caption: str
    parts: UInt8[np.ndarray, "part h w"]
    things: UInt8[np.ndarray, "h w"]
    words: tuple[tuple[int, str, int], ...]


def truth(seed: int, size_px: int, cell_px: int) -> Truth:
    """Draw a scene and reduce its masks to latent cells.

    Args:
        seed: The scene's seed.
        size_px: Side of the picture in pixels.
        cell_px: Side of a cell in pixels.
    """
    drawn = scene(seed, size_px=size_px)
    cells = _cells(drawn, cell_px)
    things = sum((cells[i] for i, part in enumerate(drawn.parts) if part in THINGS), np.zeros_like(cells[0]))
    words = tuple((word.start, word.text, _part_of(drawn, word.mask)) for word in drawn.words)
    return Truth(drawn.image, drawn.caption, _bytes(cells), _bytes(things), words)


def draw_truths(seeds: range, size_px: int, cell_px: int, *, workers: int) -> Iterator[Truth]:
    """Draw many scenes, in order.

    Args:
        seeds: Their seeds.
        size_px: Side of the pictures in pixels.
        cell_px: Side of a cell in pixels.
        workers: Processes that draw. 0: this one.
    """
    job = partial(truth, size_px=size_px, cell_px=cell_px)
    if workers == 0:
        yield from map(job, seeds)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(job, seeds, chunksize=16)


def _cells(drawn: Scene, cell_px: int) -> np.ndarray:
    side = len(drawn.segments) // cell_px
    one_hot = drawn.segments == np.arange(MOST_PARTS)[:, None, None]
    return one_hot.reshape(MOST_PARTS, side, cell_px, side, cell_px).mean((2, 4), dtype=np.float32)


def _part_of(drawn: Scene, mask: np.ndarray) -> int:
    return int(drawn.segments.ravel()[np.flatnonzero(mask)[0]])


def _bytes(share: np.ndarray) -> np.ndarray:
    return np.clip(share * 255 + 0.5, 0, 255).astype(np.uint8)
