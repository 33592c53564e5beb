"""How alike two places are: the cosine of their rows of attention, after any number of hops of the random walk."""

from __future__ import annotations

import math
import operator

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError

SHARPNESS = 10.0
"""DiffCut's exponent of the affinity."""
_ROWS_AT_ONCE = 512
_LIKE_NO_OTHER = 1e-12  # far above the least number of float32, which sharpened cosines can reach
_ROW_SUM = 0.02  # float16 rows of 16,384 numbers sum to 1 within this


def row_affinity(
    attention: Float[Tensor, "query key"], *, power: int = 1, sharpness: float = SHARPNESS
) -> Float[Tensor, "place place"]:
    """How alike the attention of every two places is: the cosine of their rows, raised to a power.

    Args:
        attention: P, one row a place; rows sum to 1.
        power: Hops of the random walk: rows of P^power are compared, where each place looks after so many steps.
        sharpness: Exponent of the cosine. Rows of attention are wide, and even those of different things have a cosine
            far above 0.

    Returns:
        Symmetric, 0..1; float32, float64 for float64. A place is as like itself as the place most like it, 1 where
        it is like no other: with the cosine's own 1, every place of noisy attention would be worth a segment.

    Raises:
        ParameterError: Attention is not square, not finite, negative, or rows do not sum to 1; a number is outside its
            range.

    Cost: half a product of P with itself, 39 billion multiplications at 4,096 places; hops take whole products, as many
        as squaring needs.
    Source: similarity of rows and P^k: Ivanova et al. 2024; exponent: DiffCut, section 3.2. Differs from DiffCut: no
    stretching of cosines to 0..1, which they need since features may be negative and attention is not. So attention
    that is alike everywhere is not cut by its noise.
    """
    attention = checked_attention(attention)
    power, sharpness = _checked_numbers(power, sharpness)
    walk = _walk(attention.to(_working_type(attention)), power)
    rows = walk / torch.linalg.vector_norm(walk, dim=1, keepdim=True)
    return _with_themselves(_products_with_itself(rows).clamp_(0, 1).pow_(sharpness))


def _products_with_itself(rows: Float[Tensor, "place key"]) -> Float[Tensor, "place place"]:
    """rows @ rows.T, the half above the diagonal computed and the other one copied: symmetric to the bit."""
    products = rows.new_empty(len(rows), len(rows))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        end = min(start + _ROWS_AT_ONCE, len(rows))
        strip = rows[start:end] @ rows[start:].T
        corner = strip[:, : end - start]
        corner.copy_(corner.triu() + corner.triu(1).T)
        products[start:end, start:] = strip
        products[start:, start:end] = strip.T
    return products


def _with_themselves(affinity: Float[Tensor, "place place"]) -> Float[Tensor, "place place"]:
    nearest = affinity.fill_diagonal_(0).amax(1)
    affinity.diagonal().copy_(nearest.masked_fill(nearest < _LIKE_NO_OTHER, 1))
    return affinity


def checked_attention(attention: Tensor) -> Float[Tensor, "query key"]:
    """Attention as a matrix, or the error that says why it is none.

    Args:
        attention: (place, place) or (height, width, height, width).

    Raises:
        ParameterError: It has another shape, or holds what no probability is.
    """
    attention = torch.as_tensor(attention).detach()
    shape = tuple(attention.shape)
    half = shape[: len(shape) // 2]
    if len(shape) not in (2, 4) or half * 2 != shape or 0 in shape or not attention.is_floating_point():
        raise ParameterError(
            f"attention is {attention.dtype} of shape {shape}; expected floating-point (place, place) or "
            "(height, width, height, width), one map for each place"
        )
    matrix = attention.reshape(math.prod(half), math.prod(half))
    _check_rows(matrix)
    return matrix


def _check_rows(matrix: Float[Tensor, "query key"]) -> None:
    low, high = (float(value) for value in matrix.aminmax())
    if not (low >= 0 and math.isfinite(high)):  # NaN is neither
        raise ParameterError(
            f"attention has values from {low:.3g} to {high:.3g}; expected probabilities, 0 to 1 and no NaN"
        )
    sums = matrix.sum(1, dtype=torch.float32)
    worst = int((sums - 1).abs().argmax())
    if abs(float(sums[worst]) - 1) > _ROW_SUM:
        raise ParameterError(
            f"row {worst} of attention sums to {float(sums[worst]):.4g}; expected rows that sum to 1: divide each by "
            "its sum, and leave out places that attend to nothing"
        )


def _working_type(attention: Tensor) -> torch.dtype:
    return torch.float64 if attention.dtype == torch.float64 else torch.float32


def _walk(attention: Float[Tensor, "query key"], power: int) -> Float[Tensor, "query key"]:
    """P^power by squaring."""
    if power == 1:
        return attention
    half = _walk(attention, power // 2)
    return half @ half @ attention if power % 2 else half @ half


def _checked_numbers(power: int, sharpness: float) -> tuple[int, float]:
    try:
        hops = operator.index(power)
    except TypeError:
        hops = 0
    if hops < 1 or isinstance(power, bool):
        raise ParameterError(f"power is {power!r}; expected hops of the random walk, a whole number from 1")
    if isinstance(sharpness, bool) or not isinstance(sharpness, int | float) or not 0 < sharpness < math.inf:
        raise ParameterError(
            f"sharpness is {sharpness!r}; expected an exponent above 0, such as {SHARPNESS:g}"
        )
    return hops, float(sharpness)
