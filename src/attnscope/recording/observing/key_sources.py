"""Where the keys of a self-attention are from: its own places, other rows, or another picture before or after them."""

from __future__ import annotations

import torch
from torch import Tensor

from attnscope.records.qkv import Record

PLACES_CHECKED = 4
"""Of a layer's first places, how many are compared."""
_ATOL = {torch.float16: 1e-2, torch.bfloat16: 6e-2}
"""Rounding of a key in each type, relative to the largest; 1e-4 for the others."""


def are_of_other_rows(record: Record, made: Tensor | None) -> bool:
    """Whether rows have the keys of other rows, as when all frames look at the first or at the one before.

    Args:
        record: A self-attention with as many keys as places.
        made: What `to_k` makes at the first places, None if it is not known.
    """
    key = record.key[:, :, :PLACES_CHECKED]
    if key.is_meta:
        return False
    if made is None:
        return _is_shared(record)
    found = _same_rows(key, made)
    is_known = all(any(owners) for owners in found)  # not where a processor changes keys, as norms do
    return not all(owners[row] for row, owners in enumerate(found)) if is_known else _is_shared(record)


def _is_shared(record: Record) -> bool:
    """Whether rows with queries of their own all have the keys of one row."""
    query, key = record.query[:, :, :PLACES_CHECKED], record.key[:, :, :PLACES_CHECKED]
    shared = [
        _equal_rows(key[:row], key[row]) & ~_equal_rows(query[:row], query[row]) for row in range(1, len(key))
    ]
    return bool(shared) and bool(torch.cat(shared).any())


def _equal_rows(rows: Tensor, row: Tensor) -> Tensor:
    return (rows == row).flatten(1).all(1)


def own_keys(record: Record, made: Tensor | None, places: int) -> int | None:
    """Where a layer's own keys begin among all of them; None if that can't be told.

    Args:
        record: A self-attention with more keys than places.
        made: What `to_k` makes at the first places, None if it is not known.
        places: How many places the layer has.
    """
    if made is None:
        return None
    starts = sorted({0, record.key.shape[2] - places})
    return next(
        (start for start in starts if _is_same(record.key[:, :, start : start + made.shape[2]], made)), None
    )


def _same_rows(key: Tensor, made: Tensor) -> list[list[bool]]:
    """For each row's keys, which rows' they are, but for rounding. Read at once: a GPU is waited for."""
    sizes = _largest(made.flatten(1))
    gaps = [_largest((made - used).flatten(1)) for used in key]
    of_made, *of_keys = torch.stack([sizes, *gaps]).tolist()
    return [
        [_is_rounding(gap, size, key.dtype) for gap, size in zip(row, of_made, strict=True)]
        for row in of_keys
    ]


def _is_same(used: Tensor, made: Tensor) -> bool:
    """Whether keys that were used are those that were made, but for rounding."""
    if used.shape != made.shape:
        return False
    size, gap = torch.cat([_largest(numbers.reshape(1, -1)) for numbers in (made, used - made)]).tolist()
    return _is_rounding(gap, size, used.dtype)


def _largest(rows: Tensor) -> Tensor:
    return rows.abs().amax(1)


def _is_rounding(gap: float, size: float, dtype: torch.dtype) -> bool:
    return gap <= _ATOL.get(dtype, 1e-4) * max(1.0, size)
