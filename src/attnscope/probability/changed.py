"""Attention whose probability is changed before it is multiplied with V, in tiles of queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.probability.inputs import working_dtype
from attnscope.probability.reference import materialised

NUMBERS_AT_ONCE = 1 << 22
"""Of P in one tile: 16 MB."""

P = Float[Tensor, "row head query key"]


class Tile(NamedTuple):
    """Which part of an attention's P is at hand.

    Attributes:
        rows: Numbers of its rows in the batch.
        heads: Numbers of its heads.
        queries: Its queries.
    """

    rows: tuple[int, ...]
    heads: tuple[int, ...]
    queries: range


class Change(Protocol):
    """What becomes of P in some rows and heads."""

    @property
    def rows(self) -> Sequence[int]:
        """Numbers of the rows that it changes."""
        ...

    @property
    def reads(self) -> Sequence[int]:
        """Numbers of other rows that it looks at."""
        ...

    @property
    def heads(self) -> Sequence[int]:
        """Numbers of the heads that it changes."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether it needs all queries at once."""
        ...

    def __call__(self, probability: P, tile: Tile) -> P:
        """The probability that is used in its place, a new tensor or the one that came.

        Args:
            probability: P, which it must not write into.
            tile: Which part of P it is.
        """
        ...


class Scored(Protocol):
    """What P is computed from, as a tap sees it. Leading axes are (row, head), or one for both."""

    query: Tensor
    key: Tensor
    value: Tensor | None
    mask: Tensor | None
    scale: float
    wants_after: bool
    after: Tensor | None


def changed_attention(of: Scored, changes: Sequence[Change], unchanged: Callable[[], Tensor]) -> Tensor:
    """softmax(Q K^T x scale + mask) V with changes to the softmax.

    Args:
        of: The attention, its tensors (row, head, place, dim). Its `after` is set where that is wanted.
        changes: What becomes of P, in order.
        unchanged: Computes the attention without changes. Rows and heads that keep their P have their numbers from it.

    Cost: P of the rows and heads that are changed or read, a tile of it at a time, and the product with V of those
    that are changed.
    """
    assert of.value is not None
    part = _part(changes, *of.query.shape[:2], all_of_it=of.wants_after)
    query, key = part.of(of.query), part.of(of.key)
    mask = None if of.mask is None else part.of(_in_four_axes(of.mask))
    value = part.of(of.value).to(working_dtype(query))[part.changed]
    after, products = [], []
    for queries in part.tiles(query.shape[2], key.shape[2]):
        tile = slice(queries.start, queries.stop)
        of_tile = mask[:, :, tile] if mask is not None and mask.shape[2] > 1 else mask
        p = materialised(query[:, :, tile], key, scale=of.scale, mask=of_tile)
        for change in changes:
            p = change(p, Tile(part.rows, part.heads, queries))
        if of.wants_after:
            after.append(p)
        products.append((p[part.changed] @ value).to(of.value.dtype))
    of.after = torch.cat(after, 2) if after else None
    if part.is_everything:
        return torch.cat(products, 2)
    result = unchanged().clone()
    result[_grid(part.changed_rows, part.changed_heads)] = torch.cat(products, 2)
    return result


def changed_probability(
    of: Scored, probability: Float[Tensor, "rows_and_heads query key"], changes: Sequence[Change], heads: int
) -> Tensor:
    """A P that was computed already, changed.

    Args:
        of: The attention. Its `after` is set where that is wanted.
        probability: P of all rows, the heads of a row one after the other.
        changes: What becomes of P, in order.
        heads: How many heads a row has.
    """
    p = probability.unflatten(0, (-1, heads))
    rows, queries = p.shape[0], range(p.shape[2])
    for change in changes:
        p = change(p, Tile(tuple(range(rows)), tuple(range(heads)), queries))
    if of.wants_after:
        of.after = p
    return p.flatten(0, 1).to(probability.dtype)


@dataclass(frozen=True)
class _Part:
    """The rows and heads whose P is computed, and those of them that are changed.

    Attributes:
        rows: Numbers of the rows that are computed.
        heads: Numbers of the heads that are computed.
        changed_rows: Those of them that are changed.
        changed_heads: Those of them that are changed.
        is_whole: Whether all queries are needed at once.
        is_everything: Whether nothing keeps its P.
    """

    rows: tuple[int, ...]
    heads: tuple[int, ...]
    changed_rows: tuple[int, ...]
    changed_heads: tuple[int, ...]
    is_whole: bool
    is_everything: bool

    @property
    def changed(self) -> tuple[Tensor, Tensor]:
        """Where rows and heads that are changed stand among those that are computed."""
        rows = [self.rows.index(row) for row in self.changed_rows]
        return _grid(rows, [self.heads.index(head) for head in self.changed_heads])

    def of(self, tensor: Tensor) -> Tensor:
        """The rows and heads that are computed.

        Args:
            tensor: (row, head, ...), where an axis of length 1 stands for all.
        """
        for axis, numbers in enumerate((self.rows, self.heads)):
            if 1 < tensor.shape[axis] != len(numbers):
                tensor = tensor.index_select(axis, torch.tensor(numbers, device=tensor.device))
        return tensor

    def tiles(self, queries: int, keys: int) -> Iterator[range]:
        """All queries, as many at a time as have `NUMBERS_AT_ONCE`.

        Args:
            queries: How many there are.
            keys: How many keys each has.
        """
        at_once = NUMBERS_AT_ONCE // (len(self.rows) * len(self.heads) * keys)
        height = queries if self.is_whole else max(1, at_once)
        return (range(first, min(first + height, queries)) for first in range(0, queries, height))


def _part(changes: Sequence[Change], rows: int, heads: int, *, all_of_it: bool) -> _Part:
    changed_rows = tuple(sorted(set(chain.from_iterable(change.rows for change in changes))))
    changed_heads = tuple(sorted(set(chain.from_iterable(change.heads for change in changes))))
    read = {*changed_rows, *chain.from_iterable(change.reads for change in changes)}
    return _Part(
        tuple(range(rows) if all_of_it else sorted(read)),
        tuple(range(heads)) if all_of_it else changed_heads,
        changed_rows,
        changed_heads,
        any(change.is_whole for change in changes),
        (len(changed_rows), len(changed_heads)) == (rows, heads),
    )


def _in_four_axes(mask: Tensor) -> Tensor:
    return mask.reshape([1] * (4 - mask.ndim) + list(mask.shape))


def _grid(rows: Sequence[int], heads: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Indices of some heads of some rows."""
    return torch.tensor(rows)[:, None], torch.tensor(heads)
