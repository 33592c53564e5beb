"""Run the viewer's server on this machine and open the browser at it."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI

from attnscope.errors import ParameterError
from attnscope.trace.trace import Trace
from attnscope.viewer.app import create_app

FIRST_PORT = 8756
TRIED_PORTS = 20


class _Server(uvicorn.Server):
    """Tells when it answers, and ends at SIGHUP, of a terminal that is closed, as uvicorn does at SIGTERM."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        number = getattr(signal, "SIGHUP", None)
        in_main = threading.current_thread() is threading.main_thread()  # only there handlers can be set
        if number is None or not in_main or signal.getsignal(number) is signal.SIG_IGN:
            with super().capture_signals():
                yield
            return
        before, came = signal.getsignal(number), list[int]()

        def end(number: int, frame: FrameType | None) -> None:
            came.append(number)
            self.should_exit = True

        signal.signal(number, end)
        try:
            with super().capture_signals():
                yield
        finally:
            signal.signal(number, before)
        if came:
            signal.raise_signal(number)  # for whoever handled it before


def serve(
    *traces: Trace | str | Path,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    open_browser: bool = True,
    ready: Callable[[str], None] = print,
) -> None:
    """Show traces in the browser until interrupted; in a notebook it returns at once and goes on beside it.

    Args:
        traces: One, or several to compare; folders or traces in memory.
        host: An address of this machine. One that others can reach asks for a token.
        port: The first free one from 8756 by default.
        token: What a browser must give; a new one where it is needed and none is given.
        open_browser: Whether to open the page.
        ready: Called with the address once the server answers.

    Raises:
        ParameterError: There is no trace, no host, or the port can't be had.
        TraceFormatError: A folder is no trace.
    """
    if not traces:
        raise ParameterError("no trace to view; expected at least one")
    serve_app(
        lambda token: create_app(traces, token=token),
        host=host,
        port=port,
        token=token,
        open_browser=open_browser,
        ready=ready,
    )


def serve_app(
    create: Callable[[str | None], FastAPI],
    *,
    host: str,
    port: int | None,
    token: str | None,
    open_browser: bool,
    ready: Callable[[str], None],
) -> None:
    """Run an application as `serve` does; the arguments are the same.

    Args:
        create: Makes the application for a token.
        host: See `serve`.
        port: See `serve`.
        token: See `serve`.
        open_browser: See `serve`.
        ready: See `serve`.

    Raises:
        ParameterError: There is no host, or the port can't be had.
    """
    if not host.strip("[] "):
        raise ParameterError(
            f"host is {host!r}; expected an address of this machine, such as 127.0.0.1 (0.0.0.0 is all of them)"
        )
    host = host.strip("[]")
    token = token or (None if host in ("127.0.0.1", "localhost", "::1") else secrets.token_urlsafe(16))
    app = create(token)
    listening = _listen(host, port)
    address = f"http://{_shown(host)}:{listening.getsockname()[1]}/"
    if token:
        address += "?" + urlencode({"token": token})

    def tell() -> None:
        ready(address)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    server = _Server(
        uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, server_header=False), tell
    )
    if _in_notebook():
        threading.Thread(target=_run, args=(server, listening), daemon=True).start()
    else:
        _run(server, listening)


def _run(server: _Server, listening: socket.socket) -> None:
    with listening, suppress(KeyboardInterrupt):  # uvicorn raises it again once everything is closed
        server.run(sockets=[listening])


def _in_notebook() -> bool:
    """Whether an event loop runs in this thread, which would not let another one run."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _shown(host: str) -> str:
    """The host as an address that this machine's browser reaches."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)


def _listen(host: str, port: int | None) -> socket.socket:
    tried = [port] if port is not None else [*range(FIRST_PORT, FIRST_PORT + TRIED_PORTS), 0]
    for number in tried:
        # named TCP, so that asyncio sends small answers at once
        listening = socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
        )
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, number))
        except (OSError, OverflowError) as error:
            listening.close()
            if port is None and isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                continue
            raise ParameterError(
                f"can't listen on {host} port {number}: {error}; choose another --host or --port"
            ) from error
        listening.listen(128)
        return listening
    raise ParameterError(f"no free port on {host}; choose one with --port")
