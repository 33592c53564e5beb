"""A chain with its 4th and 16th power: many steps by few readings of a large matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.markov.chain import Square

LONG, SHORT = 16, 4
"""Steps that the two powers take at once."""


@dataclass(frozen=True, eq=False, repr=False)
class ChainPowers:
    """A chain and two powers of it. Made by `chain_powers`.

    Attributes:
        chain: One step.
        short: Four steps.
        long: Sixteen.
    """

    chain: Square
    short: Square
    long: Square

    def __repr__(self) -> str:
        return f"<ChainPowers of {len(self.chain)} places, 1, {SHORT} and {LONG} steps>"

    def states(
        self, start: Float[Tensor, " place"], is_enough: Callable[[Tensor], bool], limit: int
    ) -> Float[Tensor, "step place"]:
        """The states after 0, 1, 2 ... steps, each divided by its maximum.

        Args:
            start: The first one.
            is_enough: Given the state after each 16th step, whether to end there.
            limit: Steps at most.

        Cost: a reading of the chain every 16 steps, and 6 more with all states together.
        """
        every_long = [start]
        while LONG * (len(every_long) - 1) < limit and not is_enough(every_long[-1]):
            every_long.append(_scaled(every_long[-1] @ self.long))
        *first, last = every_long
        if not first:
            return last[None]
        every_short = _with_steps(torch.stack(first), self.short, LONG // SHORT)
        return torch.cat([_with_steps(every_short, self.chain, SHORT), last[None]])[: limit + 1]


def chain_powers(chain: Square) -> ChainPowers:
    """Prepare a chain for several starts.

    Args:
        chain: From `markov_chain`.

    Cost: four products of the matrix with itself, 550 billion multiplications and additions at a 64x64 grid; two more
    matrices are kept.
    """
    short = _squared_twice(chain)
    return ChainPowers(chain, short, _squared_twice(short))


def _squared_twice(matrix: Square) -> Square:
    squared = matrix @ matrix
    return squared @ squared


def _with_steps(
    states: Float[Tensor, "state place"], matrix: Square, count: int
) -> Float[Tensor, "further_state place"]:
    """Behind each state the next count - 1, too."""
    steps = [states]
    for _ in range(count - 1):
        steps.append(_scaled(steps[-1] @ matrix))
    return torch.stack(steps, 1).flatten(0, 1)


def _scaled(states: Float[Tensor, "*states place"]) -> Float[Tensor, "*states place"]:
    return states / states.amax(-1, keepdim=True)
