"""Signals that end a command: it then leaves what it leaves after Ctrl+C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

_NAMES = ("SIGTERM", "SIGHUP")  # of service managers and batch queues, and of a terminal that is closed
_TWICE_SECONDS = 2.0  # `timeout` sends its signal to the command and to the command's group


@contextmanager
def interrupted_by_signals() -> Iterator[list[int]]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt until the block ends. What has a handler, or is ignored, stays so.

    Yields:
        The signals that came, which the exit code names: 128 and the first one's number.
    """
    came: list[int] = []
    last = -_TWICE_SECONDS

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        came.append(number)
        before, last = last, time.monotonic()
        if last - before >= _TWICE_SECONDS:
            raise KeyboardInterrupt

    with ExitStack() as undo:
        if threading.current_thread() is threading.main_thread():  # only there handlers can be set
            for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
                if signal.getsignal(number) is signal.SIG_DFL:
                    undo.callback(signal.signal, number, signal.signal(number, interrupt))
        yield came
