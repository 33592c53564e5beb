"""What is asked of one layer's P, settled as numbers on its axes, and the answer: one loop over batch rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attnscope.errors import ParameterError, SelectionError, describe_numbers
from attnscope.probability import reduce, reduce_given
from attnscope.probability.choose import check_writable
from attnscope.probability.inputs import check_mask, located, working_dtype
from attnscope.records import Call, Layer, LayerId, Step
from attnscope.records.qkv import Record
from attnscope.storage.memory import Records
from attnscope.trace.selection import Pick, shifted
from attnscope.trace.step_rows import PartialMeanWarning, has_rows, row_of

OUTER = ("step", "branch", "image")
INNER = ("head", "query", "key")


class Part(NamedTuple):
    """One batch row of one call, and where it goes in the answer.

    Attributes:
        call: The call.
        row: Number of the row in the call's batch.
        frame: Number of the image's frame among those of the row.
        place: Its numbers on the outer axes that are kept.
    """

    call: Call
    row: int
    frame: int
    place: tuple[int, ...]


@dataclass(frozen=True)
class Query:
    """A question about one layer's P, settled: numbers on every axis.

    Attributes:
        layer: The layer.
        picks: Numbers on each axis, OUTER then INNER.
        averaged: Axes to average.
        steps: Steps of the trace; the pick of 'step' counts them.
        branches: Branches of the trace, likewise.
        images: Images of the trace, likewise.
        call: Which call of each step, from 0. None is the main one.
        before_edits: Whether P is meant as it was before edits changed it.
    """

    layer: Layer
    picks: Mapping[str, Pick]
    averaged: tuple[str, ...]
    steps: Sequence[Step]
    branches: Sequence[str]
    images: Sequence[int]
    call: int | None = None
    before_edits: bool = False

    @property
    def kept(self) -> dict[str, Pick]:
        """The picks of the axes that are not averaged."""
        return {axis: pick for axis, pick in self.picks.items() if axis not in self.averaged}

    @property
    def axes(self) -> tuple[str, ...]:
        """Axes of the answer: a choice by a single number drops its axis, and so does a mean."""
        return tuple(axis for axis, pick in self.kept.items() if not pick.single)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the answer, before single axes are dropped."""
        return tuple(len(pick.positions) for pick in self.kept.values())

    def inner_picks(self, frame: int) -> tuple[Pick, Pick, Pick]:
        """Numbers of heads, queries and keys in the layer's record, of which the layer may be a part.

        Args:
            frame: Number of the frame in its row.
        """
        heads, queries, keys = (self.picks[axis] for axis in INNER)
        if self.layer.view is None:
            return heads, queries, keys
        first_query, first_key = self.layer.view.at(frame)
        return heads, shifted(queries, first_query), shifted(keys, first_key)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Every batch row that goes into the answer.

        Raises:
            SelectionError: A step lacks one of the rows.
        """
        return tuple(self._parts())

    @property
    def share(self) -> float:
        """The share that each part has in its place of the answer."""
        places = prod(len(self.picks[axis].positions) for axis in OUTER if axis not in self.averaged)
        return places / len(self.parts)

    def _parts(self) -> Iterator[Part]:
        outer = [enumerate(self.picks[axis].positions) for axis in OUTER]
        for of_part in product(*outer):
            (_, step), (_, branch), (_, image) = of_part
            number = self.images[image]
            call, row = row_of(self.steps[step], self.call, self.branches[branch], number)
            places = tuple(
                at for axis, (at, _) in zip(OUTER, of_part, strict=True) if axis not in self.averaged
            )
            yield Part(call, row, number - call.rows[row].image, places)

    def over_steps_with(self, has: Callable[[int, LayerId], bool]) -> Query:
        """The same question, where a mean over steps leaves out those that lack the layer or one of the rows.

        Args:
            has: Whether there is a record of a call, by its number, and a layer.

        Raises:
            SelectionError: No step has them, or several calls of a step look alike.

        Warns:
            PartialMeanWarning: Some steps are left out.
        """
        if "step" not in self.averaged:
            return self
        asked = self.picks["step"].positions
        there = [at for at in asked if self._is_there(self.steps[at], has)]
        if len(there) == len(asked):
            return self
        left_out = describe_numbers(sorted(self.steps[at].index for at in {*asked} - {*there}))
        branches = ", ".join(repr(self.branches[at]) for at in self.picks["branch"].positions)
        lacking = f"{self.layer.id}, or a row of branch {branches}"
        if not there:
            raise SelectionError(f"steps {left_out} all lack {lacking}")
        used = describe_numbers(sorted(self.steps[at].index for at in there))
        warnings.warn(
            f"mean over steps {used}: steps {left_out} lack {lacking}", PartialMeanWarning, stacklevel=5
        )
        return replace(self, picks={**self.picks, "step": Pick(there, False)})

    def _is_there(self, step: Step, has: Callable[[int, LayerId], bool]) -> bool:
        branches = [self.branches[at] for at in self.picks["branch"].positions]
        images = [self.images[at] for at in self.picks["image"].positions]
        return has_rows(
            step, self.call, product(branches, images), lambda call: has(call, self.layer.record_id)
        )


def answer(query: Query, records: Records, into: Tensor | None = None) -> Tensor:
    """P as asked. Each part is added where it belongs, so nothing of the answer's size is held twice.

    Args:
        query: The question.
        records: Where Q and K are.
        into: A tensor of the answer's shape, to which the answer is added.

    Raises:
        SelectionError: A step lacks a row or a layer that was asked for.
        NumbersError: Q, K or a mask holds numbers that give no attention.
    """
    kept = query.kept.values()
    dropped = tuple(0 if pick.single else slice(None) for pick in kept)
    if into is None and len(query.parts) == 1:
        (part,) = query.parts
        only = _located(query, records, part, 1.0, None)
        return only[(None,) * len(part.place)][dropped]
    whole = into[tuple(None if pick.single else slice(None) for pick in kept)] if into is not None else None
    whole = _zeros(query, records) if whole is None else whole
    for part in query.parts:
        _located(query, records, part, query.share, whole[part.place])
    return whole[dropped] if into is None else into


def _zeros(query: Query, records: Records) -> Tensor:
    first = _record(query, records, query.parts[0]).query
    with torch.inference_mode(False):  # threads write into it, which have no such mode
        return torch.zeros(query.shape, dtype=working_dtype(first), device=first.device)


def check_into(query: Query, into: Tensor) -> None:
    """Refuse `into=` for an answer of more than one map, or of another shape.

    Args:
        query: The question.
        into: What the answer is to be added to.

    Raises:
        ParameterError: Step, branch or image is an axis of the answer, or it does not fit or can't be written.
    """
    check_writable(into)
    if several := [axis for axis in OUTER if axis in query.axes]:
        raise ParameterError(f"into takes one map: choose one {', '.join(several)}, or average over it")
    shape = tuple(len(pick.positions) for pick in query.kept.values() if not pick.single)
    if tuple(into.shape) != shape or not into.is_floating_point():
        raise ParameterError(
            f"into has shape {tuple(into.shape)} and type {into.dtype}; the answer has shape {shape} and is float32"
        )


def _record(query: Query, records: Records, part: Part) -> Record:
    call, layer = part.call, query.layer
    if not records.has(call.index, layer.record_id):
        raise SelectionError(f"step {call.step} has no record of {layer.id}: that layer did not run there")
    return records.get(call.index, layer.record_id)


def row_of_record(record: Record, layer: Layer, part: Part) -> int:
    """Where a row of the call is in a record.

    Args:
        record: The record.
        layer: Its layer.
        part: The call and the row.

    Raises:
        SelectionError: The layer computed no attention for this row, as for the perturbed rows of PAG.
    """
    place = record.place_of(part.row)
    if place is None:
        branch = part.call.rows[part.row].branch
        raise SelectionError(
            f"{layer.id} computed no attention for the branch {branch!r}: something else stood in for it there, as the "
            "identity does in perturbed-attention guidance; choose another branch="
        )
    return place


def _located(query: Query, records: Records, part: Part, share: float, into: Tensor | None) -> Tensor:
    with located(f"{query.layer.id} in step {part.call.step}"):
        return _of_row(query, records, part, share, into)


def _of_row(query: Query, records: Records, part: Part, share: float, into: Tensor | None) -> Tensor:
    """P of one batch row at the picked positions, averaged over inner axes where asked, times share."""
    record = _record(query, records, part)
    row = row_of_record(record, query.layer, part)
    heads, queries, keys = query.inner_picks(part.frame)
    if record.edited is not None and not query.before_edits:
        of_row: Callable[..., Tensor] = partial(
            reduce_given, _take(_take(record.edited[row], 0, heads), 1, queries)
        )
    else:
        of_row = _before_edits(record, row, heads, queries)
    columns = _neighbours(keys) or torch.tensor(keys.positions, device=record.key.device)
    over = tuple(axis for axis in ("head", "query") if axis in query.averaged)
    if not over:
        left = of_row(columns=columns)
        return left if into is None else into.add_(left, alpha=share)
    length = len((heads, queries)[("head", "query").index(over[0])].positions)
    weights: dict[str, Tensor] = {over[0]: torch.full([length], share / length, dtype=torch.float64)}
    return of_row(columns=columns, over=over, weights=weights, into=into)


def _before_edits(record: Record, row: int, heads: Pick, queries: Pick) -> Callable[..., Tensor]:
    """Sums over the P that Q and K of one row give."""
    q, k = _take(record.query[row], 0, heads), _take(record.key[row], 0, heads)
    mask = None if record.mask is None else _mask_of_row(record, row, heads, queries)
    return partial(reduce, _take(q, 1, queries), k, scale=record.scale, mask=mask)


def _take(tensor: Tensor, axis: int, pick: Pick) -> Tensor:
    if (these := _neighbours(pick)) is not None:
        return tensor.narrow(axis, these.start, len(these))
    return tensor.index_select(axis, torch.tensor(pick.positions, device=tensor.device))


def _neighbours(pick: Pick) -> range | None:
    """Positions that follow each other, which are read where they lie; None for others."""
    first = pick.positions[0] if pick.positions else 0
    these = range(first, first + len(pick.positions))
    return these if pick.positions == these or list(pick.positions) == list(these) else None


def _mask_of_row(record: Record, row: int, heads: Pick, queries: Pick) -> Tensor:
    mask: Any = record.mask
    of_row = mask[row if mask.shape[0] > 1 else 0]
    check_mask(of_row, (*record.query.shape[1:3], record.key.shape[2]))
    if of_row.shape[0] > 1:
        of_row = _take(of_row, 0, heads)
    return _take(of_row, 1, queries) if of_row.shape[1] > 1 else of_row
