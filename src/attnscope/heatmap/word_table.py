"""The words of a prompt as a table of numbers: how much attention each gets, where, in which steps and blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any, Literal

from attnscope.errors import ParameterError, missing_extra
from attnscope.heatmap.heat_map import heat_maps
from attnscope.heatmap.result import HeatMap
from attnscope.records import TEXT_KINDS, TokenSpan
from attnscope.spelling import both_spellings
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.selection import pick_number
from attnscope.trace.texts import read_text
from attnscope.trace.trace import Trace

By = Literal["step", "block"]


@both_spellings("steps", "blocks", "heads")
def word_table(
    trace: TraceSource,
    *,
    by: By | Iterable[By] = (),
    steps: int | Sequence[int] | slice | None = None,
    blocks: int | Sequence[int] | None = None,
    heads: int | Sequence[int] | None = None,
    branch: str = "cond",
    image: int = 0,
) -> Any:
    """A pandas table with a row for each word of the prompt, or of the text that another branch reads.

    Columns: `word`; `tokens`, their numbers; `share`, the mean over the picture of the attention that one of its
    tokens receives, 0..1; `peak`, the largest value, and its `peak_row` and `peak_column` on the latent grid; `area`,
    the part of the picture where the map is at least 0.4 of its largest value, 0..1. Every map is the word's
    `heat_map`.

    Args:
        trace: From `attnscope.capture` or `attnscope.load_trace`, or the folder of one.
        by: "step", "block" or both: a row for each word in each of them, with columns of these names.
        steps: As for `heat_map`.
        blocks: As for `heat_map`.
        heads: As for `heat_map`.
        branch: As for `heat_map`.
        image: As for `heat_map`.

    Returns:
        A pandas.DataFrame.

    Raises:
        MissingExtraError: pandas is not installed.
        ParameterError: by names another column.
        SelectionError: The trace lacks something that was chosen.

    Cost: one heat map of all words; with by, one of each step or block, which together cost as much again.
    """
    try:
        import pandas
    except ImportError as error:
        raise missing_extra("word_table", "pandas", "tables") from error
    names = (by,) if isinstance(by, str) else tuple(by)
    if unknown := [name for name in names if name not in ("step", "block")]:
        raise ParameterError(f"by is {unknown[0]!r}; expected 'step', 'block' or both")
    trace = as_trace(trace)
    choice: dict[str, Any] = {"heads": heads, "branch": branch, "image": image}
    spans, rows = read_text(trace.run, branch, image).known_words(), []
    for step, block in product(_each(trace, "step", names, steps), _each(trace, "block", names, blocks)):
        where = {name: value for name, value in (("step", step), ("block", block)) if name in names}
        maps = heat_maps(trace, spans, steps=step, blocks=block, **choice)
        rows += [where | _row(span, heat) for span, heat in zip(spans, maps, strict=True)]
    columns = [*(name for name in ("step", "block") if name in names), *_COLUMNS]
    return pandas.DataFrame(rows, columns=columns)


_COLUMNS = ("word", "tokens", "share", "peak", "peak_row", "peak_column", "area")


def _each(trace: Trace, axis: By, by: Sequence[str], choice: Any) -> Iterator[Any]:
    """The choices that one row each is made of: one by one, or all together."""
    if axis not in by:
        yield choice
        return
    blocks = sorted({layer.block for layer in trace.layers_of_kind(*TEXT_KINDS)})
    there = [step.index for step in trace.steps] if axis == "step" else blocks
    yield from (there[at] for at in pick_number(axis, choice, there).positions)


def _row(span: TokenSpan, heat: HeatMap) -> dict[str, Any]:
    row, column = heat.peak
    return {
        "word": span.word,
        "tokens": span.tokens,
        "share": float(heat.array.mean()),
        "peak": float(heat.array.max()),
        "peak_row": row,
        "peak_column": column,
        "area": float(heat.mask().mean()),
    }
