"""What to compute from P: which axes are summed, with which weights, and which keys count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.probability.verdicts import Verdicts, is_read_at_once, moved

AXES = ("head", "query", "key")


@dataclass(frozen=True)
class Contraction:
    """A weighted sum over P: result[...] = sum of weight x P over the axes that have a weight.

    Attributes:
        head: Weights of the heads, None to keep the axis.
        query: Weights of the queries, None to keep the axis.
        key: Weights of the keys that count, None to keep the axis.
        columns: Numbers of the keys that count, None for all.
        shape: Shape of the result: what is left of (head, query, key).
        kept_shape: The same with 1 for each axis that is summed.
    """

    head: Float[Tensor, head] | None
    query: Float[Tensor, query] | None
    key: Float[Tensor, column] | None
    columns: Int[Tensor, column] | None
    shape: tuple[int, ...]
    kept_shape: tuple[int, int, int]


def contraction(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    over: Sequence[str],
    weights: Mapping[str, Tensor] | None,
    columns: Tensor | None,
    dtype: torch.dtype,
    verdicts: Verdicts | None = None,
) -> Contraction:
    """The sum over some axes of P, checked against Q and K, which `check_inputs` has seen.

    Args:
        query: Q, which gives the lengths of head and query.
        key: K, which gives the length of key.
        over: The axes to sum: some of 'head', 'query' and 'key'.
        weights: Numbers for axes in `over`, on any device. Default: 1/n for each of n, which is a mean.
        columns: Numbers of the keys that count, on any device. Default: all.
        dtype: Type of the weights in the result.
        verdicts: Takes what is to be judged of a GPU's numbers. Without it, they are waited for here.

    Raises:
        ParameterError: An unknown axis; weights that do not fit or belong to an axis that is kept; columns that are
            no keys.
    """
    if unknown := [axis for axis in over if axis not in AXES]:
        raise ParameterError(f"over {unknown}: expected some of {list(AXES)}")
    if columns is not None and (columns.ndim != 1 or columns.dtype not in (torch.int64, torch.int32)):
        raise ParameterError(
            f"columns are {columns.dtype} of shape {tuple(columns.shape)}: expected a list of key numbers"
        )
    looked = Verdicts() if verdicts is None else verdicts
    if columns is not None and not columns.is_meta:
        columns = columns if is_read_at_once(columns) else columns.to(query.device)
        _look_at_columns(columns, key.shape[1], looked)
        columns = moved(columns, query.device)
    numbers = dict(weights or {})
    if idle := sorted(set(numbers) - set(over)):
        raise ParameterError(
            f"weights for {idle}, which the sum over {list(over)} keeps: name it in over, too"
        )
    lengths = {
        "head": query.shape[0],
        "query": query.shape[1],
        "key": key.shape[1] if columns is None else len(columns),
    }
    factors = {
        axis: _weight(axis, numbers.get(axis), lengths[axis], query.device, dtype, looked) for axis in over
    }
    if verdicts is None:
        looked.read()
    shape = tuple(length for axis, length in lengths.items() if axis not in factors)
    head, queries, keys = (1 if axis in factors else length for axis, length in lengths.items())
    return Contraction(
        factors.get("head"), factors.get("query"), factors.get("key"), columns, shape, (head, queries, keys)
    )


def _look_at_columns(columns: Tensor, keys: int, verdicts: Verdicts) -> None:
    def judge(are_outside: float) -> None:
        if are_outside:
            raise ParameterError(f"columns are {columns.tolist()}: expected numbers from 0 to {keys - 1}")

    verdicts.add([((columns < 0) | (columns >= keys)).any().float()], judge)


def _weight(
    axis: str,
    numbers: Tensor | None,
    length: int,
    device: torch.device,
    dtype: torch.dtype,
    verdicts: Verdicts,
) -> Tensor:
    if numbers is None:
        if not length:
            raise ParameterError(f"over {axis}: there is none, so there is no mean")
        return torch.full([length], 1 / length, device=device, dtype=dtype)
    weight = torch.as_tensor(numbers, dtype=dtype)
    weight = weight if is_read_at_once(weight) else weight.to(device)
    if not weight.is_meta and weight.numel():
        verdicts.add([torch.linalg.vector_norm(weight)], lambda size: _judge_weight(axis, weight, size))
    if weight.shape != (length,):
        raise ParameterError(f"weights of {axis} have shape {tuple(weight.shape)}: expected ({length},)")
    return moved(weight, device)


def _judge_weight(axis: str, weight: Tensor, size: float) -> None:
    if not math.isfinite(size) and not weight.isfinite().all():
        raise ParameterError(f"weights of {axis} hold NaN or infinite numbers: expected finite ones")
