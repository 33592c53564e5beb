"""The probability that follows from a record, for the parts that are picked, and sums over several records."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor

from attnscope.probability import reduce
from attnscope.probability.reference import working_dtype
from attnscope.records.qkv import Record
from attnscope.trace.selection import Pick


def row_probability(
    record: Record,
    row: int,
    heads: Pick,
    queries: Pick,
    keys: Pick,
    averaged: tuple[str, ...],
    share: float,
    into: Tensor | None,
) -> Tensor:
    """P of one batch row, restricted to the picks; the axes (head, query, key) less those averaged.

    With `into` it is added there, times share.
    """
    query, key = _take(record.query[row], 0, heads), _take(record.key[row], 0, heads)
    query = _take(query, 1, queries)
    mask = None if record.mask is None else _mask_of_row(record.mask, row, heads, queries)
    everything = keys.positions == list(range(record.key.shape[2]))
    columns = None if everything else torch.tensor(keys.positions, device=key.device)
    over = tuple(axis for axis in ("head", "query") if axis in averaged)
    if not over:
        left = reduce(query, key, scale=record.scale, mask=mask, columns=columns)
        return left if into is None else into.add_(left, alpha=share)
    length = query.shape[("head", "query").index(over[0])]
    weights: dict[str, Tensor] = {over[0]: torch.full([length], share / length, dtype=torch.float64)}
    how: dict[str, Any] = {"scale": record.scale, "mask": mask, "columns": columns, "over": over}
    return reduce(query, key, weights=weights, into=into, **how)


def _take(tensor: Tensor, axis: int, pick: Pick) -> Tensor:
    if pick.positions == list(range(tensor.shape[axis])):
        return tensor
    return tensor.index_select(axis, torch.tensor(pick.positions, device=tensor.device))


def _mask_of_row(mask: Tensor, row: int, heads: Pick, queries: Pick) -> Tensor:
    of_row = mask[row if mask.shape[0] > 1 else 0]
    if of_row.shape[0] > 1:
        of_row = _take(of_row, 0, heads)
    return _take(of_row, 1, queries) if of_row.shape[1] > 1 else of_row


def summed_in_place(
    outer: dict[str, Pick],
    kept: dict[str, Pick],
    like: Callable[[], Tensor],
    add: Callable[[tuple[int, ...], float, Tensor | None], Tensor],
) -> Tensor:
    """add(positions on the outer axes, share, into) for all of them: one result, into which each adds its part.

    Nothing of the result's size is held twice; positions on an averaged axis get their share of 1.
    """
    places = list(product(*(enumerate(pick.positions) for pick in outer.values())))
    outer_kept = [axis for axis in outer if axis in kept]
    if len(places) == 1:
        return add(tuple(position for _, position in places[0]), 1.0, None)[(None,) * len(outer_kept)]
    first = like()
    sizes = {axis: len(pick.positions) for axis, pick in kept.items()}
    result = torch.zeros(list(sizes.values()), dtype=working_dtype(first), device=first.device)
    share = prod(sizes[axis] for axis in outer_kept) / len(places)
    for place in places:
        index = tuple(at for axis, (at, _) in zip(outer, place, strict=True) if axis in kept)
        add(tuple(position for _, position in place), share, result[index])
    return result
