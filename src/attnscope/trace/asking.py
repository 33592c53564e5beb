"""From what a user asks to a Query: every choice as numbers on its axis, or one clear error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attnscope.errors import ParameterError, SelectionError, WordError
from attnscope.records import PLACE_KINDS, Call, Kind, Layer, Row, Step
from attnscope.records.relations import related, same_part
from attnscope.records.run import images_of
from attnscope.trace.contents import Contents
from attnscope.trace.key_parts import pick_key_places, pick_query, pick_tokens
from attnscope.trace.query import OUTER, Query
from attnscope.trace.selection import Pick, pick_name, pick_number
from attnscope.trace.step_rows import call_of

MEAN_AXES = (*OUTER, "head", "query")


def ask(
    trace: Contents,
    *,
    layer: Any,
    block: int | None,
    kind: Kind | None,
    token: Any,
    key: Any,
    mean: str | Iterable[str],
    part: str | None = None,
    relation: str | None = None,
    call: int | None = None,
    step: Any = None,
    branch: Any = None,
    image: Any = None,
    head: Any = None,
    query: Any = None,
    before_edits: bool = False,
) -> Query:
    """Settle what a user asks: the arguments of `Trace.probabilities`, as a Query.

    Args:
        trace: The pass that is asked.
        layer: In place of block and kind, as `pick_layer` takes it.
        block: Block number, from 1.
        kind: 'self' or 'cross'.
        token: Keys of cross-attention: numbers, or a word.
        key: Keys: places for self-attention, token numbers for cross-attention.
        mean: Axes to average, one name or several.
        part: Which part of the keys key= counts, see `KeyPart`; None is all of them.
        relation: Which part of the layer's attention is meant, such as 'image->text'; None is all of it.
        call: Which call of each step, from 0. None is the main one.
        step: Step numbers. None is all, here and below.
        branch: Names of guidance branches.
        image: Numbers of images.
        head: Head numbers.
        query: Places of the layer's grid; numbers where the queries are others, too.
        before_edits: Whether P is meant as it was before edits changed it.

    Raises:
        SelectionError: The trace lacks something that was chosen.
        ParameterError: No layer, or two, were named; or an axis of mean is unknown.
    """
    asked = pick_layer(trace, layer, block, kind)
    asked = asked if relation is None else related(asked, relation)
    steps = _steps(trace)
    images = images_of(trace.calls)
    if asked.frames > 1:  # the frames are in its sequence: an image is a video, by its first frame
        images = images[:: asked.frames]
    of_images = pick_number("image", image, images)
    of_branches = pick_name("branch", branch, trace.branches)
    rows = [Row(trace.branches[b], images[i]) for b in of_branches.positions for i in of_images.positions]
    picks = {
        "step": pick_number("step", step, [of_step.index for of_step in steps]),
        "branch": of_branches,
        "image": of_images,
        "head": pick_number("head", head, range(asked.heads)),
        "query": pick_query(asked, query),
        "key": _pick_keys(trace, asked, token, key, part, rows),
    }
    return Query(asked, picks, _mean_axes(mean), steps, trace.branches, images, call, before_edits)


def pick_layer(trace: Contents, layer: Any, block: int | None, kind: Kind | None) -> Layer:
    """The layer that a user means.

    Args:
        trace: The pass that has it.
        layer: An entry of `trace.layers`, or whatever `trace.layers[...]` takes. None: block and kind say it.
        block: Block number, from 1.
        kind: 'self' or 'cross'.

    Raises:
        SelectionError: The trace has no such layer.
        ParameterError: No layer was named, or both ways were used.
    """
    if layer is None:
        if block is None or kind is None:
            raise ParameterError(
                "which layer? give block= and kind=, such as block=7, kind='cross', or layer=, an entry of trace.layers"
            )
        return trace.layer(block, kind)
    if block is not None or kind is not None:
        raise ParameterError("layer and block (or kind) both choose the layer: give one of them")
    if isinstance(layer, Layer):
        return same_part(trace.records.layers[layer.record_id], layer)
    which = tuple(layer) if isinstance(layer, list) else layer
    if isinstance(which, bool) or not isinstance(which, (int, str, tuple)):
        raise ParameterError(f"layer {layer!r}: expected a number, (block, kind), a module path or a Layer")
    try:
        return trace.layers[which]
    except (IndexError, TypeError) as error:
        raise SelectionError(
            f"layer {layer!r}: this trace has {len(trace.layers)} layers, {trace.layers!r}"
        ) from error


def pick_call(trace: Contents, step: int | None, call: int | None) -> Call:
    """One call of the model.

    Args:
        trace: The pass that has it.
        step: Step number. None is the first step of the trace.
        call: Number of the call in its step, from 0. None is the main one.

    Raises:
        SelectionError: The trace has no such step or call, or the step has several calls that look alike.
    """
    steps = _steps(trace)
    at = 0 if step is None else pick_number("step", [step], [kept.index for kept in steps]).positions[0]
    return call_of(steps[at], call)


def _steps(trace: Contents) -> tuple[Step, ...]:
    steps = trace.steps
    if not steps:
        raise SelectionError("this trace has no step: the pipeline did not run inside the capture")
    return steps


def _mean_axes(mean: str | Iterable[str]) -> tuple[str, ...]:
    axes = (mean,) if isinstance(mean, str) else tuple(mean)
    if unknown := [axis for axis in axes if axis not in MEAN_AXES]:
        raise ParameterError(f"mean over {unknown}: expected some of {list(MEAN_AXES)}")
    return axes


def _pick_keys(
    trace: Contents, layer: Layer, token: Any, key: Any, part: str | None, rows: Sequence[Row]
) -> Pick:
    if not layer.reads_text:
        if token is not None:
            what = "its keys are places; use key=(row, column)" if layer.kind in PLACE_KINDS else "use key="
            raise SelectionError(f"{layer.id} has no tokens: {what}")
        return pick_key_places(layer, key, part)
    if token is not None and key is not None:
        raise SelectionError("token and key both choose the keys of cross-attention: give one of them")
    if token is None and (part not in (None, "context") or (part is None and layer.parts)):
        return pick_key_places(layer, key, part)
    if part not in (None, "context"):
        raise SelectionError(f"token {token!r} is not in part {part!r}: tokens are those of part 'context'")
    choice = key if token is None else token
    if isinstance(choice, str):
        choice = _tokens_of_word(trace, choice, rows)
    return pick_tokens(layer, choice)


def _tokens_of_word(trace: Contents, word: str, rows: Sequence[Row]) -> list[int]:
    """Numbers of a word's tokens, which must be the same in the text that each row reads."""
    spans: dict[tuple[int, ...], Row] = {}
    for row in rows:
        try:
            spans.setdefault(trace.span(word, image=row.image, branch=row.branch).tokens, row)
        except WordError as error:
            several = len({row.branch for row in rows}) > 1
            which = f"branch {row.branch!r} is chosen, too (branch= chooses one): " if several else ""
            raise WordError(f"{which}{error}") from None
    if len(spans) > 1:
        first, second = list(spans.values())[:2]
        axis = "branch" if first.branch != second.branch else "image"
        raise SelectionError(
            f"token {word!r} has different numbers in different {axis}{'es' if axis == 'branch' else 's'}: "
            f"choose {axis}="
        )
    return list(next(iter(spans)))
