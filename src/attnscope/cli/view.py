"""`attnscope view`: look at traces in the browser."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from attnscope.cli.output import print_data, say, working

EXAMPLES = """Examples (after `attnscope demo`):

  attnscope view attnscope-demo/run.trace

  attnscope view first.trace second.trace        side by side"""


def view_command(
    traces: Annotated[
        list[Path], typer.Argument(metavar="TRACE", help="Folders of traces; several to compare.")
    ],
    port: Annotated[
        int | None,
        typer.Option("--port", "-p", min=1, max=65535, help="The first free one from 8756 by default."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; beyond this machine a token is asked for.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None, typer.Option("--token", help="What browsers must give; a new one where it is needed.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
) -> None:
    """Open traces in the browser: any place, word, block, head and step, and segments."""
    with ExitStack() as until_ready:
        until_ready.enter_context(working("starting the viewer"))
        from attnscope.viewer import serve

        def ready(address: str) -> None:
            until_ready.close()
            print_data(address)
            sys.stdout.flush()  # into a pipe, too, for it goes on
            say("open it in a browser; Ctrl+C ends")

        serve(*traces, host=host, port=port, token=token, open_browser=browser, ready=ready)
