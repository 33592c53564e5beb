"""Answers of the page's lessons: for one place of one layer the whole computation, from the trace's own Q, K and V."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response

from attnscope.errors import ParameterError
from attnscope.places import Box, Computation, View, computation
from attnscope.records import Layer
from attnscope.trace.trace import Trace
from attnscope.viewer import encoding
from attnscope.viewer.answers import BINARY, Answers
from attnscope.viewer.learning_forms import (
    ComputationInfo,
    KeysInfo,
    LessonInfo,
    LessonKind,
    LessonLayer,
    NumbersFormat,
    OnePlace,
    OneView,
    SectionInfo,
)

MOST_KEY_NUMBERS = 2**22
"""Of K that a page gets: 16 MiB. 4096 keys of dim 40 are 163,840; 16,384 of dim 128 are 2,097,152."""
MOST_TOP = 24


class Lessons:
    """The answers of a server's lessons.

    Args:
        answers: The server's answers, with its traces and its cache.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def add_routes(self, app: FastAPI) -> None:
        app.get("/api/traces/{number}/lesson", response_model=LessonInfo)(self.lesson)
        app.get("/api/traces/{number}/computation", response_class=Response)(self.computation)
        app.get("/api/traces/{number}/keys", response_class=Response)(self.keys)

    def lesson(self, number: int) -> LessonInfo:
        """The guidance scale, and the layers of the model with the shapes of their tensors."""
        trace = self._answers.open(number).trace
        return LessonInfo(
            guidance_scale=trace.run.guidance_scale, layers=[_lesson_layer(layer) for layer in trace.layers]
        )

    def computation(
        self,
        request: Request,
        number: int,
        view: OneView,
        place: OnePlace,
        kind: LessonKind = "self",
        format: NumbersFormat = "f32",
    ) -> Response:
        """The computation of one place: q, and of every key its score, scaled score, exponential and share, then what V
        brings. `attnscope.places.computation`, as float32."""
        trace = self._answers.open(number).trace

        def make() -> bytes:
            one, cell = _computed(trace, view, kind, place)
            arrays = _arrays(one)
            if format == "npz":
                return encoding.npz(**arrays)
            return encoding.pack_numbers(_info(one, view, kind, cell).model_dump_json(), arrays)

        return self._answers.answer(request, number, BINARY, make)

    def keys(self, request: Request, number: int, view: OneView, kind: LessonKind = "self") -> Response:
        """K of one head, and V where the trace has it, as float32: the same for every place."""
        trace = self._answers.open(number).trace

        def make() -> bytes:
            one, _ = _computed(trace, view, kind, Box.of_place(0, 0))
            row, value = one.row, one.row.value
            if row.key.numel() > MOST_KEY_NUMBERS:
                raise ParameterError(
                    f"K of {one.layer.id} is {row.key.numel():,} numbers a head; the page shows at most "
                    f"{MOST_KEY_NUMBERS:,}: use attnscope.places.computation in Python"
                )
            head = KeysInfo(kind=kind, has_value=value is not None, **_chosen(view))
            arrays = {"key": row.key.cpu().numpy()}
            if value is not None:
                arrays["value"] = value.cpu().numpy()
            return encoding.pack_numbers(head.model_dump_json(), arrays)

        return self._answers.answer(request, number, BINARY, make)


def _lesson_layer(layer: Layer) -> LessonLayer:
    facts = layer.as_dict()
    return LessonLayer(**{name: facts[name] for name in LessonLayer.model_fields})


def _chosen(view: View) -> dict[str, Any]:
    return {name: getattr(view, name) for name in ("block", "head", "step", "branch", "image")}


def _computed(trace: Trace, view: View, kind: LessonKind, place: Box) -> tuple[Computation, tuple[int, int]]:
    """The computation, and (row, column) of the place on the layer's grid."""
    assert view.block is not None
    grid = trace.layer(view.block, kind).grid
    (cell,) = place.cells(grid)
    return computation(trace, kind=kind, query=cell, **_chosen(view)), divmod(cell, grid.width)


def _arrays(one: Computation) -> dict[str, np.ndarray]:
    row = one.row
    arrays = {
        "query": row.query,
        "scores": row.scores,
        "scaled": row.scaled,
        "exponentials": row.exponentials,
        "probability": row.probability,
    }
    if row.added is not None:
        arrays["added"] = row.added
    if one.is_edited:
        arrays["used"] = row.used
    if row.value is not None:
        arrays |= {"output": row.output, "adds": row.adds}
    return {name: tensor.cpu().numpy() for name, tensor in arrays.items()}


def _info(one: Computation, view: View, kind: LessonKind, cell: tuple[int, int]) -> ComputationInfo:
    row = one.row
    keys, dim = row.key.shape
    top = row.used.argsort(descending=True, stable=True)[:MOST_TOP]
    return ComputationInfo(
        kind=kind,
        row=cell[0],
        column=cell[1],
        query=one.query,
        keys=keys,
        dim=dim,
        scale=row.scale,
        largest=row.largest,
        total=row.total,
        top=top.tolist(),
        sections=[SectionInfo(**section._asdict()) for section in one.sections],
        edited=one.is_edited,
        masked=one.is_masked,
        has_value=row.value is not None,
        **_chosen(view),
    )
