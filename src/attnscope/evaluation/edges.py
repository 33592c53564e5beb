"""How well the lines between segments lie on those of the truth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer

from attnscope.evaluation.counting import IGNORE

TOLERANCE = 0.0075
"""How far a line may be off, as a share of the picture's diagonal; Martin et al. 2004, Csurka et al. 2013."""


class EdgeCounts(NamedTuple):
    """Pixels on lines.

    Attributes:
        predicted: On lines between segments.
        predicted_right: Of these, near a line of the truth.
        true: On lines of the truth.
        true_met: Of these, near a line between segments.
    """

    predicted: int
    predicted_right: int
    true: int
    true_met: int

    @property
    def f(self) -> float:
        """Harmonic mean of precision and recall, 0..1; 1 where neither has a line, 0 where only one has."""
        if not self.predicted and not self.true:
            return 1.0
        if not self.predicted_right or not self.true_met:
            return 0.0
        precision, recall = self.predicted_right / self.predicted, self.true_met / self.true
        return 2 * precision * recall / (precision + recall)


def edges(labels: Integer[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Pixels with another label above, below, to the left or to the right.

    Args:
        labels: The label of every pixel.
    """
    found = np.zeros(labels.shape, bool)
    rows, columns = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    found[1:] |= rows
    found[:-1] |= rows
    found[:, 1:] |= columns
    found[:, :-1] |= columns
    return found


def edge_counts(
    prediction: Integer[np.ndarray, "height width"],
    truth: Integer[np.ndarray, "height width"],
    *,
    ignore: int = IGNORE,
    tolerance: float = TOLERANCE,
) -> EdgeCounts:
    """How many pixels on lines have one of the other kind nearby. Classes and numbers of segments do not matter.

    Args:
        prediction: The segment of every pixel.
        truth: The class of every pixel.
        ignore: Nothing in or next to such pixels is judged: neither lines of the truth nor of the prediction.
        tolerance: Share of the diagonal; at least one pixel is allowed.
    """
    left_out = truth == ignore
    judged = ~(left_out | edges(left_out.astype(np.int8)))
    predicted, true = edges(prediction) & judged, edges(truth) & judged
    reach_px = max(1.0, tolerance * float(np.hypot(*truth.shape)))
    return EdgeCounts(
        int(predicted.sum()),
        int((predicted & _near(true, reach_px)).sum()),
        int(true.sum()),
        int((true & _near(predicted, reach_px)).sum()),
    )


def _near(lines: Bool[np.ndarray, "height width"], reach_px: float) -> Bool[np.ndarray, "height width"]:
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~lines) <= reach_px if lines.any() else np.zeros_like(lines)
