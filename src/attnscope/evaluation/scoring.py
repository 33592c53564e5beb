"""Scores of many pictures: accuracy, IoU of each class, lines, and how sure they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Integer

from attnscope.errors import ParameterError
from attnscope.evaluation.assigning import Assignment, check_assignment, columns_for, hits
from attnscope.evaluation.counting import IGNORE, count_table, summed
from attnscope.evaluation.edges import edge_counts

RESAMPLES = 1000
SURE = 0.95
"""The share of resampled data sets inside an interval."""

Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Scores:
    """How well segments match the truth, by one protocol.

    Attributes:
        assignment: The protocol: 'per-image', 'dataset' or 'named'.
        accuracy: Share of the judged pixels that are right, 0..1.
        miou: Mean of `iou` over the classes that are anywhere.
        iou: Right pixels / (right + wrong + missed) of each class, 0..1; NaN for a class that is nowhere, neither in
            the truth nor among the assigned segments.
        boundary_f: Mean over pictures of the F of lines, 0..1 (`edges.edge_counts`).
        intervals: For 'accuracy', 'miou' and 'boundary_f': (lower, upper) end of the middle 95 % when pictures are
            drawn again with replacement.
        per_picture: Mean IoU of each picture by itself over its own classes, in the order given; NaN where nothing is
            judged.
        pixels: Judged pixels of each class.
    """

    assignment: str
    accuracy: float
    miou: float
    iou: Float[np.ndarray, "class"]
    boundary_f: float
    intervals: dict[str, Interval]
    per_picture: Float[np.ndarray, picture]
    pixels: Int[np.ndarray, "class"]

    def __repr__(self) -> str:
        return f"<Scores {self.assignment}: accuracy {self.accuracy:.3f}, mIoU {self.miou:.3f}>"

    def to_dict(self, classes: Sequence[str] = ()) -> dict[str, Any]:
        """The numbers as plain values for JSON; None for NaN.

        Args:
            classes: Names of the classes; their numbers by default.
        """
        names = classes or [str(number) for number in range(len(self.iou))]
        return {
            "assignment": self.assignment,
            "accuracy": _plain(self.accuracy),
            "miou": _plain(self.miou),
            "boundary_f": _plain(self.boundary_f),
            "intervals": {name: [_plain(end) for end in ends] for name, ends in self.intervals.items()},
            "classes": [
                {"name": name, "iou": _plain(iou), "pixels": int(pixels)}
                for name, iou, pixels in zip(names, self.iou, self.pixels, strict=True)
            ],
        }


def _plain(number: float) -> float | None:
    return None if np.isnan(number) else float(number)


def scores(
    predictions: Iterable[Integer[np.ndarray, "height width"]],
    truths: Iterable[Integer[np.ndarray, "height width"]],
    *,
    classes: int | Sequence[str],
    ignore: int = IGNORE,
    assignment: Assignment = "per-image",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Scores:
    """Accuracy and IoU of segments that have no classes, after the best assignment of segments to classes.

    Args:
        predictions: For each picture the segment of every pixel, from 0.
        truths: For each picture the class of every pixel, of the same size.
        classes: How many classes there are, or their names.
        ignore: Pixels of the truth with this number are left out.
        assignment: 'per-image': each picture's segments are assigned by themselves, as DiffSeg's authors do. 'dataset':
            one assignment of segment numbers for all pictures, as in PiCIE and STEGO; it says something only where
            segment 3 means the same in every picture. 'named': segment 3 is class 3; numbers beyond the classes are
            segments without a name.
        resamples: How often pictures are drawn again for the intervals.
        seed: Of that drawing.

    Raises:
        ParameterError: There are no pictures, not as many truths, sizes differ, or a number is no class.

    Cost: 0.15 s a picture of 512x512 on one busy core, most of it for distances of lines.
    Source: Tian et al. 2024, section 4; Cho et al. 2021 (PiCIE). Which of several equal assignments counts is said at
    `assigning.best_columns`.

    >>> import numpy as np
    >>> truth = np.array([[0, 0, 1, 1]])
    >>> scores([np.array([[5, 5, 5, 2]])], [truth], classes=2).iou.round(2).tolist()
    [0.67, 0.5]
    """
    count = classes if isinstance(classes, int) else len(classes)
    tables, lines = [], []
    for prediction, truth in zip_longest(predictions, truths):
        if prediction is None or truth is None:
            raise ParameterError(
                "there are not as many predictions as truths; give one truth for each prediction, in the same order"
            )
        tables.append(count_table(prediction, truth, classes=count, ignore=ignore))
        lines.append(edge_counts(np.asarray(prediction), np.asarray(truth), ignore=ignore).f)
    return scores_of_tables(tables, lines, assignment=assignment, resamples=resamples, seed=seed)


def scores_of_tables(
    tables: Sequence[Int[np.ndarray, "class segment"]],
    boundary_fs: Sequence[float],
    *,
    assignment: str = "per-image",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Scores:
    """Scores from what was counted of each picture.

    Args:
        tables: For each picture the pixels of each class in each segment.
        boundary_fs: For each picture the F of its lines.
        assignment: As for `scores`.
        resamples: As for `scores`.
        seed: As for `scores`.

    Raises:
        ParameterError: There are no pictures, or the protocol is unknown.
    """
    check_assignment(assignment)
    if not len(tables):
        raise ParameterError("there are no pictures to score; give at least one prediction and its truth")
    counted = _counted(tables, assignment)
    accuracy, miou, iou = _rates(*(part.sum(axis=0) for part in counted))
    lines = np.asarray(boundary_fs, float)
    return Scores(
        assignment,
        accuracy,
        miou,
        iou,
        float(lines.mean()),
        _intervals(counted, lines, resamples, seed),
        np.array([_rates(*parts)[1] for parts in _alone(tables, assignment)]),
        summed(list(tables), len(tables[0])).sum(axis=1),
    )


def _counted(tables: Sequence[np.ndarray], assignment: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right, wrong and missed pixels of each picture and class."""
    if assignment == "dataset":
        columns = columns_for(summed(list(tables), len(tables[0])), assignment)
        each = [hits(table, columns) for table in tables]
    else:
        each = [hits(table, columns_for(table, assignment)) for table in tables]
    right, wrong, missed = (np.stack(part) for part in zip(*each, strict=True))
    return right, wrong, missed


