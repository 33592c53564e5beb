"""A threshold that nobody has to guess: the one whose segments the other thresholds agree with most."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attnscope.diffseg.merging import PASSES, Merger
from attnscope.errors import ParameterError

STEP = 2 ** (1 / 3)
"""Each threshold that is tried is this many times the next: three an octave."""
MOST_TRIED = 60
"""Twenty octaves, more than distances in nats can have."""
HIGHEST = 0.99
"""Share of all distances below the first threshold that is tried."""
Labels = Int[Tensor, " place"]


def automatic_threshold(merger: Merger, *, passes: int = PASSES) -> float:
    """The threshold whose segments agree best with those of all other thresholds, in nats.

    Thresholds are tried from the picture's largest distances down, three an octave, as long as they leave at most as
    many segments as the square root of the number of anchors, which is the usual limit for a number of clusters. Of
    those that leave two segments or more, the one is taken whose labels share the most information with the labels of
    the others, on average. So segments that hold over a wide range of thresholds win.

    Args:
        merger: The picture's attention.
        passes: How often each threshold is applied.

    Returns:
        Where no threshold leaves two segments, one that leaves a single one.

    Raises:
        ParameterError: The attention has no distance that is a number.

    Cost: 12 to 25 merges: 1 s for 256 anchors at 64x64 on two cores.
    Source: the labels that share the most information with a whole ensemble of labels: Strehl and Ghosh 2002,
    "Cluster Ensembles", section 2.2. That thresholds are the ensemble is ours; docs/segmenters.md says what else was
    tried.
    """
    most = math.isqrt(merger.anchors)
    tried = list(_tried(merger, passes, most))
    several = [labeling for labeling in tried if 1 < labeling.segments <= most] or tried[-1:]
    agreement = agreements([labeling.labels for labeling in several]).sum(0)
    return several[int(agreement.argmax())].tau


class _Labeling(NamedTuple):
    """A threshold, the segment of every place, and how many there are."""

    tau: float
    labels: Labels
    segments: int


def _tried(merger: Merger, passes: int, most: int) -> Iterator[_Labeling]:
    """Falling thresholds, up to the first that leaves more than `most` segments."""
    tau = _highest(merger)
    for _ in range(MOST_TRIED):
        labels = merger.merge([tau] * passes).argmax(0).flatten().cpu()
        labeling = _Labeling(tau, labels, len(labels.unique()))
        yield labeling
        if labeling.segments > most:
            return
        tau /= STEP


def _highest(merger: Merger) -> float:
    distances = torch.cat([part.flatten() for part in merger.distances()])
    distances = distances[distances.isfinite()]
    if not len(distances):
        raise ParameterError(
            "no threshold can be found, since no distance between two places is a number: give thresholds, "
            "such as 1.1"
        )
    at = math.ceil(HIGHEST * len(distances))
    return max(float(distances.kthvalue(at).values), torch.finfo(torch.float32).tiny)


def agreements(labelings: Sequence[Labels]) -> Float[Tensor, "labeling labeling"]:
    """Normalised mutual information of every two labellings of the same places.

    Args:
        labelings: The segment of every place, each from 0.

    Returns:
        0..1, float64: 1 for the same segments, however they are numbered, 0 where one labelling says nothing of the
        other, and where one has a single segment.

    Source: Strehl and Ghosh 2002, equation 2: I(X; Y) / sqrt(H(X) H(Y)).
    """
    count = len(labelings)
    entropies = [_entropy(labels) for labels in labelings]
    result = torch.eye(count, dtype=torch.float64)
    for row, column in combinations(range(count), 2):
        x, y = labelings[row], labelings[column]
        shared = entropies[row] + entropies[column] - _entropy(x * (int(y.max()) + 1) + y)
        scale = math.sqrt(entropies[row] * entropies[column])
        result[row, column] = result[column, row] = shared / scale if scale else 0.0
    return result


def _entropy(labels: Labels) -> float:
    """In nats."""
    return float(torch.special.entr(labels.bincount().double() / len(labels)).sum())
