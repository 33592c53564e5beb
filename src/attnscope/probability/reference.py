"""The oracle: the attention probability written as in the paper, materialised."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnscope.probability.inputs import check_inputs, working_dtype


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
        Values in 0..1; rows sum to 1 over key, or are zeros where no key is visible. Float32 (float64 for float64
        input), also for half-precision Q and K.

    Raises:
        ParameterError: Shapes or types do not fit.
        NumbersError: Q or K holds NaN or infinite numbers, the mask NaN or +inf, or products would overflow.

    Cost: rows x query x key numbers in memory. `reduce` gives sums over P without them.
    Source: Vaswani et al. 2017, section 3.2.1, equation 1.
    """
    check_inputs(query, key, mask, scale=scale)
    return materialised(query, key, scale=scale, mask=mask)


def materialised(query: Tensor, key: Tensor, *, scale: float, mask: Tensor | None) -> Tensor:
    """`attention_probability` of inputs that were checked.

    Args:
        query: Q.
        key: K.
        scale: Factor before the softmax.
        mask: Float or bool.
    """
    dtype = working_dtype(query)
    rows = query.shape[:-2]
    flat_query, flat_key = query.to(dtype).flatten(0, -3), key.to(dtype).flatten(0, -3)
    unused = flat_query.new_empty(())  # beta=0: only its type counts
    scores = torch.baddbmm(unused, flat_query, flat_key.transpose(1, 2), beta=0, alpha=scale)
    masked = add_mask(scores.unflatten(0, rows), mask)
    probs = torch.softmax(masked, dim=-1)
    if mask is None:
        return probs
    unseeing = masked.amax(-1, keepdim=True) == -torch.inf
    return probs.masked_fill(unseeing, 0) if probs.requires_grad else probs.masked_fill_(unseeing, 0)


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
