"""Which segment stands for which class: the protocols, by name."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Int

from attnscope.errors import ParameterError, nearest
from attnscope.evaluation.counting import widened

Assignment = Literal["per-image", "dataset", "named"]
ASSIGNMENTS: tuple[str, ...] = get_args(Assignment)

MEANING = {
    "per-image": "Each picture has an assignment of its own (DiffSeg).",
    "dataset": "One assignment of segment numbers to classes for the whole data set (PiCIE, STEGO).",
    "named": "A segment's number is its class; nothing is assigned.",
}
"""Each protocol in a sentence."""


class Hits(NamedTuple):
    """Right and wrong pixels of each class.

    Attributes:
        right: Pixels of the class in its segment.
        wrong: Pixels of other classes in its segment.
        missed: Pixels of the class in other segments.
    """

    right: Int[np.ndarray, "class"]
    wrong: Int[np.ndarray, "class"]
    missed: Int[np.ndarray, "class"]


def check_assignment(assignment: str) -> None:
    """Refuse a protocol that nobody knows.

    Args:
        assignment: Its name.

    Raises:
        ParameterError: There is none of this name.
    """
    if assignment not in ASSIGNMENTS:
        raise ParameterError(
            f"assignment is {assignment!r}; expected one of {nearest(assignment, ASSIGNMENTS)}"
        )


def best_columns(table: Int[np.ndarray, "class segment"]) -> Int[np.ndarray, "class"]:
    """The segment of each class that together make the most right pixels.

    Where several assignments are equally good, the solver's choice counts: scipy's, on a table of classes x
    max(classes, segments), in which classes are rows and the last columns are empty. Segments that are given to a class
    which the picture lacks are that class's wrong pixels, so the mean IoU depends on this in its fourth digit.

    Args:
        table: Pixels of each class in each segment.

    Returns:
        A column for every class; from the number of segments on it stands for none.
    """
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(widened(table, len(table)), maximize=True)[1]


def hits(table: Int[np.ndarray, "class segment"], columns: Int[np.ndarray, "class"]) -> Hits:
    """Right and wrong pixels of each class, given its column.

    Args:
        table: Pixels of each class in each segment.
        columns: The column of each class.
    """
    wide = widened(table, int(columns.max(initial=-1)) + 1)
    right = wide[np.arange(len(wide)), columns]
    return Hits(right, wide.sum(axis=0)[columns] - right, wide.sum(axis=1) - right)


def columns_for(table: Int[np.ndarray, "class segment"], assignment: str) -> Int[np.ndarray, "class"]:
    """The column of each class in one table, by the protocol.

    Args:
        table: Pixels of each class in each segment, of one picture or of all of them.
        assignment: Name of the protocol.
    """
    return np.arange(len(table)) if assignment == "named" else best_columns(table)
