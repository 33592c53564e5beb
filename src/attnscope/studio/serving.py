"""Run the studio on this machine and open the browser at it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from attnscope.studio.app import FOLDER, create_app
from attnscope.studio.messages import ModelNamed
from attnscope.trace.trace import Trace
from attnscope.viewer.serving import Viewer, serve_app


def serve(
    model: str | ModelNamed = "demo",
    *traces: Trace | str | Path,
    folder: str | Path = FOLDER,
    guests: bool = False,
    files: bool = True,
    keep: int | None = None,
    **served: Any,
) -> Viewer:
    """Make pictures and look at their attention in the browser, until interrupted; in a notebook below the cell.

    Args:
        model: As for `attnscope.load_pipeline`.
        *traces: Further traces to look at.
        folder: Where runs are kept; those that are there already are shown.
        guests: Only the browser that began a run may stop, rename or delete it.
        files: Whether photos and traces may be brought.
        keep: How many runs are kept: with each new one the oldest are deleted, with their files. None: all.
        **served: host, port, token, address, framed_by, open_browser, height and ready of `attnscope.viewer.serve`.

    Returns:
        What is running, with `.address` and `.close()`. Outside of notebooks it has ended by then.

    Raises:
        ParameterError: There is no host, the address is none, the port can't be had, or no run would be kept.
        TraceFormatError: A folder is no trace.

    Cost: a process of its own for the model.
    """
    app = partial(create_app, model, folder=folder, traces=traces, guests=guests, files=files, keep=keep)
    return serve_app(app, **served)
