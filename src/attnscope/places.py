"""Where a place or a region of the picture looks, and which words it reads. The viewer shows these numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from attnscope.errors import ParameterError, SelectionError, describe_numbers
from attnscope.heatmap import heat_map
from attnscope.records import Grid, Kind, Layer, TokenSpan
from attnscope.trace.trace import Trace


@dataclass(frozen=True)
class View:
    """Which attention to look at: block, head and step (None is the mean over all of them), branch and image."""

    block: int | None = None
    head: int | None = None
    step: int | None = None
    branch: str = "cond"
    image: int = 0


@dataclass(frozen=True)
class Box:
    """A part of the picture, in shares of its height and width, 0..1. A single place has no extent."""

    top: float
    left: float
    bottom: float
    right: float

    def __post_init__(self) -> None:
        sides = (self.top, self.left, self.bottom, self.right)
        if not all(0 <= side <= 1 for side in sides) or self.top > self.bottom or self.left > self.right:
            raise ParameterError(
                f"the box (top, left, bottom, right) is {sides}; expected shares of the picture, 0 to 1, top before "
                "bottom and left before right"
            )

    @classmethod
    def of_place(cls, y: float, x: float) -> Box:
        """The box of a single place.

        Args:
            y: Share of the height, 0..1.
            x: Share of the width, 0..1.
        """
        return cls(y, x, y, x)

    def cells(self, grid: Grid) -> list[int]:
        """Flat numbers of the grid's cells that the box touches, at least one.

        Args:
            grid: Grid of a layer.
        """
        rows, columns = (
            range(_cell(low, count), _cell_up_to(high, low, count) + 1)
            for low, high, count in (
                (self.top, self.bottom, grid.height),
                (self.left, self.right, grid.width),
            )
        )
        return [row * grid.width + column for row in rows for column in columns]


NEARLY = 1e-5
"""In cells: shares that come from a link, or from a product such as 7/25 * 25, are slightly off."""


def _cell(share: float, count: int) -> int:
    return min(int(share * count + NEARLY), count - 1)


def _cell_up_to(high: float, low: float, count: int) -> int:
    """The last cell of a box; a box that ends on a line between cells does not touch the next one."""
    return max(min(math.ceil(high * count - NEARLY) - 1, count - 1), _cell(low, count))


def box_map(trace: Trace, view: View, box: Box) -> Float[np.ndarray, "height width"]:
    """Where a place looks, or the places of a box on average: self-attention, sum 1.

    Args:
        trace: A trace with self-attention.
        view: Without a block: the mean over blocks, each resized to the finest grid and scaled to sum 1.
        box: The place or the box.

    Cost: one softmax over the keys for each head, step and cell of the box.
    """
    layers = _layers(trace, "self", view)
    maps = [_layer_box_map(trace, layer, view, box) for layer in layers]
    if len(maps) == 1:
        return maps[0].numpy()
    finest = max((layer.grid for layer in layers), key=lambda grid: grid.size)
    return torch.stack([_resized(one, finest) for one in maps]).mean(0).numpy()


def block_maps(trace: Trace, view: View, box: Box) -> Iterator[tuple[int, Float[np.ndarray, "height width"]]]:
    """`box_map` for each block by itself, at its own size, as (block, map).

    Args:
        trace: A trace with self-attention.
        view: Its block is not used.
        box: The place or the box.
    """
    for layer in _layers(trace, "self", replace(view, block=None)):
        yield layer.block, _layer_box_map(trace, layer, view, box).numpy()


def head_maps(trace: Trace, view: View, box: Box) -> Iterator[tuple[int, Float[np.ndarray, "height width"]]]:
    """`box_map` for each head of one block by itself, as (head, map).

    Args:
        trace: A trace with self-attention.
        view: Its block is needed; its head is not used.
        box: The place or the box.
    """
    layer = _chosen_layer(trace, "self", view)
    steps = ("step",) if view.step is None else ()
    choice = _choice(replace(view, head=None))
    cells = box.cells(layer.grid)
    found = trace.probabilities(block=layer.block, kind="self", query=cells, mean=("query", *steps), **choice)
    for head, one in enumerate(found.cpu()):
        yield head, one.view(*layer.grid).numpy()


def word_head_maps(
    trace: Trace, view: View, tokens: Sequence[int]
) -> Iterator[tuple[int, Float[np.ndarray, "height width"]]]:
    """Where tokens landed in each head of one block by itself, on the block's grid, as (head, map).

    Args:
        trace: A trace with cross-attention.
        view: Its block is needed; its head is not used.
        tokens: Token numbers.
    """
    layer = _chosen_layer(trace, "cross", view)
    steps = ("step",) if view.step is None else ()
    choice = _choice(replace(view, head=None))
    found = trace.probabilities(block=layer.block, kind="cross", token=list(tokens), mean=steps, **choice)
    for head, one in enumerate(found.mean(-1).cpu()):
        yield head, one.view(*layer.grid).numpy()


def word_block_maps(
    trace: Trace, view: View, tokens: Sequence[int]
) -> Iterator[tuple[int, Float[np.ndarray, "height width"]]]:
    """Where tokens landed in each block by itself, at latent size, as (block, map).

    Args:
        trace: A trace with cross-attention.
        view: Its block is not used.
        tokens: Token numbers.
    """
    for layer in _layers(trace, "cross", replace(view, block=None)):
        yield layer.block, word_map(trace, replace(view, block=layer.block), tokens)


def token_shares(trace: Trace, view: View, box: Box) -> Float[np.ndarray, " token"]:
    """The share of attention that a place, or a box on average, gives to each token: cross-attention, sum 1.

    Args:
        trace: A trace with cross-attention.
        view: Without a block: the mean over all blocks.
        box: The place or the box.
    """
    shares = [
        trace.probabilities(
            block=layer.block,
            kind="cross",
            query=box.cells(layer.grid),
            mean=("query", *_averaged(view)),
            **_choice(view),
        )
        for layer in _layers(trace, "cross", view)
    ]
    return torch.stack([one.cpu().double() for one in shares]).mean(0).float().numpy()


def check_choice(trace: Trace, step: int | None, branch: str, image: int) -> None:
    """Raise SelectionError if the trace lacks the step, the branch or the image.

    Args:
        trace: Any trace.
        step: Step number, None for all.
        branch: Guidance branch.
        image: Which picture of the batch.
    """
    steps = [one.index for one in trace.steps]
    if not 0 <= image < trace.images:
        raise SelectionError(f"image {image}: this trace has images 0 to {trace.images - 1}")
    if branch not in trace.branches:
        raise SelectionError(f"branch {branch!r}: this trace has {', '.join(trace.branches)}")
    if step is not None and step not in steps:
        raise SelectionError(f"step {step}: this trace has steps {describe_numbers(steps)}")


def word_map(trace: Trace, view: View, tokens: Sequence[int]) -> Float[np.ndarray, "height width"]:
    """Where tokens landed: `attnscope.heat_map` of all of them, at latent size; the mean share of one token.

    Args:
        trace: A trace with cross-attention.
        view: Which block, head, step, branch and image.
        tokens: Token numbers, at least one.
    """
    if not tokens:
        raise ParameterError("tokens are empty; expected token numbers, such as 2 or 2,3")
    span = TokenSpan("+".join(map(str, tokens)), 0, 0, tuple(tokens))
    found = heat_map(
        trace,
        span,
        steps=view.step,
        blocks=view.block,
        heads=view.head,
        branch=view.branch,
        image=view.image,
    )
    return found.array


@dataclass(frozen=True)
class Numbers:
    """A map in numbers: mean, minimum and maximum in its own unit, peak (row, column), and entropy in bits.

    The entropy is that of the map as a distribution over its places: log2(places) for an even one.
    """

    mean: float
    minimum: float
    maximum: float
    peak: tuple[int, int]
    entropy_bits: float

    @classmethod
    def of(cls, array: Float[np.ndarray, "height width"]) -> Numbers:
        """The numbers of a map.

        Args:
            array: The map, not negative.
        """
        row, column = np.unravel_index(int(array.argmax()), array.shape)
        total = float(array.sum(dtype=np.float64))
        share = array[array > 0].astype(np.float64) / total if total > 0 else np.ones(1)
        return cls(
            float(array.mean(dtype=np.float64)),
            float(array.min()),
            float(array.max()),
            (int(row), int(column)),
            float(-(share * np.log2(share)).sum()),
        )


def _layer_box_map(trace: Trace, layer: Layer, view: View, box: Box) -> Float[Tensor, "height width"]:
    found = trace.probabilities(
        block=layer.block,
        kind="self",
        query=box.cells(layer.grid),
        mean=("query", *_averaged(view)),
        **_choice(view),
    )
    return found.cpu().view(*layer.grid)


def _resized(array: Float[Tensor, "h w"], grid: Grid) -> Float[Tensor, "height width"]:
    larger = interpolate(array[None, None], size=tuple(grid), mode="bilinear", align_corners=False)[0, 0]
    return larger / larger.sum()


def _layers(trace: Trace, kind: Kind, view: View) -> list[Layer]:
    if view.block is not None:
        return [trace.layer(view.block, kind)]
    layers = [layer for layer in trace.layers if layer.kind == kind]
    if not layers:
        raise SelectionError(f"this trace holds no {kind}-attention: capture without kind=")
    return layers


def _chosen_layer(trace: Trace, kind: Kind, view: View) -> Layer:
    if view.block is None:
        raise ParameterError("heads are those of one block: choose block=")
    return trace.layer(view.block, kind)


def _averaged(view: View) -> tuple[str, ...]:
    return tuple(axis for axis, chosen in (("step", view.step), ("head", view.head)) if chosen is None)


def _choice(view: View) -> dict[str, Any]:
    return {"step": view.step, "head": view.head, "branch": view.branch, "image": view.image}
