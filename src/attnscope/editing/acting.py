"""An edit of some rows and heads, as a change of tiles of P."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from attnscope.probability.changed import P, Tile


class Spot(NamedTuple):
    """Where a piece of P is from.

    Attributes:
        row: Number of its row in the batch.
        heads: Numbers of its heads.
        queries: Numbers of its queries among all queries of the attention.
        places: The same among the queries that the edit is about.
        tile: The tile that it is from.
        of_tile: P of that tile, before this change.
    """

    row: int
    heads: tuple[int, ...]
    queries: slice
    places: slice
    tile: Tile
    of_tile: P

    def of_row(self, row: int) -> Float[Tensor, "head query key"]:
        """The same piece of another row.

        Args:
            row: Number of that row, which the change reads.
        """
        return _piece(self.of_tile, self.tile, row, self.heads, self.queries)


Function = Callable[[Float[Tensor, "head query key"], Spot], Float[Tensor, "head query key"]]
"""From P of one row, with all keys, to what is used in its place; it must not write into what it gets."""


@dataclass(frozen=True)
class Acting:
    """A function of P of one row, for some rows, heads and queries.

    Attributes:
        rows: Numbers of the rows.
        heads: Numbers of the heads.
        queries: Numbers of the queries.
        function: The function.
        reads: Numbers of other rows that it looks at.
        is_whole: Whether it needs all queries at once.
    """

    rows: Sequence[int]
    heads: tuple[int, ...]
    queries: range
    function: Function
    reads: Sequence[int] = field(default=())
    is_whole: bool = False

    def __call__(self, probability: P, tile: Tile) -> P:
        """P with some of it changed.

        Args:
            probability: P.
            tile: Which part of P it is.
        """
        start, stop = max(self.queries.start, tile.queries.start), min(self.queries.stop, tile.queries.stop)
        if start >= stop:
            return probability
        queries = slice(start, stop)
        places = slice(start - self.queries.start, stop - self.queries.start)
        changed = probability.clone()
        heads = [tile.heads.index(head) for head in self.heads]
        of_tile = slice(start - tile.queries.start, stop - tile.queries.start)
        for row in self.rows:
            piece = _piece(probability, tile, row, self.heads, queries)
            spot = Spot(row, self.heads, queries, places, tile, probability)
            changed[tile.rows.index(row), heads, of_tile] = self.function(piece, spot).to(changed.dtype)
        return changed


def _piece(
    p: P, tile: Tile, row: int, heads: tuple[int, ...], queries: slice
) -> Float[Tensor, "head query key"]:
    """P of some heads and queries of one row."""
    of_row = p[
        tile.rows.index(row), :, queries.start - tile.queries.start : queries.stop - tile.queries.start
    ]
    return of_row if heads == tile.heads else of_row[[tile.heads.index(head) for head in heads]]
