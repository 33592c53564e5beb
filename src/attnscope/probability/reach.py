"""How far scores can reach, from the lengths of queries and keys, before any is computed."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def lengths(tensor: Float[Tensor, "head place dim"], dtype: torch.dtype) -> Float[Tensor, "head place"]:
    """The length of each vector. In another type head by head, so that no more than one head is held in it.

    Args:
        tensor: Q or K.
        dtype: The type to compute in.
    """
    if tensor.dtype == dtype:
        return torch.linalg.vector_norm(tensor, dim=2)
    return torch.stack([torch.linalg.vector_norm(of_head.to(dtype), dim=1) for of_head in tensor])


def far_from_0(
    query: Float[Tensor, "head query"], key: Float[Tensor, "head key"], scale: float
) -> Bool[Tensor, "head query"]:
    """Whether a row's scores may be too far from 0 for an exponential in this type.

    That is why a softmax subtracts each row's largest score; for all other rows this only takes time. No score is
    further from 0 than the query's length times the longest key's. A fifth of the exponents is left for sums and for
    the weight of a head near 1; other weights are applied to P. True for NaN.

    Args:
        query: Lengths of the queries.
        key: Lengths of the keys.
        scale: Factor before the softmax.
    """
    reach = query * key.amax(1, keepdim=True) * abs(scale)
    return ~(reach < 0.8 * math.log(torch.finfo(query.dtype).max))


def is_tame(query: Float[Tensor, "head query"], key: Float[Tensor, "head key"], scale: float) -> bool:
    """Whether queries may be scaled before they are multiplied, without leaving float32 on either side.

    Args:
        query: Lengths of the queries.
        key: Lengths of the keys.
        scale: Factor before the softmax.
    """
    if not query.numel() or not 1e-6 < abs(scale) < 1e6:
        return False
    return max(float(query.max()), float(key.max())) < 1e12
