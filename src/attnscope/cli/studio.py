"""`attnscope studio`: make pictures and look at their attention in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attnscope.cli.options import MAX_TRACE_GB, Config, Device, Dtype
from attnscope.cli.serving import Address, Browser, FramedBy, Host, NoToken, Port, Token, served

EXAMPLES = """Examples:

  attnscope studio

  attnscope studio sd1 --device cuda --dtype float16

  attnscope studio my-model.safetensors -o pictures

  attnscope studio --host 0.0.0.0 --guests        for a class in the same network"""


def studio_command(
    model: Annotated[
        str,
        typer.Argument(metavar="[MODEL]", help="demo, a hub id, a local folder, or one .safetensors file."),
    ] = "demo",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder that keeps the pictures.")
    ] = Path("attnscope-studio"),
    config: Config = None,
    device: Device = None,
    dtype: Dtype = None,
    max_trace_gb: Annotated[
        float,
        typer.Option(
            "--max-trace-gb",
            metavar="GB",
            min=0.01,
            help="Largest trace; of a longer run not every step is kept.",
        ),
    ] = MAX_TRACE_GB,
    guests: Annotated[
        bool,
        typer.Option("--guests", help="Only the browser that began a run can stop, rename or delete it."),
    ] = False,
    files: Annotated[
        bool, typer.Option("--files/--no-files", help="Whether photos and traces can be brought.")
    ] = True,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep", metavar="N", min=1, help="Keep N runs; each new one deletes the oldest. Default: all."
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
    """Type a prompt, watch the picture and its attention form, change it, see the difference."""
    with served(
        "starting the studio",
        port=port,
        host=host,
        address=address,
        token=token,
        no_token=no_token,
        framed_by=framed_by,
        browser=browser,
    ) as where:
        from attnscope.studio import serve
        from attnscope.studio.messages import ModelNamed

        named = ModelNamed(model, None if config is None else str(config), device, dtype, max_trace_gb)
        serve(named, folder=output, guests=guests, files=files, keep=keep, **where)
