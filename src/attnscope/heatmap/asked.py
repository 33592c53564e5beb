"""Which tokens are asked for, and of which guidance branch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from attnscope.errors import ParameterError, WordError
from attnscope.heatmap.picture_keys import picture_span, picture_spans
from attnscope.records import TEXT_KINDS, Kind, Layer, TokenSpan
from attnscope.trace.rereading.reread import RereadRecords
from attnscope.trace.selection import pick_number
from attnscope.trace.texts import read_text
from attnscope.trace.trace import Trace

Word = str | int | TokenSpan
Preset = Literal["daam", "ovam"]


def spans_of(
    trace: Trace, words: Word | Sequence[Word] | None, branch: str, image: int, kind: Kind
) -> Sequence[TokenSpan]:
    """The tokens of each word; of every one where none is given.

    Args:
        trace: Of one pass.
        words: As for `heat_maps`.
        branch: Guidance branch, whose own text is meant.
        image: Number of the image in the batch.
        kind: As for `heat_map`.

    Raises:
        WordError: The branch's text does not hold a word.
    """
    if words is None:
        is_text = kind == "cross"
        return read_text(trace.run, branch, image).known_words() if is_text else picture_spans(trace, kind)
    several = [words] if isinstance(words, (str, int, TokenSpan)) else words
    if kind != "cross":
        return [picture_span(trace, word, kind) for word in several]
    return [as_span(trace, word, branch, image, 0) for word in several]


def read_branch(trace: Trace, branch: str | None, reduced: str | None) -> str:
    """The guidance branch that is read.

    Args:
        trace: Of one pass.
        branch: As for `heat_map`.
        reduced: As for `heat_map`.

    Raises:
        ParameterError: The reduced maps are of another branch.
    """
    if reduced is None:
        return branch or "cond"
    kept = trace.reduced_maps(reduced, "cross").reduction.branch
    if branch not in (None, kept):
        raise ParameterError(
            f"branch {branch!r}: the reduced maps {reduced!r} are of {kept!r}; leave branch out"
        )
    return kept


def as_span(trace: Trace, word: Word, branch: str, image: int, occurrence: int) -> TokenSpan:
    """The tokens of a word.

    Args:
        trace: Of one pass.
        word: A word or phrase, a token number, or a span.
        branch: Guidance branch, whose own text is meant.
        image: Number of the image in the batch.
        occurrence: Which one of several such words, from 0.

    Raises:
        WordError: The branch's text does not hold the word.
    """
    if isinstance(word, TokenSpan):
        return word
    if isinstance(word, (int, np.integer)):
        tokens = trace.tokens(image, branch)
        text = tokens[word].text if 0 <= word < len(tokens) else f"[{word}]"
        return TokenSpan(text, 0, 0, (int(word),))
    try:
        return trace.span(word, image=image, occurrence=occurrence, branch=branch)
    except WordError as error:
        if not trace.records.projections or isinstance(trace.records, RereadRecords):
            raise
        raise WordError(f"{error}; to read it anyway: open_words=True, pipe=pipe") from None


def key_axis(layer: Layer) -> str:
    """What `probabilities` calls the keys of a layer: tokens of the text, or just keys.

    Args:
        layer: The layer.
    """
    return "token" if layer.reads_text else "key"


def layers_that_read(trace: Trace, kind: Kind, blocks: Any, preset: Preset | None = None) -> list[Layer]:
    """The layers that read the text, or an adapter's pictures; without a choice those that a preset takes.

    Args:
        trace: Of one pass.
        kind: As for `heat_map`.
        blocks: As for `heat_map`.
        preset: As for `heat_map`.

    Raises:
        SelectionError: The trace has no such layers.
    """
    layers = trace.layers_of_kind(*(TEXT_KINDS if kind == "cross" else (kind,)))
    numbers = sorted({layer.block for layer in layers})
    wanted = {numbers[at] for at in pick_number("block", blocks, numbers).positions}
    chosen = [layer for layer in layers if layer.block in wanted]
    if preset is None or blocks is not None:
        return chosen
    coarsest = min(layer.grid.places for layer in chosen)
    is_taken = {
        "daam": lambda layer: layer.grid.places > coarsest,
        "ovam": lambda layer: layer.stage != "mid",
    }
    return [layer for layer in chosen if is_taken[preset](layer)] or chosen
