"""The whole computation of one place of one layer: q, K, scores, scale, softmax, the row of P, what V brings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from torch import Tensor

from attnscope.errors import ParameterError, SelectionError
from attnscope.probability.inputs import located
from attnscope.probability.one_row import OneRow, one_row
from attnscope.records import Grid, Kind, Layer
from attnscope.records.parts import KeyPart
from attnscope.records.qkv import Record
from attnscope.trace.asking import ask
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.query import Query, row_of_record

PLACES = ("own", "reference")
"""Parts of a layer's keys that are places of a grid."""


class KeySection(NamedTuple):
    """A run of a layer's keys that come from one source.

    Attributes:
        name: 'own' (the layer's own places), 'context' (the text), or another of `KeyPart`.
        first: Number of its first key.
        keys: How many keys.
        grid: Height and width where the keys are the places of a picture, row by row; None for others.
        frame: Of a video the number of the frame whose places they are; None for pictures.
    """

    name: str
    first: int
    keys: int
    grid: Grid | None = None
    frame: int | None = None


@dataclass(frozen=True)
class Computation:
    """The attention of one place, step by step.

    Attributes:
        layer: The layer, all of its softmax.
        row: The numbers, one for each key of the layer.
        sections: Where the keys come from, in order.
        query: Number of the place among the queries of the layer.
        is_edited: Whether an edit changed the row before it met V.
        is_masked: Whether a mask was added to the scores, or hid keys.
    """

    layer: Layer
    row: OneRow
    sections: tuple[KeySection, ...]
    query: int
    is_edited: bool
    is_masked: bool


def computation(
    trace: TraceSource,
    *,
    block: int,
    kind: Kind,
    step: int,
    head: int,
    query: tuple[int, int] | int,
    branch: str = "cond",
    image: int = 0,
) -> Computation:
    """The whole computation of one place of one layer, every number on the way to its result.

    A part of a joint attention has no softmax of its own: where the picture and the text are in one softmax, 'self' and
    'cross' give the same row, over the keys of both.

    Args:
        trace: Of one pass. With `capture(pipe, value=True)` it also says what V brings.
        block: Block number, from 1.
        kind: 'self', 'cross' or a rarer one.
        step: Step number.
        head: Head number.
        query: The place, as (row, column) of the layer's grid or as a flat number.
        branch: Guidance branch.
        image: Which picture of the batch.

    Raises:
        SelectionError: The trace lacks something that was chosen.
        ParameterError: More than one step, head, place, branch or image was chosen.
        NumbersError: Q, K or a mask holds numbers that give no attention.

    Cost: one product of K and q in float64.

    >>> from attnscope.testing import made_trace
    >>> trace = made_trace()
    >>> one = computation(trace, block=1, kind="cross", step=0, head=0, query=(2, 3))
    >>> one.sections
    (KeySection(name='context', first=0, keys=5, grid=None, frame=None),)
    >>> share = one.row.probability[2]
    >>> share == (one.row.scaled[2] - one.row.largest).exp() / one.row.total
    tensor(True)
    """
    trace = as_trace(trace)
    choice: dict[str, Any] = {"step": step, "head": head, "query": query, "branch": branch, "image": image}
    asked = ask(trace, layer=None, block=block, kind=kind, token=None, key=None, mean=(), **choice)
    _check_single(asked, choice)
    (part,) = asked.parts
    if not trace.records.has(part.call.index, asked.layer.record_id):
        raise SelectionError(f"step {step} has no record of {asked.layer.id}: that layer did not run there")
    record = trace.records.get(part.call.index, asked.layer.record_id)
    row = row_of_record(record, asked.layer, part)
    whole = trace.records.layers[asked.layer.record_id]
    heads, queries, _ = asked.inner_picks(part.frame)
    at = (row, heads.positions[0], queries.positions[0])
    with located(f"{asked.layer.id} in step {part.call.step}"):
        numbers = _row_of(record, *at)
    return Computation(
        layer=whole,
        row=numbers,
        sections=tuple(key_sections(whole)),
        query=at[2],
        is_edited=record.edited is not None,
        is_masked=record.mask is not None,
    )


def key_sections(layer: Layer) -> Iterator[KeySection]:
    """Where the keys of a layer come from, in order: a text's parts together, the frames of a video one by one.

    Args:
        layer: The layer, all of its softmax.
    """
    first = 0
    parts = layer.parts or (KeyPart(layer.usual_part, layer.keys),)
    for name, of_name in groupby(parts, lambda part: part.name.partition("/")[0]):
        keys = sum(part.keys for part in of_name)
        frames, rest = divmod(keys, layer.grid.places)
        if name in PLACES and not rest:
            for frame in range(frames):
                number = frame if frames > 1 else None
                start = first + frame * layer.grid.places
                yield KeySection(name, start, layer.grid.places, layer.grid, number)
        else:
            yield KeySection(name, first, keys)
        first += keys


def _check_single(asked: Query, choice: dict[str, Any]) -> None:
    for axis, chosen in choice.items():
        if not asked.picks[axis].single:
            raise ParameterError(
                f"{axis} is {chosen!r}: a computation is that of one {axis}; choose one, as in the docstring of "
                "attnscope.places.computation"
            )


def _row_of(record: Record, row: int, head: int, query: int) -> OneRow:
    return one_row(
        record.query[row, head, query],
        record.key[row, head],
        None if record.value is None else record.value[row, head],
        scale=record.scale,
        mask=None if record.mask is None else _mask_row(record.mask, row, head, query),
        used=None if record.edited is None else record.edited[row, head, query],
    )


def _mask_row(mask: Tensor, *at: int) -> Tensor:
    """The mask of one query; an axis of length 1 stands for all."""
    for number in at:
        mask = mask[number if len(mask) > 1 else 0]
    return mask
