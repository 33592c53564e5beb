"""`attnscope heatmap --open`: words that are not in the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attnscope.cli.loading import load
from attnscope.errors import ParameterError, SelectionError

if TYPE_CHECKING:
    from attnscope.records import TokenSpan
    from attnscope.trace.trace import Trace


def readings_of(
    trace: Trace,
    words: Sequence[str] | None,
    context: str | None,
    model: dict[str, Any],
    *,
    kind: str,
    **where: Any,
) -> list[tuple[Trace, Sequence[TokenSpan]]]:
    """The trace as each text reads it, and the tokens that are meant.

    Args:
        trace: A trace of one pass.
        words: Words or phrases. None: all of the context.
        context: A text that has them, None for each by itself.
        model: As for `load`; without a model, the one that the trace names.
        kind: As for `attnscope.heat_map`.
        **where: Branch, image and occurrence.

    Raises:
        SelectionError: The trace does not hold how keys of a text are made.
        ParameterError: There are no words, or no model is known.
        WordError: The context lacks a word.
    """
    from attnscope.heatmap.open_words import OpenText, check_open, read_openly

    check_open(kind, None)
    if not trace.records.projections:
        raise SelectionError(
            "this trace does not hold how its layers turn a text into keys: make it with `attnscope generate "
            "--open-words`"
        )
    if not words and context is None:
        raise ParameterError(
            "--open: no words are given. Name them, or give a text that contains them with --context"
        )
    if (known := model["model"] or trace.run.model) is None:
        raise ParameterError("--open: the trace does not name its model: give it with --model")
    pipe = load(**{**model, "model": str(known)})
    return list(read_openly(trace, words or None, OpenText(context, pipe, None, None), **where))
