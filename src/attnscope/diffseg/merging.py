"""Step 2 of DiffSeg: maps that look at the same place become one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attnscope.diffseg.distance import symmetric_kl
from attnscope.diffseg.exact_neighbours import ExactNeighbours
from attnscope.diffseg.float16_neighbours import Float16Neighbours
from attnscope.errors import ParameterError, nearest
from attnscope.probability.threads import in_tile_threads

PAPER_THRESHOLD = 1.1  # paper: COCO-Stuff; 0.9 for Cityscapes and the authors' demonstration
PASSES = 3
ANCHORS = 16
TILE_VALUES = 2**21  # maps times positions that are worked on at once: 16 MiB in float64
COLUMNS = 2048  # of a tile that are turned to float64 at once
MOST_THREADS = 8  # each holds two results of anchors by positions: 16 MiB at 64x64


class Neighbours(Protocol):
    """Which maps are near each anchor: `distances` (or exactly, `settled`) once, then `near` for every tau."""

    def distances(self, maps: Tensor) -> Any: ...

    def settled(self, maps: Tensor) -> Any: ...

    def near(self, maps: Tensor, distances: Any, tau: float) -> Bool[Tensor, "anchor map"]: ...


def merge(
    aggregated: Float[Tensor, "height width height width"],
    thresholds: float | Sequence[float] = (PAPER_THRESHOLD,) * PASSES,
    preset: str = "paper",
    *,
    anchors: int | tuple[int, int] = ANCHORS,
) -> Float[Tensor, "segment height width"]:
    """DiffSeg's second step: the maps of all positions become the maps of the segments.

    Args:
        aggregated: The result of `aggregate`, or an array like it.
        thresholds: Tau in nats of symmetric KL, above 0: one per pass, or one number for three equal passes. A larger
            tau gives fewer segments.
        preset: 'paper' computes every distance exactly (float64). 'reference' repeats the authors' program: its first
            pass compares in float16, tau included, and a map with a value that float16 rounds to 0 (below 3e-8)
            is near nothing.
        anchors: Maps that the first pass starts from, on a regular grid: per side, or (rows, columns). 16 gives 256.
            A side with fewer positions takes each once.

    Returns:
        Float64, in the order in which the authors' program finds the maps. Each sums to 1.

    Raises:
        ParameterError: Shapes, thresholds, anchors or preset do not fit; or 'reference' is left without any map.

    Cost: three matrix products of anchors by maps by positions: 0.4 s for 256 anchors at 64x64 on two cores, and some
    tiles of 16 MiB beside the result. Runs on the CPU where a device has no float64.
    Source: Tian et al. 2024, "Iterative Attention Merging".

    >>> import torch
    >>> left, right = torch.tensor([[0.6, 0.4, 0, 0]]) + 1e-3, torch.tensor([[0, 0, 0.4, 0.6]]) + 1e-3
    >>> maps = torch.cat([left, left, right, right]).view(2, 2, 2, 2)
    >>> merge(maps, thresholds=[1.0, 1.0]).shape
    torch.Size([2, 2, 2])
    """
    return Merger(aggregated, preset, anchors=anchors).merge(thresholds)


class Merger:
    """Merges the maps of one picture again and again. What does not depend on tau is computed once.

    Args:
        aggregated: As for `merge`.
        preset: As for `merge`.
        anchors: As for `merge`.

    Cost: 16 bytes for each anchor and map from the first merge on: 16 MiB for 256 anchors at 64x64.
    """

    def __init__(
        self,
        aggregated: Float[Tensor, "height width height width"],
        preset: str = "paper",
        *,
        anchors: int | tuple[int, int] = ANCHORS,
    ) -> None:
        aggregated = torch.as_tensor(aggregated)
        self.size_hw = height, width = _checked_maps(aggregated)
        of_preset = _NEIGHBOURS.get(preset)
        if of_preset is None:
            raise ParameterError(f"preset is {preset!r}; expected one of {nearest(str(preset), _NEIGHBOURS)}")
        points = anchor_points(self.size_hw, anchors).to(aggregated.device)
        maps = aggregated.detach().reshape(height * width, height * width)
        if maps.device.type == "mps":  # has no float64
            maps, points = maps.cpu(), points.cpu()
        self.anchors = len(points)
        self._tiles = maps.split(max(TILE_VALUES // maps.shape[1], 1))
        self._neighbours = of_preset(maps[points[:, 0] * width + points[:, 1]])
        self._distances: list[Any] = []

    def settle(self) -> None:
        """Compute all distances in float64 now, before many merges.

        Cost: 0.4 s for 256 anchors at 64x64 on two cores. It spares each merge the pairs too close to tau for
        float32: 0.3 s where most pairs are about tau apart, 0.02 s where segments are clear.
        """
        self._distances = self._computed(self._neighbours.settled)

    def distances(self) -> list[Float[Tensor, "anchor map"]]:
        """The distances of the anchors to all maps, in nats, some maps at a time."""
        if not self._distances:
            self._distances = self._computed(self._neighbours.distances)
        return [distance for distance, _ in self._distances]

    def merge(
        self, thresholds: float | Sequence[float] = (PAPER_THRESHOLD,) * PASSES
    ) -> Float[Tensor, "segment height width"]:
        """The maps of the segments for these thresholds, as `attnscope.diffseg.merge` returns them.

        Args:
            thresholds: As for `merge`.

        Cost: for 256 anchors at 64x64 on two cores 0.3 s the first time; again, with 8 to 24 clear segments, 0.06
        to 0.09 s.
        """
        taus = _checked_thresholds(thresholds)
        self.distances()
        merged = self._proposals(taus[0])
        for tau in taus[1:]:
            merged = _unite(merged, tau)
        return merged.view(-1, *self.size_hw)

    def _computed(self, distances: Callable[[Tensor], Any]) -> list[Any]:
        return list(_for_each(distances, self._tiles, self._tiles[0].device))

    def _proposals(self, tau: float) -> Float[Tensor, "proposal position"]:
        """First pass: every anchor becomes the mean of all maps near it; an anchor near nothing is dropped."""
        device, positions = self._tiles[0].device, self._tiles[0].shape[1]
        sums = torch.zeros((self.anchors, positions), dtype=torch.float64, device=device)
        counts = torch.zeros(self.anchors, dtype=torch.float64, device=device)

        def collected(number: int) -> tuple[Tensor, Tensor, Tensor]:
            tile = self._tiles[number]
            near = self._neighbours.near(tile, self._distances[number], tau)
            groups, group = near.unique(dim=0, return_inverse=True)  # anchors of one segment often agree
            reached = groups[group].any(1).nonzero()[:, 0]  # a tile is a strip of the picture
            return near.sum(1), reached, _product(groups.double(), tile)[group[reached]]

        for count, reached, part in _for_each(collected, range(len(self._tiles)), device):
            counts += count
            sums.index_add_(0, reached, part)
        kept = counts > 0
        if not kept.any():
            raise ParameterError(
                f"none of the {self.anchors} anchors is near any map, itself included: in every one a value is 0 in "
                "float16 (below 3e-8). Use preset='paper', which compares exactly"
            )
        return sums[kept] / counts[kept, None]


def _product(near: Float[Tensor, "anchor map"], maps: Float[Tensor, "map position"]) -> Tensor:
    """near @ maps in float64, some columns at a time: a whole copy of the maps would take as long as the product."""
    return torch.cat([near @ columns.double() for columns in maps.split(COLUMNS, dim=1)], 1)


def anchor_points(
    size_hw: tuple[int, int], anchors: int | tuple[int, int] = ANCHORS
) -> Int[Tensor, "anchor 2"]:
    """(row, column) of each anchor, row by row: 1, 5, ..., 61 on a side of 64 with 16 anchors.

    Args:
        size_hw: Grid (height, width).
        anchors: Anchors per side, or (rows, columns).

    Raises:
        ParameterError: `anchors` is neither.

    Source: the authors' program: spacing (side - 1) // (anchors - 1), the rest halved; here for any side.
    """
    per_side = tuple(anchors) if isinstance(anchors, tuple | list) else (anchors, anchors)
    if len(per_side) != 2 or not all(isinstance(count, int) and count >= 1 for count in per_side):
        raise ParameterError(f"anchors is {anchors!r}; expected a number from 1, or (rows, columns)")
    rows, columns = (_spread(side, count) for side, count in zip(size_hw, per_side, strict=True))
    return torch.cartesian_prod(rows, columns).view(-1, 2)


def _spread(side: int, count: int) -> Int[Tensor, " count"]:
    count = min(count, side)
    spacing = (side - 1) // max(count - 1, 1)
    start = (side - 1 - spacing * (count - 1)) // 2
    return start + spacing * torch.arange(count)


def _for_each(work: Callable[[Any], Any], items: Sequence[Any], device: torch.device) -> Iterator[Any]:
    """Results in the items' order. On a CPU they come from `in_tile_threads`: these matrix products are too small for
    torch's own threading, which on a busy machine waits at every one of them.
    """
    threads = min(torch.get_num_threads(), MOST_THREADS)
    if device.type != "cpu" or threads == 1 or len(items) == 1:
        yield from map(work, items)
        return
    for first in range(0, len(items), 2 * threads):  # a result is anchors by positions
        yield from in_tile_threads(work, items[first : first + 2 * threads])


def _unite(maps: Float[Tensor, "map position"], tau: float) -> Float[Tensor, "merged position"]:
    """Later passes: in order, a map not yet matched becomes the mean of all near it, matched ones too."""
    near = symmetric_kl(maps, maps) < tau
    near.fill_diagonal_(True)  # a distance of 1e-16 to itself must not matter
    matched = torch.zeros(len(maps), dtype=torch.bool)
    merged = []
    for number, group in enumerate(near.cpu()):
        if not matched[number]:
            matched |= group
            merged.append(maps[group.to(maps.device)].mean(0))
    return torch.stack(merged)


_NEIGHBOURS: dict[str, Callable[[Tensor], Neighbours]] = {
    "paper": ExactNeighbours,
    "reference": Float16Neighbours,
}
PRESETS = tuple(_NEIGHBOURS)


def _checked_maps(aggregated: Tensor) -> tuple[int, int]:
    shape = tuple(aggregated.shape)
    if len(shape) != 4 or shape[:2] != shape[2:] or 0 in shape:
        raise ParameterError(
            f"aggregated has shape {shape}; expected (height, width, height, width), as aggregate() returns"
        )
    low, high = (float(value) for value in aggregated.detach().aminmax())
    if not (low >= 0 and math.isfinite(high)):
        raise ParameterError(
            f"aggregated has values from {low:.3g} to {high:.3g}; expected maps that are not negative and "
            "sum to 1"
        )
    return shape[0], shape[1]


def _checked_thresholds(thresholds: float | Sequence[float]) -> list[float]:
    try:
        numbers: list[Any] = [thresholds] * PASSES if np.ndim(thresholds) == 0 else list(thresholds)  # type: ignore[arg-type]
        taus = [float(number) for number in numbers]
    except (TypeError, ValueError) as cause:
        raise ParameterError(
            f"thresholds are {thresholds!r}; expected numbers above 0, one per pass"
        ) from cause
    if not taus or not all(math.isfinite(tau) and tau > 0 for tau in taus):
        raise ParameterError(
            f"thresholds are {thresholds!r}; expected finite numbers above 0, one per pass, such as "
            f"[{PAPER_THRESHOLD}] * {PASSES}: distances in nats, below which two maps are one segment"
        )
    return taus
