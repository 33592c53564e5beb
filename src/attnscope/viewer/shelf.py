"""The traces that can be looked at, by the number under which a browser asks for each."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from attnscope.errors import SelectionError
from attnscope.trace.trace import Trace
from attnscope.viewer.opened import OpenTrace


class Shelf:
    """Traces come and go while the server runs; a number is never given twice.

    Args:
        opened: The traces that are there from the beginning.
    """

    def __init__(self, opened: Iterable[OpenTrace] = ()) -> None:
        self._traces = {trace.number: trace for trace in opened}
        self._next = max(self._traces, default=-1) + 1
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[OpenTrace]:
        with self._lock:
            return iter(list(self._traces.values()))

    def __getitem__(self, number: int) -> OpenTrace:
        """The trace of a number.

        Raises:
            SelectionError: There is none.
        """
        with self._lock:
            if number in self._traces:
                return self._traces[number]
            known = ", ".join(map(str, self._traces)) or "none"
        raise SelectionError(f"trace {number}: this viewer has traces {known}")

    def put(self, source: Trace | str | Path, name: str) -> OpenTrace:
        """Put a trace of one pass on the shelf.

        Args:
            source: The trace, or its folder.
            name: What it is called.

        Raises:
            TraceFormatError: The folder is no trace.
            SelectionError: It has no Q and K, or several passes.
        """
        with self._lock:
            number, self._next = self._next, self._next + 1
        opened = OpenTrace.of(number, source, name)
        with self._lock:
            self._traces[number] = opened
        return opened

    def rename(self, number: int, name: str) -> None:
        """Call a trace something else; one that is not there any more is left alone.

        Args:
            number: Its number.
            name: Its new name.
        """
        with self._lock:
            if (trace := self._traces.get(number)) is not None:
                self._traces[number] = trace.called(name)

    def take_away(self, number: int) -> None:
        """Take a trace off the shelf, if it is there.

        Args:
            number: Its number.
        """
        with self._lock:
            self._traces.pop(number, None)
