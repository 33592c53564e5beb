"""What to compute from P: which axes are summed, with which weights, and which keys count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
        columns: Numbers of the keys that count, a slice where they are neighbours. None: all.
        shape: Shape of the result: what is left of (head, query, key).
        kept_shape: The same with 1 for each axis that is summed.
    """

    head: Float[Tensor, head] | None
    query: Float[Tensor, query] | None
    key: Float[Tensor, column] | None
    columns: Int[Tensor, column] | slice | None
    shape: tuple[int, ...]
    kept_shape: tuple[int, int, int]

    def of_heads(self, heads: slice) -> Contraction:
        """The same sum over some heads.

        Args:
            heads: Which of them.
        """
        if self.head is not None:
            return replace(self, head=self.head[heads])
        count = len(range(*heads.indices(self.kept_shape[0])))
        return replace(self, shape=(count, *self.shape[1:]), kept_shape=(count, *self.kept_shape[1:]))


def contraction(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    over: Sequence[str],
    weights: Mapping[str, Tensor] | None,
    columns: Tensor | range | None,
    dtype: torch.dtype,
    verdicts: Verdicts | None = None,
) -> Contraction:
    """The sum over some axes of P, checked against Q and K, which `check_inputs` has seen.

    Args:
        query: Q, which gives the lengths of head and query.
        key: K, which gives the length of key.
        over: The axes to sum: some of 'head', 'query' and 'key'.
        weights: Numbers for axes in `over`, on any device. Default: 1/n for each of n, which is a mean.
        columns: Numbers of the keys that count, on any device, or a range of them. Default: all.
        dtype: Type of the weights in the result.
        verdicts: Takes what is to be judged of a GPU's numbers. Without it, they are waited for here.

    Raises:
        ParameterError: An unknown axis; weights that do not fit or belong to an axis that is kept; columns that are
            no keys.
    """
    if unknown := [axis for axis in over if axis not in AXES]:
        raise ParameterError(f"over {unknown}: expected some of {list(AXES)}")
    looked = Verdicts() if verdicts is None else verdicts
    counted, count = _counted(columns, key.shape[1], query.device, looked)
    numbers = dict(weights or {})
    if idle := sorted(set(numbers) - set(over)):
        raise ParameterError(
            f"weights for {idle}, which the sum over {list(over)} keeps: name it in over, too"
        )
    lengths = {
        "head": query.shape[0],
        "query": query.shape[1],
        "key": count,
    }
    factors = {
        axis: _weight(axis, numbers.get(axis), lengths[axis], query.device, dtype, looked) for axis in over
    }
    if verdicts is None:
        looked.read()
    shape = tuple(length for axis, length in lengths.items() if axis not in factors)
    head, queries, keys = (1 if axis in factors else length for axis, length in lengths.items())
    return Contraction(
        factors.get("head"), factors.get("query"), factors.get("key"), counted, shape, (head, queries, keys)
    )


def _counted(
    columns: Tensor | range | None, keys: int, device: torch.device, verdicts: Verdicts
) -> tuple[Tensor | slice | None, int]:
    """The keys that count, as a slice where they are neighbours, and how many they are."""
    if columns is None or (isinstance(columns, range) and columns == range(keys)):
        return None, keys
    if isinstance(columns, range) and (columns.step != 1 or not columns):
        columns = torch.tensor(columns, dtype=torch.int64)
    if isinstance(columns, range):
        if not 0 <= columns.start < columns.stop <= keys:
            raise ParameterError(f"columns are {columns}: expected numbers from 0 to {keys - 1}")
        return slice(columns.start, columns.stop), len(columns)
    if columns.ndim != 1 or columns.dtype not in (torch.int64, torch.int32):
        raise ParameterError(
            f"columns are {columns.dtype} of shape {tuple(columns.shape)}: expected a list of key numbers"
        )
    if not columns.is_meta:
        columns = columns if is_read_at_once(columns) else columns.to(device)
        _look_at_columns(columns, keys, verdicts)
        columns = moved(columns, device)
    return columns, len(columns)


def _look_at_columns(columns: Tensor, keys: int, verdicts: Verdicts) -> None:
    def judge(are_outside: float) -> None:
        if are_outside:
            raise ParameterError(f"columns are {columns.tolist()}: expected numbers from 0 to {keys - 1}")

    verdicts.add([((columns < 0) | (columns >= keys)).any().float()], judge)


def taken(tensor: Tensor, axis: int, columns: Tensor | slice | None) -> Tensor:
    """The places of an axis that count: a view, where they are neighbours.

    Args:
        tensor: What has such an axis.
        axis: Its number.
        columns: From a `Contraction`.
    """
    if isinstance(columns, slice):
        return tensor.narrow(axis, columns.start, columns.stop - columns.start)
    return tensor if columns is None else tensor.index_select(axis, columns)


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