def _alone(tables: Sequence[np.ndarray], assignment: str) -> Iterable[tuple[np.ndarray, ...]]:
    """Each picture's pixels over the classes that its truth has, which is what a reader sees in it."""
    for parts, table in zip(zip(*_counted(tables, assignment), strict=True), tables, strict=True):
        there = table.sum(axis=1) > 0
        yield tuple(part[there] for part in parts)


def _rates(right: np.ndarray, wrong: np.ndarray, missed: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Accuracy, mean IoU and IoU of each class; NaN where there is nothing."""
    all_of_it, judged = right + wrong + missed, (right + missed).sum()
    iou = np.divide(right, all_of_it, out=np.full(len(right), np.nan), where=all_of_it > 0)
    there = iou[~np.isnan(iou)]
    return (
        float(right.sum() / judged) if judged else np.nan,
        float(there.mean()) if there.size else np.nan,
        iou,
    )


def _intervals(
    counted: tuple[np.ndarray, ...], lines: np.ndarray, resamples: int, seed: int
) -> dict[str, Interval]:
    """Percentile bootstrap over pictures (Efron 1979). Segments keep the classes that they have in all pictures: found
    anew for each draw, one assignment for all would fit the fewer pictures too well, and the interval lie above the
    score."""
    generator, count = np.random.default_rng(seed), len(lines)
    drawn = []
    for _ in range(resamples):
        chosen = generator.integers(count, size=count)
        accuracy, miou, _ = _rates(*(part[chosen].sum(axis=0) for part in counted))
        drawn.append((accuracy, miou, lines[chosen].mean()))
    rest = (1 - SURE) / 2
    names = ("accuracy", "miou", "boundary_f")
    if not drawn:
        return dict.fromkeys(names, (np.nan, np.nan))
    ends = np.nanquantile(np.array(drawn), (rest, 1 - rest), axis=0)
    return {name: (float(ends[0, at]), float(ends[1, at])) for at, name in enumerate(names)}
