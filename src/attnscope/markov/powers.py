"""Powers of a chain, with which many steps are taken by few readings of a large matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.markov.chain import Square

EXPONENTS = (1, 2, 4, 8, 16)
LONG = EXPONENTS[-1]
_FULL = 16
"""Columns from which a product with a tall matrix is quick: with 16 it takes half as long as with 11."""


@dataclass(frozen=True, eq=False, repr=False)
class ChainPowers:
    """Powers of a chain. Made by `chain_powers`.

    Attributes:
        transposed: The transpose of each power, for the exponents 1, 2, 4, 8 and 16.
    """

    transposed: tuple[Square, ...]

    def __repr__(self) -> str:
        return f"<ChainPowers of {len(self.transposed[0])} places, up to {LONG} steps>"

    def states(
        self, start: Float[Tensor, " place"], is_enough: Callable[[Tensor], bool], limit: int
    ) -> Float[Tensor, "place step"]:
        """The states after 0, 1, 2 ... steps, each divided by its maximum.

        Args:
            start: The first one.
            is_enough: Given the state after each 16th step, whether to end there.
            limit: Steps at most.

        Cost: a reading of a matrix every 16 steps, and four more with many states at once.
        """
        *far, last = self._every_16th(start, is_enough, limit)
        if not far:
            return last[:, None]
        states = torch.stack(far, 1)
        for power in reversed(self.transposed[:-1]):  # from each state half as far as before
            states = torch.stack([states, _scaled(_product(power, states))], 2).flatten(1)
        return torch.cat([states, last[:, None]], 1)[:, : limit + 1]

    def _every_16th(
        self, state: Float[Tensor, " place"], is_enough: Callable[[Tensor], bool], limit: int
    ) -> Iterator[Float[Tensor, " place"]]:
        yield state
        step = 0
        while step < limit and not is_enough(state):
            step += LONG
            state = _scaled(self.transposed[-1] @ state)
            yield state


def chain_powers(chain: Square) -> ChainPowers:
    """Prepare a chain for several starts.

    Args:
        chain: From `markov_chain`.

    Cost: four products of the matrix with itself, 550 billion multiplications and additions at a 64x64 grid; five
    matrices are kept, 64 MiB each there.
    """
    powers = [chain.T.contiguous()]
    for _ in EXPONENTS[1:]:
        powers.append(powers[-1] @ powers[-1])
    return ChainPowers(tuple(powers))


def _product(matrix: Square, states: Float[Tensor, "place state"]) -> Float[Tensor, "place state"]:
    count = states.shape[1]
    wide = torch.nn.functional.pad(states, (0, max(0, _FULL - count)))
    return (matrix @ wide)[:, :count]


def _scaled(states: Tensor) -> Tensor:
    return states / states.amax(0, keepdim=True)
