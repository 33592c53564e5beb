"""Attention as a Markov chain: sharpened by a temperature, then balanced until rows and columns sum to 1."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.probability.places import place_matrix
from attnscope.records.layers import SizeHW

TEMPERATURE = 0.65
ROUNDS = 200
WIDEST_SPREAD = 2.0**40
"""Of the factors of rows and columns; beyond it they are multiplied into the matrix, so that nothing overflows."""

Square = Float[Tensor, "place place"]


def markov_chain(
    attention: Float[Tensor, "place place"] | Float[Tensor, "height width height width"],
    *,
    temperature: float = TEMPERATURE,
    rounds: int = ROUNDS,
    dtype: torch.dtype = torch.float32,
) -> Square:
    """The chain of M2N2: attention, sharpened and balanced.

    Args:
        attention: Probabilities, (n, n) or (h, w, h, w): from place to place. Rows need not sum to 1.
        temperature: Above 0; below 1 sharpens, 1 changes nothing.
        rounds: How often columns, then rows are divided by their sums.
        dtype: torch.float32, or torch.float64 for results to the last digit.

    Returns:
        Rows sum to 1, and columns nearly do. A place that no other place attends to keeps a column of zeros.

    Raises:
        ParameterError: The shape is not square, a number is negative, NaN or infinite, or a row sums to 0.

    Cost: at a 64x64 grid one copy of 64 MiB, and two passes over it each round.
    Source: M2N2, section 3; temperature 0.65 and 200 rounds as in the authors' program.

    >>> import torch
    >>> markov_chain(torch.tensor([[0.75, 0.25], [0.25, 0.75]]), temperature=0.5)
    tensor([[0.9000, 0.1000],
            [0.1000, 0.9000]])
    """
    return balanced(sharpened(attention, temperature, dtype=dtype), rounds)


def sharpened(
    attention: Float[Tensor, "place place"] | Float[Tensor, "height width height width"],
    temperature: float = TEMPERATURE,
    *,
    dtype: torch.dtype = torch.float32,
) -> Square:
    """softmax(log(attention) / temperature) of every row.

    Args:
        attention: As for `markov_chain`.
        temperature: As for `markov_chain`.
        dtype: As for `markov_chain`.

    Raises:
        ParameterError: As for `markov_chain`.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ParameterError(
            f"temperature is {temperature}; expected a number above 0, such as {TEMPERATURE}"
        )
    if dtype not in (torch.float32, torch.float64):
        raise ParameterError(f"dtype is {dtype}; expected torch.float32 or torch.float64")
    matrix = place_matrix(attention, rows_sum_to_1=False).to(dtype)
    matrix = (matrix / matrix.amax(1, keepdim=True)).pow_(1 / temperature)  # the largest is 1: no underflow
    return matrix.div_(matrix.sum(1, keepdim=True))


def balanced(matrix: Square, rounds: int = ROUNDS) -> Square:
    """Columns, then rows divided by their sums, again and again (iterative proportional fitting).

    Args:
        matrix: Not negative; the caller's own is not changed.
        rounds: How often; 0 or more.

    Returns:
        The same as dividing the whole matrix each time, up to rounding. It ends sooner where no factor changes any
        more.

    Raises:
        ParameterError: `rounds` is no number from 0.
    """
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 0:
        raise ParameterError(f"rounds is {rounds!r}; expected a whole number from 0, such as {ROUNDS}")
    matrix, settled = matrix.clone(), 4 * torch.finfo(matrix.dtype).eps
    rows, columns = torch.ones_like(matrix[:, 0]), torch.ones_like(matrix[0])
    for _ in range(rounds):
        before, columns = columns, _one_over(rows @ matrix)
        rows = _one_over(matrix @ columns)
        if max(_spread(rows), _spread(columns)) > WIDEST_SPREAD:
            matrix.mul_(rows[:, None]).mul_(columns)
            rows, columns = torch.ones_like(rows), torch.ones_like(columns)
        elif bool(((columns - before).abs() <= settled * columns).all()):
            break
    return matrix.mul_(rows[:, None]).mul_(columns)


def _one_over(sums: Float[Tensor, " place"]) -> Float[Tensor, " place"]:
    return torch.where(sums > 0, 1 / sums, torch.ones_like(sums))


def _spread(factors: Float[Tensor, " place"]) -> float:
    low, high = (float(factor) for factor in factors.aminmax())
    return max(high, 1 / low if low > 0 else math.inf)


def checked_grid(attention: object, grid: SizeHW | None) -> SizeHW:
    """(height, width) of an attention's places.

    Args:
        attention: (places, places), or (height, width, height, width), which says it.
        grid: None where it is square or said.

    Raises:
        ParameterError: The grid does not fit, or is missing.
    """
    shape = tuple(torch.as_tensor(attention).shape)
    if len(shape) == 4 and grid is None:
        return shape[0], shape[1]
    places = shape[0] * shape[1] if len(shape) == 4 else shape[0] if shape else 0
    if grid is None:
        side = math.isqrt(places)
        if side * side != places:
            raise ParameterError(
                f"attention has {places} places, which do not make a square: give grid=(height, width)"
            )
        return side, side
    try:
        height, width = (int(side) for side in grid)
    except (TypeError, ValueError) as cause:
        raise ParameterError(f"grid is {grid!r}; expected (height, width), two whole numbers") from cause
    if (
        min(height, width) < 1
        or height * width != places
        or (len(shape) == 4 and (height, width) != shape[:2])
    ):
        raise ParameterError(f"grid is {height}x{width} (height x width), but attention has {places} places")
    return height, width
