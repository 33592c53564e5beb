"""Whose question is computed next; questions that nobody waits for any more are dropped before they cost."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from anyio import from_thread
from fastapi import HTTPException, Request

MOST_AT_ONCE = max(2, (os.cpu_count() or 2) // 2)
"""Questions that are computed at the same time; torch shares the cores among threads itself."""
GONE = 499
"""What servers log of a client that did not wait; nobody reads the answer."""


class Turns:
    """Lets a few questions be computed at a time; the others wait in threads."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)

    @contextmanager
    def turn(self, request: Request) -> Iterator[None]:
        """Wait for a turn, and give it up if the browser has gone meanwhile.

        Args:
            request: The browser's request.

        Raises:
            HTTPException: Nobody waits for the answer any more.
        """
        with self._free:
            if from_thread.run(request.is_disconnected):
                raise HTTPException(GONE, "nobody is waiting for this answer any more")
            yield
