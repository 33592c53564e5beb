"""Options of commands that show a page, and what they say once it can be opened."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

import typer

from attnscope.cli.output import print_data, say, show_code, working
from attnscope.errors import ParameterError

Port = Annotated[
    int | None,
    typer.Option(
        "--port", "-p", metavar="PORT", min=1, max=65535, help="By default the first free port from 8756."
    ),
]
Host = Annotated[
    str,
    typer.Option("--host", help="Address to listen on, 0.0.0.0 for all; other machines need the token."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="URL", help="Where a proxy shows the page; {port} in it is filled in."),
]
Token = Annotated[
    str | None,
    typer.Option("--token", help="Token that browsers must give; by default a new one where one is needed."),
]
NoToken = Annotated[
    bool, typer.Option("--no-token", help="Ask for no token, where a proxy decides who may look.")
]
FramedBy = Annotated[
    list[str] | None,
    typer.Option(
        "--framed-by",
        metavar="SITE",
        help="Site whose pages may show this one in a frame, such as https://example.org.",
    ),
]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")]


@contextmanager
def served(
    starting: str,
    *,
    port: int | None,
    host: str,
    address: str | None,
    token: str | None,
    no_token: bool,
    framed_by: list[str] | None,
    browser: bool,
) -> Iterator[dict[str, Any]]:
    """What `serve` takes of these options; a spinner until it answers.

    Args:
        starting: What the spinner says.
        port: As the option.
        host: As the option.
        address: As the option.
        token: As the option.
        no_token: As the option.
        framed_by: As the option.
        browser: As the option.

    Raises:
        ParameterError: Options say opposite things.
    """
    if no_token and token is not None:
        raise ParameterError("--token and --no-token contradict each other; leave one out")
    with ExitStack() as until_ready:
        until_ready.enter_context(working(starting))
        yield {
            "port": port,
            "host": host,
            "address": address,
            "token": False if no_token else token,
            "framed_by": framed_by or (),
            "open_browser": browser,
            "ready": _ready(until_ready, None if address else host),
        }


def _ready(until_ready: ExitStack, host: str | None) -> Callable[[str], None]:
    """Says where the page is; on a host that others reach also for them."""

    def ready(own: str) -> None:
        from attnscope.viewer.addresses import network_addresses
        from attnscope.viewer.qr_codes import qr_code

        until_ready.close()
        others = [] if host is None else network_addresses(own, host.strip("[]"))
        print_data("\n".join([*others, own]))
        sys.stdout.flush()  # into a pipe, too, for it goes on
        if others and show_code(qr_code(others[0])):
            say("scan it with a phone on the same network")
        say("open it in a browser; Ctrl+C ends")

    return ready
