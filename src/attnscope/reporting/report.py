"""One page about a trace: what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from attnscope.errors import ParameterError, SelectionError
from attnscope.explaining.explain import explain
from attnscope.explaining.reading import Vocabulary, known_words
from attnscope.explaining.result import Explanation
from attnscope.files import check_free
from attnscope.measuring.result import AttentionStatistics
from attnscope.measuring.statistics import statistics
from attnscope.records import PLACE_KINDS, TEXT_KINDS
from attnscope.reporting.gaps import gaps_of
from attnscope.reporting.result import Report, check_ending
from attnscope.segmentation.result import Segmentation
from attnscope.segmentation.segment import segment_trace
from attnscope.spelling import both_spellings
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.selection import pick_name, pick_number
from attnscope.trace.texts import read_text
from attnscope.trace.trace import Trace

NUMBERS = 5e9
"""So many numbers of P are computed for the statistics where steps are not chosen: half a minute on one core."""
Progress = Callable[[int, int], None]
Made = TypeVar("Made")


@both_spellings("steps")
def report(
    trace: TraceSource,
    path: str | Path | None = None,
    *,
    steps: int | Sequence[int] | slice | None = None,
    branch: str = "cond",
    image: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """One self-contained page about a trace, for a browser, mail or a paper's supplement.

    The picture and its settings, each word's map with what became of the word, segments, and statistics of attention by
    block, head and step. What the trace does not hold is said on the page.

    Args:
        trace: From `attnscope.capture` or `attnscope.load_trace`, or the folder of one; of one pass.
        path: File to write, such as report.html. Default: none; `Report.save` writes it.
        steps: Steps of the statistics. Default: as many, evenly spaced, as take half a minute; the page says which.
        branch: Guidance branch.
        image: Which picture of the batch, from 0.
        overwrite: Write over a file that is there already.
        progress: Called as progress(done, total).

    Returns:
        The page, `.save(path)`, `.html()`, and its numbers, `.to_dict()`.

    Raises:
        SelectionError: The trace has several passes, or no such branch, image or step.
        OutputError: The file is there already, or can't be written.

    Cost: heat maps of all words, segments of all steps, and P of the statistics' steps; a page of 0.1 to 1 MB.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> with attnscope.capture(pipe) as trace:
    ...     result = pipe("a red house", num_inference_steps=2)
    >>> attnscope.report(trace).html().startswith("<!doctype html>")
    True
    """
    trace = as_trace(trace)
    if path is not None:
        check_ending(Path(path))
        check_free([Path(path)], overwrite=overwrite)
    pick_number("image", image, range(trace.images))
    if trace.branches:
        pick_name("branch", branch, trace.branches)
    pick_number("step", steps, [step.index for step in trace.steps])
    made = _make(trace, steps, branch, image, progress or (lambda done, total: None))
    if path is not None:
        made.save(path, overwrite=overwrite)
    return made


def _make(
    trace: Trace, steps: int | Sequence[int] | slice | None, branch: str, image: int, progress: Progress
) -> Report:
    refused: list[str] = []
    layers = trace.layers
    total = len(layers) + 2
    has_places = any(layers.of_kind(kind) for kind in PLACE_KINDS)
    segments = _tried(lambda: _segments(trace, branch, image), "segments", refused) if has_places else None
    progress(1, total)
    words = _tried(lambda: _explained(trace, branch, image, segments), "words", refused)
    progress(2, total)
    measured: AttentionStatistics | None = None
    if layers and trace.steps:
        chosen = _spaced(trace) if steps is None else steps
        measured = _tried(
            lambda: statistics(
                trace,
                steps=chosen,
                branch=branch,
                image=image,
                progress=lambda done, _: progress(done + 2, total),
            ),
            "statistics",
            refused,
        )
    return Report(
        trace, branch, image, words, segments, measured, (*gaps_of(trace, branch, image, measured), *refused)
    )


def _tried(make: Callable[[], Made], what: str, refused: list[str]) -> Made | None:
    """A part of the page; None where the trace lacks what it is made of, which the page then says."""
    try:
        return make()
    except (SelectionError, ParameterError) as error:
        refused.append(f"No {what}: {error}.")
        return None


def _explained(trace: Trace, branch: str, image: int, segments: Segmentation | None) -> Explanation:
    return explain(trace, branch=branch, image=image, segments=segments if segments is not None else False)


def _segments(trace: Trace, branch: str, image: int) -> Segmentation:
    """Segments, named by the words of the text that may show something if there are any."""
    words = known_words(read_text(trace.run, branch, image), Vocabulary(trace)) if _reads_text(trace) else []
    names = {read.word.casefold(): read.word for read in reversed(words) if read.is_content}
    return segment_trace(trace, branch=branch, image=image, labels=list(names.values())[::-1] or None)


def _reads_text(trace: Trace) -> bool:
    return any(trace.layers.of_kind(kind) for kind in TEXT_KINDS)


def _spaced(trace: Trace) -> list[int]:
    """Steps, first and last among them, whose statistics take about half a minute together."""
    steps = [step.index for step in trace.steps]
    of_step = sum(layer.heads * layer.grid.places * layer.keys for layer in trace.layers)
    count = min(len(steps), max(2, int(NUMBERS / max(of_step, 1))))
    return sorted({steps[round(at * (len(steps) - 1) / max(count - 1, 1))] for at in range(count)})
