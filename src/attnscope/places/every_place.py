"""Where every place looks, and what it reads: whole maps of maps, on grids small enough to keep all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from attnscope.errors import SelectionError
from attnscope.pictures.maps import resize_maps
from attnscope.places.view import View
from attnscope.records import Layer
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.trace import Trace

LONGEST = 32
"""Longer side of a grid on which every place's map is kept: 1024 maps of 1024 places."""
LONGEST_OF_STEPS = 16
"""The same of a single step: 256 maps of 256 places."""


class EveryPlace(NamedTuple):
    """The map of every place.

    Attributes:
        block: None for the mean over all blocks.
        grid: Height and width of the places that look, row by row.
        maps: Where each of them looks.
        step: Number of a single step; None for what the view chooses.
    """

    block: int | None
    grid: tuple[int, int]
    maps: Float[Tensor, "place height width"]
    step: int | None = None


def every_place(
    trace: TraceSource,
    view: View,
    *,
    longest: int = LONGEST,
    singly: Sequence[int] = (),
    longest_of_steps: int = LONGEST_OF_STEPS,
    progress: Callable[[int], None] | None = None,
) -> Iterator[EveryPlace]:
    """Where every place looks in each block, then on average over all blocks: self-attention.

    Args:
        trace: Of one pass.
        view: Step, branch and image; all blocks and heads are taken.
        longest: Finer grids are made coarser until their longer side has at most this many places: the mean over the
            places that look, the sum over those that are looked at.
        singly: Numbers of steps whose maps are given, too, each by itself. Every layer must have them.
        longest_of_steps: As `longest`, of single steps.
        progress: Called as progress(done) after each layer of each step.

    Cost: the head mean of every self-attention layer and step, once.
    """
    trace = as_trace(trace)
    layers = trace.layers.of_kind("self")
    means: dict[int | None, _Mean] = {step: _Mean(layers, longest_of_steps) for step in singly}
    means = {None: _Mean(layers, longest), **means}
    done = 0
    for layer in layers:
        there = trace.steps_with(layer, view.branch, view.image) if view.step is None else [view.step]
        done += 0 if view.step is not None else len(trace.steps) - len(there)
        total: Tensor | None = None
        for step in there:
            if step in singly:
                own = _head_mean(trace, layer, view, step)
                yield means[step].add(layer, own.cpu(), step)
                total = own.clone() if total is None else total.add_(own)  # what was given stays
            else:
                total = _head_mean(trace, layer, view, step, into=total)
            done += 1
            if progress is not None:
                progress(done)
        if total is None:
            raise SelectionError(f"no step has {layer.id} and a row of branch {view.branch!r}")
        yield means[None].add(layer, total.cpu() / len(there), None)
    if layers:
        yield from (mean.of_all(step) for step, mean in means.items())


class _Mean:
    """Maps of blocks on grids that are small enough, and their mean."""

    def __init__(self, layers: Sequence[Layer], longest: int) -> None:
        self._longest, self._count = longest, len(layers)
        grids = [coarse(layer.grid, longest) for layer in layers]
        self._finest = max(grids, key=lambda grid: grid[0] * grid[1], default=(1, 1))
        self._total: Tensor | None = None

    def add(self, layer: Layer, probabilities: Float[Tensor, "query key"], step: int | None) -> EveryPlace:
        """The layer's maps, which count in the mean from now on."""
        grid = coarse(layer.grid, self._longest)
        maps = _coarser(probabilities, layer.grid, grid)
        share = _spread(maps, grid, self._finest) / self._count
        self._total = share if self._total is None else self._total.add_(share)
        return EveryPlace(layer.block, grid, maps, step)

    def of_all(self, step: int | None) -> EveryPlace:
        assert self._total is not None
        return EveryPlace(None, self._finest, self._total, step)


def _head_mean(
    trace: Trace, layer: Layer, view: View, step: int, into: Tensor | None = None
) -> Float[Tensor, "query key"]:
    return trace.probabilities(
        layer=layer, part="own", step=step, branch=view.branch, image=view.image, mean="head", into=into
    )


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
