"""A check at capture: on a sample of rows, is softmax(QK^T)V of what was seen what the layer computed?"""

from __future__ import annotations

import torch
from torch import Tensor

from attnscope.recording.attention import Attention

_SAMPLES = 4
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 6e-2}
"""Rounding of the result in each type, relative to the largest value; a wrong attention is off by far more."""


def is_as_seen(attention: Attention) -> bool:
    """Whether an attention's result fits its Q, K, V, mask and scale, on a few of its rows.

    Args:
        attention: One that has been computed.

    Cost: a few rows of scores, and on a GPU the wait for them.
    """
    result = attention.output if attention.output is not None else attention.probability
    if result is None or result.is_meta or result.dtype not in _TOLERANCE:
        return True
    with torch.no_grad():
        return all(_row_fits(attention, result, at) for at in _sampled(attention.query))


def _sampled(query: Tensor) -> list[tuple[int, ...]]:
    """Positions (row, head, query) or (row x head, query), spread over each axis."""
    *leading, queries, _ = query.shape
    count = min(_SAMPLES, max(*leading, queries))
    spread = [(number * 7 + 3, number * 5 + 1, number * 13 + 2) for number in range(count)]
    return [
        tuple(n % size for n, size in zip(numbers, (*leading, queries), strict=False)) for numbers in spread
    ]


def _row_fits(attention: Attention, result: Tensor, at: tuple[int, ...]) -> bool:
    *leading, place = at
    keys = attention.key[tuple(leading)].float()
    scores = keys @ attention.query[at].float() * attention.scale
    if attention.mask is not None:
        scores = _masked(scores, attention.mask, tuple(leading), place)
    expected, size = scores.softmax(-1), 1.0
    if attention.output is not None:
        assert attention.value is not None  # scaled_dot_product_attention got it
        value = attention.value[tuple(leading)].detach().float()
        expected, size = expected @ value, max(1.0, float(value.abs().amax()))
    actual = result[at].detach().float()
    if not (actual.isfinite().all() and expected.isfinite().all()):
        return True  # a run that overflows is another matter
    return bool((actual - expected).abs().amax() <= _TOLERANCE[result.dtype] * size)


def _masked(scores: Tensor, mask: Tensor, leading: tuple[int, ...], place: int) -> Tensor:
    of_row = mask.detach()
    wanted = (*leading, place)
    of_row = of_row.reshape([1] * (len(wanted) + 1 - of_row.ndim) + list(of_row.shape))
    of_row = of_row[tuple(n if size > 1 else 0 for n, size in zip(wanted, of_row.shape, strict=False))]
    return (
        scores.masked_fill(~of_row, float("-inf")) if of_row.dtype == torch.bool else scores + of_row.float()
    )
