"""The port that the viewer listens on, and the server that answers there until it is told to end."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from attnscope.errors import ParameterError

FIRST_PORT = 8756
TRIED_PORTS = 20


class Server(uvicorn.Server):
    """Tells when it answers, and ends at SIGHUP, of a terminal that is closed, as uvicorn does at SIGTERM.

    Args:
        config: What uvicorn is to do.
        ready: Called once the server answers.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer.

        Args:
            sockets: Where it listens.
        """
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; questions that wait for news are answered first, for they would hold it up.

        Args:
            sockets: Where it listens.
        """
        for wake in getattr(getattr(self.config.app, "state", None), "wakes", ()):
            wake()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at a signal, and leave it to whoever handled it before, until the block ends."""
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
            signal.raise_signal(number)


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens.

    Args:
        host: An address of this machine.
        port: The first free one from 8756 by default.

    Raises:
        ParameterError: It can't be had.
    """
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
