"""What is asked of P: which of its axes are summed, with which weights, and which keys count at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attnscope.errors import ParameterError

AXES = ("head", "query", "key")


@dataclass(frozen=True)
class Contraction:
    """One weighted sum over P: result[...] = sum of weight x P over the axes that have a weight.

    An axis without a weight is kept. columns: numbers of the keys that count, None for all; the key
    weights are theirs.
    """

    head: Float[Tensor, head] | None
    query: Float[Tensor, query] | None
    key: Float[Tensor, column] | None
    columns: Int[Tensor, column] | None
    shape: tuple[int, ...]
    """Of the result: what is left of (head, query, key)."""
    kept_shape: tuple[int, int, int]
    """The same with 1 for an axis that is summed."""


def contraction(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    over: Sequence[str],
    weights: Mapping[str, Tensor] | None,
    columns: Tensor | None,
    dtype: torch.dtype,
) -> Contraction:
    """The sum over the axes in `over`, 1/n for each of n where no weights are given: a mean.

    Raises ParameterError for an unknown axis, and for weights that belong to no summed axis or do not fit.
    """
    if unknown := [axis for axis in over if axis not in AXES]:
        raise ParameterError(f"over {unknown}: expected some of {list(AXES)}")
    given = dict(weights or {})
    if idle := sorted(set(given) - set(over)):
        raise ParameterError(
            f"weights for {idle}, which the sum over {list(over)} keeps: name it in over, too"
        )
    lengths = {
        "head": query.shape[0],
        "query": query.shape[1],
        "key": key.shape[1] if columns is None else len(columns),
    }
    factors = {axis: _weight(axis, given.get(axis), lengths[axis], query.device, dtype) for axis in over}
    shape = tuple(length for axis, length in lengths.items() if axis not in factors)
    head, queries, keys = (1 if axis in factors else length for axis, length in lengths.items())
    return Contraction(
        factors.get("head"), factors.get("query"), factors.get("key"), columns, shape, (head, queries, keys)
    )


def _weight(axis: str, given: Tensor | None, length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    if given is None:
        return torch.full([length], 1 / length, device=device, dtype=dtype)
    weight = torch.as_tensor(given, device=device, dtype=dtype)
    if weight.shape != (length,):
        raise ParameterError(f"weights of {axis} have shape {tuple(weight.shape)}: expected ({length},)")
    return weight
