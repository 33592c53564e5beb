"""The scale that the maps of all words share: what is asked and answered."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import FastAPI, Request, Response

from attnscope.places import View, block_words_maxima, head_words_maxima, words_maximum
from attnscope.trace.trace import Trace
from attnscope.viewer.answers import Answers
from attnscope.viewer.questions import Each, Views
from attnscope.viewer.schemas import Tops


def add_routes(app: FastAPI, answers: Answers) -> None:
    """The largest value of all words' maps, at /api/traces/NUMBER/tops.

    Args:
        app: The server.
        answers: Those of its traces.
    """

    @app.get("/api/traces/{number}/tops", response_model=Tops)
    def _tops(request: Request, number: int, view: Views, each: Each = "view") -> Response:
        """The largest value of all words' maps, in the view or in each block and in their mean, or in each head."""
        trace = answers.open(number).trace
        return answers.answer(request, number, "application/json", lambda: _pack(_maxima(trace, view, each)))


def _maxima(trace: Trace, view: View, each: Each) -> Iterable[tuple[int | None, float]]:
    if each == "block":
        return block_words_maxima(trace, view)
    if each == "head":
        return head_words_maxima(trace, view)
    return [(view.block, words_maximum(trace, view))]


def _pack(maxima: Iterable[tuple[int | None, float]]) -> bytes:
    numbers, values = zip(*maxima, strict=True)
    return Tops(numbers=list(numbers), maxima=list(values)).model_dump_json().encode()
