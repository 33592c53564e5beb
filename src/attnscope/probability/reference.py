"""The oracle: the attention probability written as in the paper, materialised."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def working_dtype(query: Tensor) -> torch.dtype:
    """The type to compute in: float64 stays, and everything else is float32, as upcast attention asks.

    Args:
        query: Q, of any floating-point type.
    """
    return torch.float64 if query.dtype == torch.float64 else torch.float32


def attention_probability(
    query: Float[Tensor, "*rows query dim"],
    key: Float[Tensor, "*rows key dim"],
    *,
    scale: float,
    mask: Float[Tensor, ...] | Bool[Tensor, ...] | None = None,
) -> Float[Tensor, "*rows query key"]:
    """The share of its attention that each query gives to each key.

    Args:
        query: Q, with any number of leading axes.
        key: K, with the same leading axes.
        scale: Factor before the softmax, 1/sqrt(dim) in Stable Diffusion.
        mask: Float (added to the scores) or bool (true where a key may be seen). Broadcasts to
            (..., query, key).

    Returns:
        Values in 0..1; rows sum to 1 over key. Float32 (float64 for float64 input), also for half-precision Q and K.

    Cost: rows x query x key numbers in memory. `reduce` gives sums over P without them.
    Source: Vaswani et al. 2017, section 3.2.1, equation 1.
    """
    dtype = working_dtype(query)
    rows = query.shape[:-2]
    flat_query, flat_key = query.to(dtype).flatten(0, -3), key.to(dtype).flatten(0, -3)
    unused = flat_query.new_empty(())  # beta=0: only its type counts
    scores = torch.baddbmm(unused, flat_query, flat_key.transpose(1, 2), beta=0, alpha=scale)
    return torch.softmax(add_mask(scores.unflatten(0, rows), mask), dim=-1)


def add_mask(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Scores with the mask applied, as torch's `scaled_dot_product_attention` defines it.

    Args:
        scores: (..., query, key), before the softmax.
        mask: Float (added) or bool (false hides a key). None: the scores as they are.
    """
    if mask is None:
        return scores
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, float("-inf"))
    return scores + mask.to(scores.dtype)
