"""The studio as an ASGI application: the viewer's, and what makes pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from attnscope.studio.bringing import Bringing
from attnscope.studio.messages import ModelNamed
from attnscope.studio.routes import Routes
from attnscope.studio.rules import Rules
from attnscope.studio.studio import Studio
from attnscope.trace.trace import Trace
from attnscope.viewer.app import create_app as create_viewer

FOLDER = "attnscope-studio"
"""Where runs are kept, unless another folder is named."""


def create_app(
    model: str | ModelNamed = "demo",
    *,
    folder: str | Path = FOLDER,
    traces: Sequence[Trace | str | Path] = (),
    guests: bool = False,
    files: bool = True,
    keep: int | None = None,
    **gate: Any,
) -> FastAPI:
    """The studio as an ASGI application. The model is loaded when the server starts, in a process of its own.

    Args:
        model: As for `attnscope.load_pipeline`.
        folder: Where runs are kept; those that are there already are shown.
        traces: Further traces to look at, as for the viewer.
        guests: Only the browser that began a run may stop, rename or delete it.
        files: Whether photos and traces may be brought.
        keep: How many runs are kept: with each new one the oldest are deleted, with their files. None: all.
        **gate: hosts, token, address, frame_key and framed_by of `attnscope.viewer.create_app`.

    Raises:
        TraceFormatError: A folder is no trace.
        SelectionError: A trace holds no Q and K.
        ParameterError: No run would be kept.
    """
    rules = Rules(guests, files, keep)
    named = ModelNamed(model) if isinstance(model, str) else model
    app = create_viewer(traces, **gate)
    answers = app.state.answers
    studio = Studio(named, Path(folder), answers.shelf, rules)
    answers.has_studio = True
    answers.starts.append(studio.start)
    answers.ends.append(studio.close)
    app.state.wakes = [studio.ledger.changes.close]
    app.state.studio = studio
    Routes(studio).add_to(app)
    Bringing(studio).add_to(app)
    return app
