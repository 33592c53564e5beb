"""`attnscope view`: look at traces in the browser."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from attnscope.cli.options import Browser, Host, Port, Token
from attnscope.cli.output import print_data, say, working
from attnscope.cli.studio import studio_command

EXAMPLES = """Examples (after `attnscope demo`):

  attnscope view attnscope-demo/run.trace

  attnscope view first.trace second.trace        side by side"""


def view_command(
    traces: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="TRACE", help="Folders of traces; several to compare. None: the studio, to make some."
        ),
    ] = None,
    port: Port = None,
    host: Host = "127.0.0.1",
    token: Token = None,
    browser: Browser = True,
) -> None:
    """Open traces in the browser: any place, word, block, head and step, and segments."""
    if not traces:
        studio_command(port=port, host=host, token=token, browser=browser)
        return
    with ExitStack() as until_ready:
        until_ready.enter_context(working("starting the viewer"))
        from attnscope.viewer import serve

        def ready(address: str) -> None:
            until_ready.close()
            print_data(address)
            sys.stdout.flush()  # into a pipe, too, for it goes on
            say("open it in a browser; Ctrl+C ends")

        serve(*traces, host=host, port=port, token=token, open_browser=browser, ready=ready)
