"""The entries to sums over the attention probability: they pick a path and say which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.probability.contraction import Contraction, check_inputs, contraction
from attnscope.probability.reference import attention_probability, working_dtype
from attnscope.probability.tile_loops import why_not_compiled
from attnscope.probability.tiled import entropy_tiled, reduce_tiled
from attnscope.probability.triton_support import is_interpreted, why_not_triton


class Path(NamedTuple):
    """Which code computes a reduction, and why."""

    name: Literal["reference", "tiled", "triton"]
    reason: str


def path_for(query: Tensor, key: Tensor, *, over: Sequence[str] = ()) -> Path:
    """The path that `reduce` takes for these tensors."""
    if query.device.type == "meta":
        return Path("reference", "meta tensors have shapes only")
    if not over:
        return Path("reference", "nothing is summed: the result is P itself")
    what = f"sum over {' and '.join(over)} on {query.device.type}, P is not materialised"
    if obstacle := why_not_triton(query, key):
        uncompiled = f"; run by Python, since {cause}" if (cause := why_not_compiled()) else ""
        return Path("tiled", f"{what}: row tiles, since {obstacle}{uncompiled}")
    return Path("triton", f"{what}: Triton kernels{', interpreted' if is_interpreted() else ''}")


def reduce(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    *,
    scale: float,
    mask: Tensor | None = None,
    over: Sequence[str] = (),
    weights: Mapping[str, Tensor] | None = None,
    columns: Tensor | None = None,
    into: Tensor | None = None,
) -> Float[Tensor, ...]:
    """P = softmax(Q K^T x scale + mask), averaged over the axes named in `over` ('head', 'query', 'key').

    mask: broadcasts to (head, query, key), float (added to the scores) or bool (true: visible).
    weights: {axis: numbers}, one for each place of an axis in `over`, make its mean a weighted sum: a region of
    queries, some heads. columns: numbers of the keys to keep; the softmax is over all keys all the same. Mask, weights
    and columns may be on any device.
    into: a result of an earlier call, which this one is added to and returned: sums over layers and steps
    without a second copy.
    Returns what is left of (head, query, key), float32 (float64 for float64 input).
    Raises ParameterError for an axis that can't be summed, for weights, columns or an `into` that do not fit, and for
    Q and K without a head or a key.
    Cost: one product of Q and K and one exponential for each of (head, query, key); memory of the result and
    of one tile a thread. Without `over` the result is P itself.
    """
    dtype = working_dtype(query)
    autocast_device = "cpu" if query.is_meta else query.device.type  # autocast knows no meta tensors
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(autocast_device, enabled=False):
        asked = contraction(query, key, over, weights, columns, dtype)
        expected = (dtype, asked.shape, query.device)
        if into is not None and (into.dtype, into.shape, into.device) != expected:
            raise ParameterError(
                f"into is {into.dtype} of shape {tuple(into.shape)} on {into.device}: expected {dtype} of "
                f"{asked.shape} on {query.device}"
            )
        mask = mask if mask is None else mask.to(query.device)
        path = _REDUCTIONS[path_for(query, key, over=over).name]
        return path(query, key, asked, scale=scale, mask=mask, into=into)


def entropy(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    *,
    scale: float,
    mask: Tensor | None = None,
) -> Float[Tensor, "head query"]:
    """How spread each query's attention is: -sum P log P over the keys, in nats.

    0 where all attention is on one key, log(keys) where it is even. mask: as for `reduce`.
    Returns float32 (float64 for float64 input). Cost: as `reduce`; never more than one tile a thread.
    """
    check_inputs(query, key)
    if query.is_meta:
        return query.new_empty(query.shape[:2], dtype=working_dtype(query))
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(query.device.type, enabled=False):
        mask = mask if mask is None else mask.to(query.device)
        path = _entropy_triton if path_for(query, key, over=("key",)).name == "triton" else entropy_tiled
        return path(query, key, scale=scale, mask=mask)


def _reduce_reference(
    query: Tensor, key: Tensor, asked: Contraction, *, scale: float, mask: Tensor | None, into: Tensor | None
) -> Tensor:
    """The contraction written out over a materialised P."""
    left = attention_probability(query, key, scale=scale, mask=mask)
    left = left if asked.columns is None else left.index_select(-1, asked.columns)
    for axis, weight in ((2, asked.key), (1, asked.query), (0, asked.head)):
        if weight is not None:
            left = torch.tensordot(left, weight, dims=([axis], [0]))
    return left if into is None else into.add_(left)


def _reduce_triton(*given: Any, **how: Any) -> Tensor:
    from attnscope.probability.triton_sums import reduce_triton  # imports triton, which may be missing

    return reduce_triton(*given, **how)


def _entropy_triton(*given: Any, **how: Any) -> Tensor:
    from attnscope.probability.triton_sums import entropy_triton

    return entropy_triton(*given, **how)


_REDUCTIONS = {"reference": _reduce_reference, "tiled": reduce_tiled, "triton": _reduce_triton}
