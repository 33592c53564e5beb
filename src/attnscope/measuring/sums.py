"""What is summed over the rows of P, a few of them at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.records import Grid

TILE_NUMBERS = 1 << 21
"""So many numbers of P are in memory at a time, and a few copies of them: 8 MB each in float32."""
Tile = tuple[range, Float[Tensor, "head row key"]]
"""Flat numbers of some places, and their rows of P."""


@dataclass(frozen=True)
class RowSums:
    """Sums over all rows of P of one layer in one step, in float64.

    Attributes:
        rows: How many rows.
        entropy: Of each head, the entropies of its rows, in nats. A row that an edit left without the sum 1 is taken
            as shares of what it has.
        received: What each key gets.
        distance: Of each head, P times the distance from query to key, over the layer's own places; None without such.
        products: Of each two heads, their P multiplied number by number.
    """

    rows: int
    entropy: Float[Tensor, " head"]
    received: Float[Tensor, "head key"]
    distance: Float[Tensor, " head"] | None
    products: Float[Tensor, "head head"]


def row_sums(tiles: Iterable[Tile], grid: Grid, own: range | None) -> RowSums:
    """The sums over some tiles, at least one.

    Args:
        tiles: Rows of P, a few at a time.
        grid: Of the places whose rows they are.
        own: Numbers of the keys that are the same places; None if there are none.
    """
    sums = [_of_tile(places, p, grid, own) for places, p in tiles]
    total = sums[0]
    for more in sums[1:]:
        total = _added(total, more)
    return total


def _of_tile(places: range, p: Float[Tensor, "head row key"], grid: Grid, own: range | None) -> RowSums:
    flat = p.flatten(1)
    distance = None
    if own is not None:
        far = distances(places, grid).to(p)
        by_row = p[:, :, own.start : own.stop].transpose(0, 1) @ far[:, :, None]
        distance = by_row.sum(0)[:, 0].cpu().double()
    return RowSums(
        len(places),
        _entropies(p).sum(1, dtype=torch.float32 if p.device.type == "mps" else torch.float64).cpu().double(),
        p.sum(1).cpu().double(),
        distance,
        (flat @ flat.T).cpu().double(),
    )


def _entropies(p: Float[Tensor, "head row key"]) -> Float[Tensor, "head row"]:
    """Of each row, taken as shares of its sum; 0 for a row without any."""
    sums = p.sum(2)
    entropies = torch.special.entr(p).sum(2) / sums + sums.log()
    return torch.where(sums == 0, torch.zeros_like(sums), entropies)


def _added(one: RowSums, other: RowSums) -> RowSums:
    no_distance = one.distance is None or other.distance is None
    return RowSums(
        one.rows + other.rows,
        one.entropy + other.entropy,
        one.received + other.received,
        None if no_distance else one.distance + other.distance,  # type: ignore[operator]
        one.products + other.products,
    )


def distances(places: range, grid: Grid) -> Float[Tensor, "row place"]:
    """How far some places are from every place of their grid, as a share of its longer side.

    Args:
        places: Flat numbers.
        grid: Their grid.
    """
    every = torch.arange(grid.places)
    these = every[places.start : places.stop, None]
    rows, columns = (these // grid.width - every // grid.width), (these % grid.width - every % grid.width)
    return torch.hypot(rows.float(), columns.float()) / max(grid)


def even_distance(grid: Grid) -> float:
    """The mean distance between two places of a grid, as a share of its longer side: that of even attention.

    Args:
        grid: The grid.
    """
    rows, columns = (np.abs(np.subtract.outer(*[np.arange(side)] * 2)) for side in grid)
    tall, wide = np.bincount(rows.ravel()), np.bincount(columns.ravel())
    far = np.hypot(np.arange(grid.height)[:, None], np.arange(grid.width)) / max(grid)
    return float((far * np.outer(tall, wide)).sum() / grid.places**2)
