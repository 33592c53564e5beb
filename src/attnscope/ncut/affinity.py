"""How alike two places are: the cosine of their rows of attention, after any number of hops of the random walk."""

from __future__ import annotations

import math
import operator

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.probability.places import place_matrix

SHARPNESS = 10.0
"""DiffCut's exponent of the affinity."""
_ROWS_AT_ONCE = 512
_LIKE_NO_OTHER = 1e-12  # far above the least number of float32, which sharpened cosines can reach


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
    attention = place_matrix(attention)
    power, sharpness = _checked_hops(power), checked_sharpness(sharpness)
    walk = _walk(attention.to(_working_type(attention)), power)
    rows = walk / torch.linalg.vector_norm(walk, dim=1, keepdim=True)
    return _with_themselves(products_with_itself(rows).clamp_(0, 1).pow_(sharpness))


def products_with_itself(rows: Float[Tensor, "place key"]) -> Float[Tensor, "place place"]:
    """rows @ rows.T, the half above the diagonal computed and the other one copied: symmetric to the bit.

    Args:
        rows: One a place.
    """
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


def _working_type(attention: Tensor) -> torch.dtype:
    return torch.float64 if attention.dtype == torch.float64 else torch.float32


def _walk(attention: Float[Tensor, "query key"], power: int) -> Float[Tensor, "query key"]:
    """P^power by squaring."""
    if power == 1:
        return attention
    half = _walk(attention, power // 2)
    return half @ half @ attention if power % 2 else half @ half


def _checked_hops(power: int) -> int:
    try:
        hops = operator.index(power)
    except TypeError:
        hops = 0
    if hops < 1 or isinstance(power, bool):
        raise ParameterError(f"power is {power!r}; expected hops of the random walk, a whole number from 1")
    return hops


def checked_sharpness(sharpness: float) -> float:
    """An exponent, checked.

    Args:
        sharpness: What should be one.

    Raises:
        ParameterError: It is no number above 0.
    """
    if isinstance(sharpness, bool) or not isinstance(sharpness, int | float) or not 0 < sharpness < math.inf:
        raise ParameterError(
            f"sharpness is {sharpness!r}; expected an exponent above 0, such as {SHARPNESS:g}"
        )
    return float(sharpness)
