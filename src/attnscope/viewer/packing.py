"""Maps inside an exported page, deflated; and how much of single steps fits into it."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from attnscope import places
from attnscope.places import View
from attnscope.trace.trace import Trace

LEVELS = 255
LEVELS_OF_STEPS = 63
"""Coarser, as eyes see no more while steps play, and a quarter of the bytes are saved."""
MOST_BYTES_OF_STEPS = 6_000_000
"""Of a page, as text, for all single steps together."""
BYTES_A_VALUE = 0.9
"""Of a value in `LEVELS_OF_STEPS` levels, deflated and as text: what noise takes; maps take less."""


def packed(
    of_places: Float[Tensor, "place height width"], grid: Sequence[int], levels: int = LEVELS
) -> dict[str, Any]:
    """Maps, each in levels of its own maximum.

    Args:
        of_places: A map for each place, row by row.
        grid: Height and width of those places.
        levels: Of the maximum; at most 255.
    """
    flat = of_places.flatten(1)
    maxima = flat.amax(1, keepdim=True)
    shares = (flat / maxima.clamp_min(1e-30) * levels).round().to(torch.uint8)
    return {
        "grid": list(grid),
        "height": of_places.shape[1],
        "width": of_places.shape[2],
        "top": levels,
        "levels": deflated(shares.numpy().tobytes()),
        "maxima": deflated(maxima.float().numpy().astype("<f4").tobytes()),
    }


def deflated(content: bytes) -> str:
    """Bytes as text.

    Args:
        content: The bytes.
    """
    return base64.b64encode(zlib.compress(content, 9)).decode()


def fewer_places(
    of_places: Float[Tensor, "place height width"], grid: tuple[int, int], longest: int
) -> tuple[Float[Tensor, "place height width"], tuple[int, int]]:
    """Mean maps of coarser places, and their grid.

    Args:
        of_places: A map for each place, row by row.
        grid: Height and width of those places.
        longest: Most places of a side.
    """
    to = places.coarse(grid, longest)
    if to == tuple(grid):
        return of_places, to
    by_place = of_places.flatten(1).T.view(-1, *grid)
    means = adaptive_avg_pool2d(by_place, to).flatten(1).T
    return means.reshape(-1, *of_places.shape[1:]), to


class Detail(NamedTuple):
    """How fine single steps are: longest sides of grids.

    Attributes:
        looking: Of the places that look, in a block.
        all_looking: The same in the mean over all blocks.
        cells: Of a place's map.
        word_cells: Of a word's map in a block.
        all_word_cells: The same in the mean over all blocks.
    """

    looking: int
    all_looking: int
    cells: int
    word_cells: int
    all_word_cells: int


DETAILS = (
    Detail(16, 16, 16, 32, 32),
    Detail(8, 16, 16, 16, 32),
    Detail(8, 8, 16, 16, 16),
    Detail(4, 8, 8, 8, 16),
)
"""From the finest to the coarsest."""


@dataclass(frozen=True)
class Singles:
    """The steps that a page has singly, and how fine.

    Attributes:
        steps: Their numbers.
        detail: How fine.
    """

    steps: tuple[int, ...]
    detail: Detail


def fitting_singles(trace: Trace, view: View, words: int, most: int) -> Singles:
    """As many single steps as are asked for, as fine as fits; where that is not enough, fewer, evenly chosen.

    Args:
        trace: Of one pass.
        view: Step, branch and image. One step by itself needs no other.
        words: How many words have maps.
        most: How many are asked for at most.
    """
    layers = [*trace.layers.of_kind("self"), *trace.layers.of_kind("cross")]
    there = [set(trace.steps_with(layer, view.branch, view.image)) for layer in layers]
    whole = [step.index for step in trace.steps if all(step.index in steps for steps in there)]
    chosen = () if view.step is not None or len(trace.steps) < 2 else _evenly(whole, most)
    while chosen:
        for detail in DETAILS:
            if len(chosen) * _values(trace, words, detail) * BYTES_A_VALUE <= MOST_BYTES_OF_STEPS:
                return Singles(chosen, detail)
        chosen = _evenly(chosen, len(chosen) // 2)
    return Singles((), DETAILS[-1])


def _evenly(steps: Sequence[int], most: int) -> tuple[int, ...]:
    """At most so many of the steps, the first and the last among them."""
    if len(steps) <= most:
        return tuple(steps)
    if most < 2:
        return tuple(steps[-most:]) if most else ()
    return tuple(steps[round(at * (len(steps) - 1) / (most - 1))] for at in range(most))


def _values(trace: Trace, words: int, detail: Detail) -> int:
    """Numbers of one step."""
    own, cross = trace.layers.of_kind("self"), trace.layers.of_kind("cross")
    size = _finest(trace)
    of_places = sum(_of(layer.grid, detail.looking, detail.cells) for layer in own)
    of_places += max((_of(layer.grid, detail.all_looking, detail.cells) for layer in own), default=0)
    of_words = words * (len(cross) * _area(size, detail.word_cells) + _area(size, detail.all_word_cells))
    shares = max((_area(layer.grid, detail.all_looking) * layer.keys for layer in cross), default=0)
    return of_places + of_words + shares


def _finest(trace: Trace) -> tuple[int, ...]:
    return max((tuple(layer.grid) for layer in trace.layers), key=lambda grid: grid[0] * grid[1])


def _of(grid: tuple[int, ...], looking: int, cells: int) -> int:
    return _area(grid, min(looking, cells)) * _area(grid, cells)


def _area(grid: tuple[int, ...], longest: int) -> int:
    height, width = places.coarse(grid, longest)
    return height * width
