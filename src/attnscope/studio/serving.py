"""Run the studio on this machine and open the browser at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attnscope.studio.app import FOLDER, create_app
from attnscope.studio.messages import ModelNamed
from attnscope.trace.trace import Trace
from attnscope.viewer.serving import serve_app


def serve(
    model: str | ModelNamed = "demo",
    *traces: Trace | str | Path,
    folder: str | Path = FOLDER,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    open_browser: bool = True,
    ready: Callable[[str], None] = print,
) -> None:
    """Make pictures and look at their attention in the browser, until interrupted.

    Args:
        model: As for `attnscope.load_pipeline`.
        traces: Further traces to look at.
        folder: Where runs are kept; those that are there already are shown.
        host: See `attnscope.viewer.serve`.
        port: See `attnscope.viewer.serve`.
        token: See `attnscope.viewer.serve`.
        open_browser: See `attnscope.viewer.serve`.
        ready: See `attnscope.viewer.serve`.

    Raises:
        ParameterError: There is no host, or the port can't be had.
        TraceFormatError: A folder is no trace.
    """
    serve_app(
        lambda token: create_app(model, folder=folder, traces=traces, token=token),
        host=host,
        port=port,
        token=token,
        open_browser=open_browser,
        ready=ready,
    )
