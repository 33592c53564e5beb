"""`attnscope studio`: make pictures and look at their attention in the browser."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from attnscope.cli.options import MAX_TRACE_GB, Browser, Config, Device, Dtype, Host, Port, Token
from attnscope.cli.output import print_data, say, working

EXAMPLES = """Examples:

  attnscope studio

  attnscope studio sd1 --device cuda --dtype float16

  attnscope studio my-model.safetensors -o pictures"""


def studio_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="demo, a hub id, a local folder, or a single .safetensors file."
        ),
    ] = "demo",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder that keeps the pictures.")
    ] = Path("attnscope-studio"),
    config: Config = None,
    device: Device = None,
    dtype: Dtype = None,
    max_trace_gb: Annotated[
        float, typer.Option("--max-trace-gb", help="Of longer runs not every step is kept.")
    ] = MAX_TRACE_GB,
    port: Port = None,
    host: Host = "127.0.0.1",
    token: Token = None,
    browser: Browser = True,
) -> None:
    """Type a prompt, watch the picture and its attention form, change it, see the difference."""
    with ExitStack() as until_ready:
        until_ready.enter_context(working("starting the studio"))
        from attnscope.studio import serve
        from attnscope.studio.messages import ModelNamed

        def ready(address: str) -> None:
            until_ready.close()
            print_data(address)
            sys.stdout.flush()  # into a pipe, too, for it goes on
            say("open it in a browser; Ctrl+C ends")

        named = ModelNamed(model, None if config is None else str(config), device, dtype, max_trace_gb)
        serve(named, folder=output, host=host, port=port, token=token, open_browser=browser, ready=ready)
