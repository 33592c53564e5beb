"""Who waits for news is told when there are any."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress


class Changes:
    """A number that grows with every change, and those who wait for it to."""

    def __init__(self) -> None:
        self.count = 0
        self._is_closed = False
        self._lock = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def close(self) -> None:
        """Nobody waits any more: the server ends."""
        self._is_closed = True
        self.note()

    def note(self) -> None:
        """Something has changed. From any thread."""
        with self._lock:
            self.count += 1
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            with suppress(RuntimeError):  # the server has ended meanwhile
                loop.call_soon_threadsafe(event.set)

    async def beyond(self, seen: int, patience_s: float) -> int:
        """The count, once it is another one than was seen.

        Args:
            seen: The count that was seen.
            patience_s: After so many seconds it is told as it is.
        """
        event = asyncio.Event()
        with self._lock:
            if self.count != seen or self._is_closed:
                return self.count
            self._waiting.append((asyncio.get_running_loop(), event))
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(event.wait(), patience_s)
        with self._lock:
            self._waiting = [(loop, other) for loop, other in self._waiting if other is not event]
            return self.count
