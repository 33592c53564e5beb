"""The oracle: the attention probability written as in the paper, materialised."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def working_dtype(query: Tensor) -> torch.dtype:
    """float64 stays; everything else is computed in float32, as upcast attention asks."""
    return torch.float64 if query.dtype == torch.float64 else torch.float32


def attention_probability(
    query: Float[Tensor, "*rows query dim"],
    key: Float[Tensor, "*rows key dim"],
    *,
    scale: float,
    mask: Float[Tensor, ...] | Bool[Tensor, ...] | None = None,
) -> Float[Tensor, "*rows query key"]:
    """Share of attention that each query gives to each key; rows over keys sum to 1.

    scale: 1/sqrt(dim) in Stable Diffusion. mask: added to the scores (float), or true where a key
    may be seen (bool); broadcast to (*rows, query, key).
    Returns float32 (float64 for float64 input), whatever half-precision type Q and K have.
    Cost: rows x query x key numbers in memory; `reduce` gives sums of it without.
    Source: Vaswani et al. 2017, section 3.2.1, equation 1.
    """
    dtype = working_dtype(query)
    rows = query.shape[:-2]
    flat_query, flat_key = query.to(dtype).flatten(0, -3), key.to(dtype).flatten(0, -3)
    unused = flat_query.new_empty(())  # beta=0: only its type counts
    scores = torch.baddbmm(unused, flat_query, flat_key.transpose(1, 2), beta=0, alpha=scale)
    return torch.softmax(add_mask(scores.unflatten(0, rows), mask), dim=-1)


def add_mask(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Scores with the mask applied, as scaled_dot_product_attention defines it."""
    if mask is None:
        return scores
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, float("-inf"))
    return scores + mask.to(scores.dtype)
