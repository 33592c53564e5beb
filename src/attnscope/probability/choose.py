"""The one entry to means of the attention probability: picks a path and says which."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.probability.reference import attention_probability
from attnscope.probability.tiled import reduce_tiled

AXES = ("head", "query")


class Path(NamedTuple):
    """Which code computes a reduction, and why."""

    name: Literal["reference", "tiled"]
    reason: str


def path_for(query: Tensor, key: Tensor, *, over: tuple[str, ...] = ()) -> Path:
    """The path that `reduce` takes for these tensors."""
    if query.device.type == "meta":
        return Path("reference", "meta tensors have shapes only")
    if not over:
        return Path("reference", "nothing is reduced: the result is P itself")
    return Path(
        "tiled", f"mean over {' and '.join(over)} on {query.device.type}: row tiles, P is not materialised"
    )


def reduce(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    *,
    scale: float,
    mask: Tensor | None = None,
    over: tuple[str, ...] = (),
    columns: Tensor | None = None,
) -> Float[Tensor, ...]:
    """P = softmax(Q K^T x scale + mask), averaged over the axes named in `over` ('head', 'query').

    columns: numbers of the keys to keep; the softmax is over all keys all the same.
    Returns what is left of (head, query, key), float32 (float64 for float64 input).
    Raises ParameterError for an axis that can't be averaged.
    """
    if unknown := set(over) - set(AXES):
        raise ParameterError(f"mean over {sorted(unknown)}: expected some of {list(AXES)}")
    path = reduce_tiled if path_for(query, key, over=over).name == "tiled" else _reduce_reference
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(query.device.type, enabled=False):
        return path(query, key, scale=scale, mask=mask, over=over, columns=columns)


def _reduce_reference(query, key, *, scale, mask, over, columns) -> Tensor:
    probability = attention_probability(query, key, scale=scale, mask=mask)
    kept = probability if columns is None else probability.index_select(-1, columns)
    dims = [AXES.index(axis) for axis in over]
    return kept.mean(dim=dims) if dims else kept
