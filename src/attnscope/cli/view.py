"""`attnscope view`: look at traces in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from attnscope.cli.serving import Address, Browser, FramedBy, Host, NoToken, Port, Token, served
from attnscope.cli.studio import studio_command

EXAMPLES = """Examples (after `attnscope demo`):

  attnscope view attnscope-demo/run.trace

  attnscope view first.trace second.trace        side by side

  attnscope view        the studio, to make pictures

  attnscope view run.trace --host 0.0.0.0        also for a phone in the same network: scan the code

  attnscope view run.trace --address https://hub.example.org/user/me/proxy/{port}/        behind a proxy"""


def view_command(
    traces: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[TRACE]...",
            help="Folders of traces; several to compare them. Without one, the studio opens.",
        ),
    ] = None,
    port: Port = None,
    host: Host = "127.0.0.1",
    address: Address = None,
    token: Token = None,
    no_token: NoToken = False,
    framed_by: FramedBy = None,
    browser: Browser = True,
) -> None:
    """Open traces in the browser: any place, word, block, head and step, and segments."""
    options: dict[str, Any] = {
        "port": port,
        "host": host,
        "address": address,
        "token": token,
        "no_token": no_token,
        "framed_by": framed_by,
        "browser": browser,
    }
    if not traces:
        studio_command(**options)
        return
    with served("starting the viewer", **options) as where:
        from attnscope.viewer import serve

        serve(*traces, **where)
