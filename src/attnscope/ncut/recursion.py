"""Cuts of cuts, the least first, and where to stop: at a limit, or at the largest gap between their values."""

from __future__ import annotations

import heapq
import itertools
import math
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.ncut.cutting import best_cut
from attnscope.probability.threads import in_tile_threads

MOST_SEGMENTS = 256
"""As many as a label of one byte can number."""

Places = Int[Tensor, " places"]


def cut_recursively(
    affinity: Float[Tensor, "place place"], *, limit: float | None = None, most: int = MOST_SEGMENTS
) -> Int[Tensor, " place"]:
    """The segment of every place: the whole is cut in two, and parts again, the part with the least cut first.

    Args:
        affinity: Symmetric, not negative, something above 0 in each row.
        limit: Cuts of this NCut or more are not made; DiffCut's is 0.5. None: the limit lies in the widest gap between
            the NCuts of this picture and 1, what a cut costs where everything is alike, and the first cut must be
            nearer to 0 than to 1.
        most: No more segments than this.

    Returns:
        Numbers from 0, in the order of each segment's first place.

    Raises:
        ParameterError: A number is outside its range, or affinity is not symmetric, not finite or negative, or has a
            row of zeros.

    Cost: a cut of each segment and of each part that was cut, see `attnscope.ncut.best_cut`; its half has a quarter of
    its numbers.
    Source: Shi and Malik 2000, section 3; of the limit 0.5: DiffCut, section 3.2. The widest gap is our own.
    """
    _check(limit, most)
    _check_affinity(affinity)
    if affinity.device.type != "cpu":
        return _cut(affinity, limit, most)
    cut = partial(_cut, limit=limit, most=most)
    (labels,) = in_tile_threads(cut, [affinity])  # one thread: products with a vector wait for memory
    return labels


def _cut(affinity: Float[Tensor, "place place"], limit: float | None, most: int) -> Int[Tensor, " place"]:
    cuts = _Cuts(affinity)
    values: list[float] = []
    while len(cuts.parts) < most and (value := cuts.least) < (1.0 if limit is None else limit):
        if limit is None and _is_decided(values, value):
            break
        values.append(value)
        cuts.make()
    made = len(values) if limit is not None else _before_gap(values, cuts.least)
    return _numbered(cuts.after(made), len(affinity))


class _Cuts:
    """Parts with their best cuts. A cut counts no less than that which made its part, so they come in order."""

    def __init__(self, affinity: Float[Tensor, "place place"]) -> None:
        self._affinity = affinity
        self._number = itertools.count()  # of equal cuts the earlier part comes first
        self.parts: list[tuple[float, int, Places, Places, Places]] = []
        self._history: list[list[Places]] = []
        self._add(torch.arange(len(affinity), device=affinity.device), 0.0)

    @property
    def least(self) -> float:
        """NCut of the next cut; infinite where no part has two places."""
        return self.parts[0][0]

    def make(self) -> None:
        """Make the next cut."""
        self._history.append([part[2] for part in self.parts])
        value, _, _, inside, outside = heapq.heappop(self.parts)
        self._add(inside, value)
        self._add(outside, value)

    def after(self, made: int) -> list[Places]:
        """The parts after so many cuts."""
        return [*self._history, [part[2] for part in self.parts]][made]

    def _add(self, places: Places, at_least: float) -> None:
        value, inside = math.inf, torch.ones(len(places), dtype=torch.bool, device=places.device)
        if len(places) > 1:
            part = self._affinity
            if len(places) < len(part):
                part = part.index_select(0, places).index_select(1, places)
            value, inside = best_cut(part)
        number = next(self._number)
        heapq.heappush(self.parts, (max(value, at_least), number, places, places[inside], places[~inside]))


def _is_decided(values: list[float], value: float) -> bool:
    """Whether no gap from here on can be wider than the widest so far."""
    if not values:
        return value >= 0.5
    gaps = [after - before for before, after in itertools.pairwise([*values, value])]
    return max(gaps) >= 1 - value


def _before_gap(values: list[float], value: float) -> int:
    """How many cuts come before the widest gap, the earliest of equal ones. `value` is that of the cut not made."""
    if not values:
        return 0
    gaps = [after - before for before, after in itertools.pairwise([*values, min(value, 1.0), 1.0])]
    return min(gaps.index(max(gaps)) + 1, len(values))


def _numbered(parts: list[Places], count: int) -> Int[Tensor, " place"]:
    labels = torch.empty(count, dtype=torch.long, device=parts[0].device)
    for number, places in enumerate(sorted(parts, key=lambda part: int(part.min()))):
        labels[places] = number
    return labels


def _check(limit: float | None, most: int) -> None:
    if limit is not None and (
        isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= 1
    ):
        raise ParameterError(
            f"limit is {limit!r}; expected an NCut above 0, up to 1, or None for the widest gap of this picture"
        )
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ParameterError(f"most is {most!r}; expected a whole number of segments from 1")


def _check_affinity(affinity: Tensor) -> None:
    shape = tuple(affinity.shape)
    if len(shape) != 2 or shape[0] != shape[1] or 0 in shape or not affinity.is_floating_point():
        raise ParameterError(
            f"affinity is {affinity.dtype} of shape {shape}; expected floating-point (place, place)"
        )
    low, high = (float(value) for value in affinity.aminmax())
    if not (low >= 0 and math.isfinite(high)):
        raise ParameterError(
            f"affinity has values from {low:.3g} to {high:.3g}; expected 0 or more and no NaN"
        )
    if not (affinity.sum(1) > 0).all() or not _is_symmetric(affinity):
        raise ParameterError(
            "affinity is not symmetric, or a row of it is all 0: expected how alike every two places are, "
            "with something above 0 in each row, such as 1 on the diagonal"
        )


def _is_symmetric(affinity: Float[Tensor, "place place"]) -> bool:
    """Whether the matrix and its transpose have the same product with a vector of many different numbers."""
    numbers = torch.linspace(0.5, 1, len(affinity), dtype=affinity.dtype, device=affinity.device).cos()
    return torch.allclose(affinity @ numbers, affinity.T @ numbers, rtol=1e-4)
