"""A check at capture: on a sample of rows, is softmax(QK^T)V of what was seen what the layer computed?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.probability.verdicts import Verdicts
from attnscope.recording.tapping.attention import Attention

_SAMPLES = 4
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 6e-2}
"""Rounding of the result in each type, relative to the largest value; a wrong attention is off by far more."""


def check_sample(attention: Attention, verdicts: Verdicts, refuse: Callable[[], None]) -> None:
    """Have it judged whether an attention's result fits its Q, K, V, mask and scale, on a few of its rows.

    Args:
        attention: One that has been computed.
        verdicts: Takes how far the result is off.
        refuse: Called where it does not fit.

    Cost: a few rows of scores.
    """
    result = attention.output if attention.output is not None else attention.probability
    if result is None or result.is_meta or result.dtype not in _TOLERANCE:
        return
    most = _TOLERANCE[result.dtype]

    def judge(*gaps: float) -> None:
        if any(most < gap < math.inf for gap in gaps):  # a run that overflows is another matter
            refuse()

    with torch.no_grad():
        verdicts.add(_gaps(attention, result).unbind(), judge)


def _sampled(query: Tensor) -> list[tuple[int, ...]]:
    """Positions (row, head, query) or (row x head, query), spread over each axis."""
    *leading, queries, _ = query.shape
    count = min(_SAMPLES, max(*leading, queries))
    spread = [(number * 7 + 3, number * 5 + 1, number * 13 + 2) for number in range(count)]
    return [
        tuple(n % size for n, size in zip(numbers, (*leading, queries), strict=False)) for numbers in spread
    ]


def _gaps(attention: Attention, result: Tensor) -> Float[Tensor, sample]:
    """How far each sampled row is off, relative to the largest of V and 1. Sums, since products may be in TF32."""
    places = _sampled(attention.query)
    heads = [place[:-1] for place in places]
    query, actual = _rows(attention.query, places), _rows(result, places)
    scores = (_rows(attention.key, heads) * query[:, None]).sum(-1) * attention.scale
    if attention.mask is not None:
        scores = _masked(scores, attention.mask, places)
    expected = scores.softmax(-1)
    if attention.output is None:
        return _largest(actual - expected)
    assert attention.value is not None  # scaled_dot_product_attention got it
    value = _rows(attention.value, heads)
    expected = (expected[..., None] * value).sum(1)
    size = _largest(value.flatten(1)).clamp(min=1)
    return 2 * _largest(actual / 2 - expected / 2) / size  # halves, whose difference is finite if they are


def _rows(tensor: Tensor, places: Sequence[tuple[int, ...]]) -> Tensor:
    """Parts of a tensor, in float32. A list of numbers as an index would be sent to the GPU, and waited for."""
    return torch.stack([tensor[place] for place in places]).detach().float()


def _largest(numbers: Tensor) -> Tensor:
    return numbers.abs().amax(1)


def _masked(scores: Tensor, mask: Tensor, places: Sequence[tuple[int, ...]]) -> Tensor:
    of_rows = torch.stack([_row_of_mask(mask.detach(), place).expand(scores.shape[1:]) for place in places])
    if of_rows.dtype == torch.bool:
        return scores.masked_fill(~of_rows, float("-inf"))
    return scores + of_rows.float()


def _row_of_mask(mask: Tensor, place: tuple[int, ...]) -> Tensor:
    mask = mask.reshape([1] * (len(place) + 1 - mask.ndim) + list(mask.shape))
    return mask[tuple(n if size > 1 else 0 for n, size in zip(place, mask.shape, strict=False))]
