"""Attention of places to places, handed in from anywhere: a square matrix of probabilities, or one error."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError

_ROW_SUM = 0.02  # float16 rows of 16,384 numbers sum to 1 within this


def place_matrix(attention: object, *, rows_sum_to_1: bool = True) -> Float[Tensor, "query key"]:
    """Attention as a matrix, or the error that says why it is none.

    Args:
        attention: (places, places) or (height, width, height, width); an array is taken, too.
        rows_sum_to_1: Refuse rows that do not; otherwise only those that are all 0.

    Raises:
        ParameterError: It has another shape, or holds what no probability is.
    """
    matrix = torch.as_tensor(attention).detach()
    shape = tuple(matrix.shape)
    half = shape[: len(shape) // 2]
    if len(shape) not in (2, 4) or half * 2 != shape or 0 in shape or matrix.is_complex():
        raise ParameterError(
            f"attention has shape {shape} and dtype {matrix.dtype}; expected real numbers, (places, places) or "
            "(height, width, height, width): the mean over heads of one image's self-attention"
        )
    matrix = matrix.reshape(math.prod(half), math.prod(half))
    matrix = matrix if matrix.is_floating_point() else matrix.float()
    _check_values(matrix)
    _check_rows(matrix, rows_sum_to_1)
    return matrix


def _check_values(matrix: Float[Tensor, "query key"]) -> None:
    low, high = (float(value) for value in matrix.aminmax())
    if not (low >= 0 and math.isfinite(high)):  # NaN is neither
        raise ParameterError(
            f"attention has values from {low:.3g} to {high:.3g}; expected probabilities. NaN often means a float16 "
            "overflow: run the model in float32 or bfloat16"
        )


def _check_rows(matrix: Float[Tensor, "query key"], sum_to_1: bool) -> None:
    if (empty := int((matrix.amax(1) <= 0).sum())) > 0:
        raise ParameterError(
            f"{empty} of {len(matrix)} places attend to nothing, all of their attention is 0: a mask hides all of "
            "their keys. Leave out the layers or steps that have the mask"
        )
    sums = matrix.sum(1, dtype=torch.float32)
    worst = int((sums - 1).abs().argmax())
    if sum_to_1 and abs(float(sums[worst]) - 1) > _ROW_SUM:
        raise ParameterError(
            f"row {worst} of attention sums to {float(sums[worst]):.4g}; expected rows that sum to 1: divide each by "
            "its sum"
        )
