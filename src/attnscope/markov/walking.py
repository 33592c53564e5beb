"""How many steps of a Markov chain it takes from a start to every place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.markov.chain import ROUNDS, TEMPERATURE, Square, checked_grid, markov_chain
from attnscope.markov.powers import ChainPowers
from attnscope.probability.places import place_matrix
from attnscope.records.layers import SizeHW

THRESHOLD = 0.3
LIMIT = 1000
RISE = 1e-6
"""Added to what the probability rises in a step, by which is divided."""
Start = Sequence[float] | Float[Tensor, "height width"]


def markov_map(
    attention: Float[Tensor, "place place"] | Float[Tensor, "height width height width"],
    start: Start,
    threshold: float = THRESHOLD,
    temperature: float = TEMPERATURE,
    *,
    grid: SizeHW | None = None,
    rounds: int = ROUNDS,
    limit: int = LIMIT,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "height width"]:
    """How far every place is from a start, in steps of the chain that attention makes.

    Args:
        attention: Self-attention from place to place, (n, n) or (h, w, h, w).
        start: (row, column) on the grid, fractions allowed, or weights of shape (h, w).
        threshold: A place is reached when it has more than this share of the largest probability, 0 to 1.
        temperature: See `markov_chain`.
        grid: (height, width) of an (n, n) that is no square grid.
        rounds: See `markov_chain`.
        limit: Steps at most; places that are never reached get this number.
        dtype: See `markov_chain`.

    Returns:
        Steps, with fractions: 0 at the start, `limit` where it never comes.

    Raises:
        ParameterError: Attention, start or a number is not as said.

    Cost: the chain, 3 s at a 64x64 grid on two cores, then a product of vector and matrix a step, 5 ms. For several
    starts make the chain once: `markov_chain`, then `iterations`.
    Source: M2N2, section 3.2.

    >>> import torch
    >>> attention = torch.tensor([[0.8, 0.2, 0.0], [0.2, 0.6, 0.2], [0.0, 0.2, 0.8]])
    >>> markov_map(attention, (0, 0), grid=(1, 3)).round(decimals=1)
    tensor([[0.0000, 2.5000, 7.8000]])
    """
    matrix = place_matrix(attention, rows_sum_to_1=False)
    size = checked_grid(attention, grid)
    weights = start_weights(start, size)
    chain = markov_chain(matrix, temperature=temperature, rounds=rounds, dtype=dtype)
    return iterations(chain, weights.view(1, -1), threshold=threshold, limit=limit)[0].view(size)


def iterations(
    chain: Square | ChainPowers,
    starts: Float[Tensor, "start place"],
    *,
    threshold: float = THRESHOLD,
    limit: int = LIMIT,
) -> Float[Tensor, "start place"]:
    """How many steps of a chain it takes from each start to every place.

    Args:
        chain: From `markov_chain`; or its powers, from `chain_powers`, which take a fifth of the time.
        starts: Weights, not negative, each scaled to a maximum of 1 here.
        threshold: As for `markov_map`.
        limit: As for `markov_map`.

    Raises:
        ParameterError: Shapes or numbers are not as said.

    Cost: one reading of the chain for each start and step, until its last place is reached; of its powers see
    `ChainPowers.states`.
    Source: M2N2: state = state @ chain, divided by its maximum; the step at which a place first exceeds the
    threshold, interpolated between the states before and after. As in the authors' program, the first step is
    interpolated from a rise of 1 - threshold.
    """
    if not 0 <= threshold < 1:
        raise ParameterError(
            f"threshold is {threshold}; expected at least 0 and below 1, such as {THRESHOLD}"
        )
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ParameterError(f"limit is {limit!r}; expected a whole number from 1, such as {LIMIT}")
    powers = chain if isinstance(chain, ChainPowers) else None
    matrix = chain.transposed[0] if isinstance(chain, ChainPowers) else chain
    starts = torch.as_tensor(starts).to(matrix)
    if starts.ndim != 2 or starts.shape[1] != len(matrix):
        raise ParameterError(
            f"starts have shape {tuple(starts.shape)}; expected (starts, {len(matrix)}), a weight for each place"
        )
    if not starts.numel():
        return starts
    if not bool((starts.isfinite() & (starts >= 0)).all()) or float(starts.amax(1).min()) <= 0:
        raise ParameterError(
            "starts hold a NaN, infinite or negative weight, or are all 0; expected weights from 0"
        )
    starts = starts / starts.amax(1, keepdim=True)
    if powers is not None:
        return torch.stack([_by_powers(powers, start, threshold, limit) for start in starts])
    return torch.stack([_step_by_step(matrix, start, threshold, limit) for start in starts])


def _by_powers(
    powers: ChainPowers, start: Float[Tensor, " place"], threshold: float, limit: int
) -> Float[Tensor, " place"]:
    reached = torch.zeros_like(start, dtype=torch.bool)

    def all_are_reached(state: Tensor) -> bool:
        return bool(reached.logical_or_(state > threshold).all())

    states = powers.states(start, all_are_reached, limit)
    over = states > threshold
    at = over.int().argmax(1, keepdim=True)  # the first
    state, before = states.gather(1, at), states.gather(1, (at - 1).clamp(min=0))
    rise = torch.where(at > 1, state - before, 1 - threshold)
    between = torch.where(at > 0, at - (state - threshold) / (rise + RISE), 0.0)
    return torch.where(over.any(1), between[:, 0], float(limit))


def _step_by_step(
    chain: Square, state: Float[Tensor, " place"], threshold: float, limit: int
) -> Float[Tensor, " place"]:
    steps = torch.where(state > threshold, 0.0, float(limit)).to(chain)
    ahead = state <= threshold
    for step in range(limit):
        if not ahead.any():
            break
        before, state = state, state @ chain
        state = state / state.max()
        reached = ahead & (state > threshold)
        rise = state - before if step else torch.full_like(state, 1 - threshold)
        between = step + 1 - (state - threshold) / (rise + RISE)
        steps = torch.where(reached, between, steps)
        ahead &= ~reached
    return steps


def start_weights(start: Start, size: SizeHW) -> Float[Tensor, "height width"]:
    """Weights of a start, with a maximum of 1.

    Args:
        start: (row, column) or weights, as for `markov_map`.
        size: The grid, (height, width).

    Raises:
        ParameterError: It is neither, or outside the grid.
    """
    try:
        given = torch.as_tensor(start, dtype=torch.float64).cpu()
    except (TypeError, ValueError, RuntimeError) as cause:
        raise ParameterError(
            f"start is {start!r}; expected (row, column) or weights (height, width)"
        ) from cause
    height, width = size
    if tuple(given.shape) == (2,):
        row, column = given.tolist()
        if not (0 <= row <= height - 1 and 0 <= column <= width - 1):
            raise ParameterError(
                f"start is row {row:g}, column {column:g}; expected 0 to {height - 1} and 0 to {width - 1}"
            )
        return start_of_place((row, column), size)
    if tuple(given.shape) != (height, width):
        raise ParameterError(
            f"start has shape {tuple(given.shape)}; expected (row, column) or weights ({height}, {width})"
        )
    if not bool((given.isfinite() & (given >= 0)).all()) or float(given.max()) <= 0:
        raise ParameterError(
            "start holds a NaN, infinite or negative weight, or is all 0; expected weights from 0"
        )
    return given / given.max()


def start_of_place(
    place: Sequence[float], size: SizeHW, *, dtype: Any = torch.float64
) -> Float[Tensor, "height width"]:
    """Bilinear weights of a place between four cells, divided by the largest.

    Args:
        place: (row, column), from 0 to height - 1 and width - 1.
        size: The grid, (height, width).
        dtype: Of the weights.

    >>> start_of_place((0, 0.25), (1, 3)).tolist()
    [[1.0, 0.3333333333333333, 0.0]]
    """
    rows, columns = (_weights(at, side) for at, side in zip(place, size, strict=True))
    weights = torch.outer(torch.tensor(rows, dtype=dtype), torch.tensor(columns, dtype=dtype))
    return weights / weights.max()


def _weights(at: float, side: int) -> list[float]:
    first = min(max(math.floor(at), 0), side - 1)
    weights = [0.0] * side
    weights[first] += 1 - (at - first)
    weights[min(first + 1, side - 1)] += at - first
    return weights
