"""Pixels counted: how many of each class lie in each segment."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Integer

from attnscope.errors import ParameterError

IGNORE = 255
"""A truth's number for pixels that nobody judges."""
MAX_SEGMENTS = 65_536
"""More segments in one picture are taken for a mistake, such as a grey picture in place of labels."""


def count_table(
    prediction: Integer[np.ndarray, "height width"],
    truth: Integer[np.ndarray, "height width"],
    *,
    classes: int,
    ignore: int = IGNORE,
) -> Int[np.ndarray, "class segment"]:
    """How many pixels of each class lie in each segment.

    Args:
        prediction: The segment of every pixel, from 0.
        truth: The class of every pixel, 0 to classes - 1, or `ignore`.
        classes: How many classes there are.
        ignore: Pixels with this class are left out.

    Returns:
        As many columns as the largest segment's number among the judged pixels asks for.

    Raises:
        ParameterError: Sizes differ, a number is no class, or a segment's number is negative or above 65,535.
    """
    prediction, truth = np.asarray(prediction), np.asarray(truth)
    if prediction.ndim != 2 or prediction.shape != truth.shape:
        raise ParameterError(
            f"a prediction has the shape {prediction.shape} and its truth {truth.shape}; expected the same "
            "(height, width) for both: resize the labels to the nearest pixel first"
        )
    judged = truth != ignore
    of_class, of_segment = truth[judged].astype(np.int64), prediction[judged].astype(np.int64)
    _check(
        "a truth has the class", of_class, classes, f"0 to {classes - 1}, or {ignore} for pixels to leave out"
    )
    _check("a prediction has the segment", of_segment, MAX_SEGMENTS, f"0 to {MAX_SEGMENTS - 1}")
    segments = int(of_segment.max()) + 1 if of_segment.size else 0
    counts = np.bincount(of_class * segments + of_segment, minlength=classes * segments)
    return counts.reshape(classes, segments)


def _check(what: str, numbers: np.ndarray, count: int, expected: str) -> None:
    if numbers.size and not 0 <= (wrong := int(numbers.min())) < count:
        raise ParameterError(f"{what} {wrong}; expected {expected}")
    if numbers.size and (wrong := int(numbers.max())) >= count:
        raise ParameterError(f"{what} {wrong}; expected {expected}")


def widened(table: Int[np.ndarray, "class segment"], columns: int) -> Int[np.ndarray, "class column"]:
    """A table with empty columns after its own.

    Args:
        table: Counts.
        columns: How many columns it is to have at least.
    """
    return np.pad(table, ((0, 0), (0, max(columns - table.shape[1], 0))))


def summed(tables: list[np.ndarray], classes: int) -> Int[np.ndarray, "class column"]:
    """The sum of several pictures' tables, in which a column means the same in all of them.

    Args:
        tables: Counts of each picture.
        classes: How many classes there are.
    """
    columns = max((table.shape[1] for table in tables), default=0)
    total = np.zeros((classes, columns), np.int64)
    for table in tables:
        total[:, : table.shape[1]] += table
    return total
