"""Run the viewer's server on this machine and open the browser at it."""

from __future__ import annotations

import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn

from attnscope.errors import ParameterError
from attnscope.trace import Trace
from attnscope.viewer.app import create_app
from attnscope.viewer.gate import LOOPBACK

FIRST_PORT = 8756
TRIED_PORTS = 20


def serve(
    *traces: Trace | str | Path,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    open_browser: bool = True,
    ready: Callable[[str], None] = print,
) -> None:
    """Show traces in the browser until interrupted.

    traces: one, or several to compare; folders or traces in memory. host: an address of this machine; one that others
    can reach asks for a token, a new one if none is given. port: the first free one from 8756 by default.
    ready: gets the address once it answers.
    """
    if not traces:
        raise ParameterError("no trace to view; expected at least one")
    local = host in (*LOOPBACK, "::1")
    token = token or (None if local else secrets.token_urlsafe(16))
    app = create_app(traces, token=token)
    listening = _listen(host, port)
    address = f"http://{_shown(host)}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else "")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))

    def tell() -> None:
        ready(address)
        if open_browser:
            webbrowser.open(address)

    threading.Timer(0.3, tell).start()  # the socket listens already: an early request waits, none is lost
    with listening, suppress(KeyboardInterrupt):  # uvicorn raises it again once everything is closed
        server.run(sockets=[listening])


def _shown(host: str) -> str:
    """The host as an address that this machine's browser reaches."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)


def _listen(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tried = [port] if port is not None else [*range(FIRST_PORT, FIRST_PORT + TRIED_PORTS), 0]
    for number in tried:
        listening = socket.socket(
            family, socket.SOCK_STREAM, socket.IPPROTO_TCP
        )  # asyncio then sends at once
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, number))
        except (OSError, OverflowError) as error:
            listening.close()
            if port is not None or not isinstance(error, OSError) or error.errno not in (98, 48, 10048):
                raise ParameterError(
                    f"can't listen on {host} port {number}: {error}; choose another --port"
                ) from error
            continue
        listening.listen(128)
        return listening
    raise ParameterError(f"no free port on {host}; choose one with --port")
