"""Where every place looks, and what it reads: whole maps of maps, on grids small enough to keep all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from attnscope.errors import SelectionError
from attnscope.pictures.maps import resize_maps
from attnscope.places.view import View
from attnscope.trace.files import TraceSource, as_trace

LONGEST = 32
"""Longer side of a grid on which every place's map is kept: 1024 maps of 1024 places."""


class EveryPlace(NamedTuple):
    """The map of every place.

    Attributes:
        block: None for the mean over all blocks.
        grid: Height and width of the places that look, row by row.
        maps: Where each of them looks.
    """

    block: int | None
    grid: tuple[int, int]
    maps: Float[Tensor, "place height width"]


def every_place(
    trace: TraceSource,
    view: View,
    *,
    longest: int = LONGEST,
    progress: Callable[[int], None] | None = None,
) -> Iterator[EveryPlace]:
    """Where every place looks in each block, then on average over all blocks: self-attention.

    Args:
        trace: Of one pass.
        view: Step, branch and image; all blocks and heads are taken.
        longest: Finer grids are made coarser until their longer side has at most this many places: the mean over the
            places that look, the sum over those that are looked at.
        progress: Called as progress(done) after each layer of each step.

    Cost: the head mean of every self-attention layer and step.
    """
    trace = as_trace(trace)
    layers = trace.layers.of_kind("self")
    steps = [step.index for step in trace.steps]
    grids = [coarse(layer.grid, longest) for layer in layers]
    finest = max(grids, key=lambda grid: grid[0] * grid[1], default=(1, 1))
    choice: dict[str, Any] = {"branch": view.branch, "image": view.image, "mean": "head"}
    together: Tensor | None = None
    done = 0
    for layer, grid in zip(layers, grids, strict=True):
        total: Tensor | None = None
        there = trace.steps_with(layer, view.branch, view.image) if view.step is None else [view.step]
        done += 0 if view.step is not None else len(steps) - len(there)
        for step in there:
            total = trace.probabilities(layer=layer, part="own", step=step, into=total, **choice)
            done += 1
            if progress is not None:
                progress(done)
        if total is None:
            raise SelectionError(f"no step has {layer.id} and a row of branch {view.branch!r}")
        maps = _coarser(total.cpu() / len(there), layer.grid, grid)
        yield EveryPlace(layer.block, grid, maps)
        share = _spread(maps, grid, finest) / len(layers)
        together = share if together is None else together.add_(share)
    if together is not None:
        yield EveryPlace(None, finest, together)


def every_places_words(
    trace: TraceSource, view: View, *, longest: int = LONGEST
) -> tuple[tuple[int, int], Float[Tensor, "place token"]] | None:
    """What every place takes from each token, mean over all blocks: cross-attention; None where the trace has none.

    Args:
        trace: Of one pass.
        view: Step, branch and image; all blocks and heads are taken.
        longest: As for `every_place`.

    Returns:
        Height and width of the places, and their shares of all of a place's attention; they sum to 1 where nothing else
        is looked at.
    """
    trace = as_trace(trace)
    layers = trace.layers.of_kind("cross")
    if not layers:
        return None
    finest = max((coarse(layer.grid, longest) for layer in layers), key=lambda grid: grid[0] * grid[1])
    choice: dict[str, Any] = {"step": view.step, "branch": view.branch, "image": view.image}
    of_layers = []
    for layer in layers:
        shares = trace.probabilities(block=layer.block, kind="cross", mean=("step", "head"), **choice).cpu()
        of_layers.append(_at_places(shares.T.view(-1, *layer.grid), finest))
    return finest, torch.stack(of_layers).mean(0).flatten(1).T


def coarse(grid: tuple[int, ...], longest: int = LONGEST) -> tuple[int, int]:
    """The grid with its sides divided by the least whole number that makes both at most `longest`, rounded up.

    Args:
        grid: Height and width.
        longest: Most places of a side.

    >>> coarse((65, 64))
    (22, 22)
    """
    factor = -(-max(grid) // longest)
    return -(-grid[0] // factor), -(-grid[1] // factor)


def _coarser(
    probabilities: Float[Tensor, "query key"], grid: tuple[int, ...], to: tuple[int, int]
) -> Float[Tensor, "place height width"]:
    """Mean over the queries and sum over the keys of each coarser cell; cells at the far edges may be smaller."""
    keys = probabilities.view(-1, 1, *grid)
    if grid == to:
        return keys[:, 0]
    factor = -(-max(grid) // max(to))  # the same that `coarse` took, which was the least that would do
    settings: dict[str, Any] = {"kernel_size": factor, "ceil_mode": True}
    summed = avg_pool2d(keys, divisor_override=1, **settings).view(*grid, to[0] * to[1]).permute(2, 0, 1)
    return avg_pool2d(summed, **settings).permute(1, 2, 0).reshape(-1, *to)


def _spread(
    of_places: Float[Tensor, "place h w"], grid: tuple[int, int], finest: tuple[int, int]
) -> Float[Tensor, "place height width"]:
    """As `places.box_map` for all blocks: keys resized bilinearly with their sum kept, queries repeated."""
    large = resize_maps(of_places, finest)
    large = large * (of_places.sum((1, 2), keepdim=True) / large.sum((1, 2), keepdim=True))
    rows, columns = (torch.arange(to) * of // to for of, to in zip(grid, finest, strict=True))
    return large.view(*grid, *finest)[rows[:, None], columns].flatten(0, 1)


def _at_places(
    values: Float[Tensor, "value h w"], grid: tuple[int, int]
) -> Float[Tensor, "value height width"]:
    """Values of a finer or coarser grid at the places of another: means, or repeated."""
    if values.shape[1] > grid[0]:
        return adaptive_avg_pool2d(values, grid)
    rows, columns = (torch.arange(to) * of // to for of, to in zip(values.shape[1:], grid, strict=True))
    return values[:, rows[:, None], columns]
