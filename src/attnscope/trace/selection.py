"""What a user asks of an axis, turned into numbers on it, or into one clear error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from attnscope.errors import SelectionError, describe_numbers, nearest
from attnscope.records import Grid


class Pick(NamedTuple):
    """Chosen positions of one axis.

    Attributes:
        positions: Numbers on the axis, from 0.
        single: Whether it was a choice by a single number, which drops the axis.
    """

    positions: Sequence[int]
    single: bool


def _several(axis: str, choice: Any, positions: list[int]) -> Pick:
    if not positions:
        raise SelectionError(f"{axis} {choice!r} chooses nothing: give at least one, or None for all")
    return Pick(positions, False)


def shifted(pick: Pick, start: int) -> Pick:
    """A choice from a part of an axis, as numbers on all of it.

    Args:
        pick: The choice.
        start: Where the part begins.
    """
    if not start:
        return pick
    positions = pick.positions
    if isinstance(positions, range):
        return Pick(range(positions.start + start, positions.stop + start, positions.step), pick.single)
    return Pick([at + start for at in positions], pick.single)


def pick_number(axis: str, choice: Any, available: Sequence[int]) -> Pick:
    """Positions of numbers, such as steps or heads.

    Args:
        axis: Name of the axis, for messages.
        choice: A number, several, or a slice; negative ones count from the end. None for all.
        available: The numbers that there are.

    Raises:
        SelectionError: A number is not available, or nothing was chosen.
    """
    if choice is None:
        return Pick(range(len(available)), False)
    if isinstance(choice, slice):
        there = set(available)
        wanted = [n for n in range(max(available, default=-1) + 1)[choice] if n in there]
        return _several(axis, choice, [_position(axis, number, available) for number in wanted])
    if _is_int(choice):
        return Pick([_position(axis, int(choice), available)], True)
    if isinstance(choice, (str, bytes)) or not hasattr(choice, "__iter__"):
        raise SelectionError(f"{axis} {choice!r}: expected a number, several numbers or a slice")
    return _several(axis, choice, [_position(axis, number, available) for number in choice])


def pick_name(axis: str, choice: str | Sequence[str] | None, available: Sequence[str]) -> Pick:
    """Positions of names, such as guidance branches.

    Args:
        axis: Name of the axis, for messages.
        choice: A name or several. None for all.
        available: The names that there are.

    Raises:
        SelectionError: A name is not available, or nothing was chosen. The message lists the nearest names.
    """
    if choice is None:
        return Pick(range(len(available)), False)
    names = [choice] if isinstance(choice, str) else list(choice)
    for name in names:
        if name not in available:
            raise SelectionError(f"{axis} {name!r}: this run has {nearest(str(name), available)}")
    if isinstance(choice, str):
        return Pick([available.index(choice)], True)
    return _several(axis, choice, [available.index(name) for name in names])


def pick_place(axis: str, choice: Any, grid: Grid) -> Pick:
    """Positions of places on a grid, row by row.

    Args:
        axis: Name of the axis, for messages.
        choice: (row, column) or a flat number for one place; a list of those; a slice of flat numbers; a boolean
            (height, width) array for a region. None for all.
        grid: The layer's grid.

    Raises:
        SelectionError: A place is outside the grid, a region has another shape, or nothing was chosen.
    """
    if choice is None or isinstance(choice, slice) or _is_int(choice):
        return pick_number(axis, choice, range(grid.places))
    if (region := _as_region(choice)) is not None:
        return _region(axis, region, grid)
    if isinstance(choice, tuple) and len(choice) == 2 and all(_is_int(part) for part in choice):
        return Pick([_flat(axis, choice, grid)], True)
    if isinstance(choice, (str, bytes)) or not hasattr(choice, "__iter__"):
        raise SelectionError(
            f"{axis} {choice!r}: expected (row, column), an index, several of those, or a region"
        )
    return _several(axis, choice, [_flat(axis, place, grid) for place in choice])


def _as_region(choice: Any) -> np.ndarray | None:
    try:
        array = np.asarray(choice)
    except ValueError:  # places and flat numbers side by side
        return None
    return array if array.dtype == bool else None


def _region(axis: str, region: np.ndarray, grid: Grid) -> Pick:
    if region.shape != (grid.height, grid.width):
        raise SelectionError(
            f"{axis} region has shape {region.shape}; this layer's grid is {grid}: resize it (nearest) first"
        )
    if not region.any():
        raise SelectionError(f"{axis} region is empty: mark at least one place of the {grid} grid")
    return Pick(np.flatnonzero(region).tolist(), False)


def _flat(axis: str, place: Any, grid: Grid) -> int:
    if _is_int(place):
        return _position(axis, int(place), range(grid.places))
    if not hasattr(place, "__len__") or len(place) != 2 or not all(_is_int(part) for part in place):
        raise SelectionError(f"{axis} {place!r}: expected (row, column), two whole numbers, or a flat index")
    row, column = place
    if not (0 <= row < grid.height and 0 <= column < grid.width):
        raise SelectionError(
            f"{axis} (row, column) {(row, column)}: this layer's grid is {grid}, counted from 0"
        )
    return int(row) * grid.width + int(column)


def _position(axis: str, number: Any, available: Sequence[int]) -> int:
    if not _is_int(number):
        raise SelectionError(f"{axis} {number!r}: expected a whole number")
    if number < 0 and -number <= len(available):
        return len(available) + int(number)
    if number not in available:
        raise SelectionError(f"{axis} {number}: this run has {describe_numbers(available)}")
    return available.index(int(number))


def _is_int(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
