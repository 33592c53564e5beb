"""`attnscope view`: look at traces in the browser."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from attnscope.cli.output import print_data, say, show_code, working
from attnscope.errors import ParameterError

EXAMPLES = """Examples (after `attnscope demo`):

  attnscope view attnscope-demo/run.trace

  attnscope view first.trace second.trace        side by side

  attnscope view run.trace --host 0.0.0.0        also for a phone in the same network: scan the code

  attnscope view run.trace --address https://hub.example.org/user/me/proxy/{port}/        behind a proxy"""


def view_command(
    traces: Annotated[
        list[Path], typer.Argument(metavar="TRACE", help="Folders of traces; several to compare.")
    ],
    port: Annotated[
        int | None,
        typer.Option("--port", "-p", min=1, max=65535, help="The first free one from 8756 by default."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="Address to listen on, 0.0.0.0 for all; beyond this machine a token is asked for.",
        ),
    ] = "127.0.0.1",
    address: Annotated[
        str | None,
        typer.Option(
            "--address", metavar="URL", help="Where a proxy shows the viewer; {port} in it is filled in."
        ),
    ] = None,
    token: Annotated[
        str | None, typer.Option("--token", help="What browsers must give; a new one where it is needed.")
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Ask for none: where a proxy decides who may look.")
    ] = False,
    framed_by: Annotated[
        list[str] | None,
        typer.Option(
            "--framed-by", metavar="SITE", help="Whose pages may frame the viewer, as https://huggingface.co."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
) -> None:
    """Open traces in the browser: any place, word, block, head and step, and segments."""
    if no_token and token is not None:
        raise ParameterError("--token and --no-token say opposite things; leave one out")
    with ExitStack() as until_ready:
        until_ready.enter_context(working("starting the viewer"))
        from attnscope.viewer import serve
        from attnscope.viewer.addresses import network_addresses
        from attnscope.viewer.qr_codes import qr_code

        def ready(own: str) -> None:
            until_ready.close()
            others = [] if address else network_addresses(own, host.strip("[]"))
            print_data("\n".join([*others, own]))
            sys.stdout.flush()  # into a pipe, too, for it goes on
            if others and show_code(qr_code(others[0])):
                say(f"scan it with a phone in the same network: {others[0]}")
            say("open it in a browser; Ctrl+C ends")

        serve(
            *traces,
            host=host,
            port=port,
            token=False if no_token else token,
            address=address,
            framed_by=framed_by or (),
            open_browser=browser,
            ready=ready,
        )
