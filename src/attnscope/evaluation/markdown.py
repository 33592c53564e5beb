"""An evaluation as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attnscope.evaluation.result import Evaluation, per_cent
from attnscope.evaluation.scoring import Interval, Scores

SCORES = ("Protocol", "mIoU", "Accuracy", "Boundary F")
PUBLISHED = ("Method", "mIoU", "Accuracy", "Protocol", "Source")
TRIED = ("Threshold", "Protocol", "mIoU", "Accuracy", "Boundary F", "Segments")
"""Titles of the columns of `score_rows`, `published_rows` and `tried_rows`."""


def markdown(evaluation: Evaluation) -> str:
    """The report as text.

    Args:
        evaluation: What it says.
    """
    return "\n".join(_lines(evaluation)) + "\n"


def _lines(evaluation: Evaluation) -> Iterator[str]:
    yield f"# {evaluation.dataset.title}: {evaluation.model}\n"
    yield from (f"- **{name}**: {value}" for name, value in evaluation.facts().items())
    yield "\n## Scores in per cent, with the middle 95 % of resampled pictures\n"
    yield from table(SCORES, score_rows(evaluation))
    if evaluation.published:
        yield "\n## Published, in per cent\n"
        yield from table(PUBLISHED, published_rows(evaluation))
    if evaluation.tried:
        yield "\n## Thresholds tried on the same attention\n"
        yield from table(TRIED, tried_rows(evaluation))
    yield "\n## Classes: IoU in per cent\n"
    yield from table(("Class", "Pixels", *evaluation.scores), class_rows(evaluation))
    yield "\n## Pictures\n"
    columns = ("Rank", "Picture", "mIoU by itself", "Boundary F", "Segments")
    yield from table(columns, example_rows(evaluation))
    yield "\n## To know\n"
    yield from (f"- {note}" for note in evaluation.notes)
    yield from (f"- failed: {name}: {message}" for name, message in evaluation.failed)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of a table.

    Args:
        columns: Titles.
        rows: Cells as text.
    """
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    yield from (
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |"
        for row in rows
    )


def score_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """A row for each protocol.

    Args:
        evaluation: With the scores.
    """
    return [
        (
            name,
            _with(scores.miou, scores.intervals["miou"]),
            _with(scores.accuracy, scores.intervals["accuracy"]),
            _with(scores.boundary_f, scores.intervals["boundary_f"]),
        )
        for name, scores in evaluation.scores.items()
    ]


def _with(number: float, ends: Interval) -> str:
    return f"{per_cent(number)} ({per_cent(ends[0])} to {per_cent(ends[1])})"


def published_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """A row for each that a paper has of the data set.

    Args:
        evaluation: With the data set.
    """
    return [
        (
            row.method,
            f"{row.miou:.1f}",
            "–" if row.accuracy is None else f"{row.accuracy:.1f}",
            row.protocol,
            row.source,
        )
        for row in evaluation.published
    ]


def tried_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """A row for each threshold and protocol.

    Args:
        evaluation: With what was tried.
    """
    return [
        (
            str(row.thresholds),
            row.protocol,
            per_cent(row.miou),
            per_cent(row.accuracy),
            per_cent(row.boundary_f),
            f"{row.segments:.1f}",
        )
        for row in evaluation.tried
    ]


def class_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """A row for each class.

    Args:
        evaluation: With the scores.
    """
    scored: list[Scores] = list(evaluation.scores.values())
    return [
        (name, f"{int(scored[0].pixels[at]):,}", *(per_cent(float(scores.iou[at])) for scores in scored))
        for at, name in enumerate(evaluation.dataset.classes)
        if any(scores.pixels[at] or scores.iou[at] == scores.iou[at] for scores in scored)
    ]


def example_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """A row for each picture that is shown.

    Args:
        evaluation: With the pictures.
    """
    return [
        (each.rank, each.name, per_cent(each.miou), per_cent(each.boundary_f), str(each.segments))
        for each in evaluation.examples
    ]
