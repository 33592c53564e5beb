"""The best, the median and the worst picture, drawn: picture, truth, segments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from attnscope.evaluation.assigning import best_columns
from attnscope.evaluation.counting import IGNORE
from attnscope.evaluation.datasets import picture_of, truth_of
from attnscope.evaluation.job import EvaluationJob
from attnscope.evaluation.kept import Counted
from attnscope.evaluation.preparing import nearest_pixels, preparation
from attnscope.evaluation.result import Example
from attnscope.pictures.overlays import segment_colours
from attnscope.pictures.sizes import resized

HEIGHT_PX, GAP_PX = 256, 8


def examples(
    job: EvaluationJob, names: Sequence[str], counted: Sequence[Counted], mious: np.ndarray
) -> tuple[Example, ...]:
    """Best, median and worst picture by their own mean IoU; with two pictures the best and the worst.

    Args:
        job: With the pictures.
        names: Of the samples.
        counted: What was counted of each.
        mious: Each one's mean IoU.
    """
    order = [int(at) for at in np.argsort(-mious, kind="stable") if not np.isnan(mious[at])]
    if not order:
        return ()
    ranks = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    chosen = {at: rank for rank, at in reversed(ranks.items())}
    return tuple(
        _example(job, rank, names[at], counted[at], float(mious[at])) for at, rank in reversed(chosen.items())
    )


def _example(job: EvaluationJob, rank: str, name: str, counted: Counted, miou: float) -> Example:
    prepared, sample = preparation(job.preparation), job.sample(name)
    picture = prepared.picture(picture_of(sample))
    truth = prepared.truth(truth_of(job.dataset, sample))
    height, width = HEIGHT_PX, max(1, round(HEIGHT_PX * picture.width / picture.height))
    tiles = [
        resized(picture, (height, width)),
        *(
            Image.fromarray(_coloured(nearest_pixels(each, (height, width))))
            for each in (truth, _as_classes(counted))
        ),
    ]
    drawn = Image.new("RGB", (3 * width + 2 * GAP_PX, height), "white")
    for at, tile in enumerate(tiles):
        drawn.paste(tile, (at * (width + GAP_PX), 0))
    return Example(rank, name, miou, counted.lines.f, int(counted.facts["segments"]), drawn)


def _as_classes(counted: Counted) -> np.ndarray:
    """Segments under the numbers of the classes that are assigned to them, so that colours match; others after them."""
    table, segments = counted.table, int(counted.labels.max()) + 1
    numbers = len(table) + np.arange(segments)
    for of_class, column in enumerate(best_columns(table)):
        if column < table.shape[1] and table[of_class, column]:
            numbers[column] = of_class
    return numbers[counted.labels]


def _coloured(labels: np.ndarray) -> np.ndarray:
    """sRGB of each label; what is not judged is grey."""
    colours = segment_colours(max(int(labels.max()), IGNORE) + 1).copy()
    colours[IGNORE] = 128
    return colours[labels]
