"""Long work beside the answers: one piece at a time, with progress, to be cancelled, and results that are kept for a
while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Literal, TypeVar

from attnscope.errors import BusyError
from attnscope.viewer.schemas import AggregateInfo

State = Literal["running", "ready", "failed"]
MOST_WAITING = 4
"""Pieces of work that wait for their turn behind the one under way."""
MOST_FAILED = 8
"""Failures that are remembered, so that whoever asks is told why."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Progress = Callable[[int, int], None]


class Cancelled(Exception):
    """Nobody wants the result any more."""


class Work(Generic[Value]):
    """One piece of work. done of total: how far it is; value: the result in the state "ready".

    Args:
        make: Gets `progress`, which ends the work where nobody wants it any more, and gives the result.
    """

    def __init__(self, make: Callable[[Progress], Value]) -> None:
        self._make = make
        self.state: State = "running"
        self.done, self.total = 0, 1
        self.failure: Exception | None = None
        self.value: Value | None = None
        self.is_wanted = True

    def run(self) -> None:
        """In the worker's thread."""
        try:
            self.progress(0, 1)
            self.value = self._make(self.progress)
            self.state = "ready"
        except Cancelled:
            self.is_wanted = False
        except Exception as error:
            self.state, self.failure = "failed", error

    def progress(self, done: int, total: int) -> None:
        """Remember how far it is.

        Args:
            done: Of the work.
            total: All of it.

        Raises:
            Cancelled: Nobody wants it any more.
        """
        if not self.is_wanted:
            raise Cancelled
        self.done, self.total = done, total

    @property
    def info(self) -> AggregateInfo:
        """How far it is, for the page."""
        error = "" if self.failure is None else str(self.failure) or type(self.failure).__name__
        return AggregateInfo(state=self.state, done=self.done, total=self.total, error=error)


class Background(Generic[Key, Value]):
    """Work by its key. The results that were asked for last are kept.

    Args:
        name: Of the thread.
        most: How many results are kept.
        most_bytes: How large they may be together; the newest is kept whatever its size.
        size_of: Bytes of a result.
        drop: Called with each result that is not kept any more.
    """

    def __init__(
        self,
        name: str,
        *,
        most: int,
        most_bytes: int,
        size_of: Callable[[Value], int],
        drop: Callable[[Value], None] = lambda value: None,
    ) -> None:
        self._name, self._most, self._most_bytes = name, most, most_bytes
        self._size_of, self._drop = size_of, drop
        self._known: OrderedDict[Key, Work[Value]] = OrderedDict()
        self._lock = threading.Lock()
        self._worker: ThreadPoolExecutor | None = None

    def get(self, key: Key) -> Work[Value] | None:
        """The work of a key, None where nobody has asked for it or it is not kept any more.

        Args:
            key: Which one.
        """
        with self._lock:
            if (work := self._known.get(key)) is not None:
                self._known.move_to_end(key)
            return work

    def info(self, key: Key) -> AggregateInfo:
        """How far it is, for the page.

        Args:
            key: Which one.
        """
        work = self.get(key)
        return AggregateInfo(state="absent") if work is None else work.info

    def start(self, key: Key, make: Callable[[Progress], Value]) -> Work[Value]:
        """Begin, unless it is under way or ready.

        Args:
            key: Which one.
            make: As for `Work`.

        Raises:
            BusyError: Too much is waiting.
        """
        with self._lock:
            earlier = self._known.get(key)
            if earlier is not None and earlier.state != "failed":
                return earlier
            running = sum(other.state == "running" for other in self._known.values())
            if running > MOST_WAITING:
                raise BusyError(f"{running} long tasks are waiting already; cancel one or try again later")
            work = Work(make)
            self._known[key] = work
            self._known.move_to_end(key)
            self._worker = self._worker or ThreadPoolExecutor(1, thread_name_prefix=self._name)
            self._worker.submit(self._run, key, work)
        return work

    def cancel(self, key: Key) -> None:
        """Stop work that nobody waits for; what is ready stays.

        Args:
            key: Which one.
        """
        with self._lock:
            if (work := self._known.get(key)) is not None and work.state == "running":
                work.is_wanted = False
                del self._known[key]

    def keep_only(self, keys: Callable[[Key], bool]) -> None:
        """Stop and forget everything else.

        Args:
            keys: Which ones stay.
        """
        with self._lock:
            self._forget([key for key in self._known if not keys(key)])

    def close(self) -> None:
        """Stop and forget everything; it may be used again."""
        with self._lock:
            self._forget(list(self._known))
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.shutdown(wait=False, cancel_futures=True)

    def _run(self, key: Key, work: Work[Value]) -> None:
        work.run()
        with self._lock:
            if not work.is_wanted:
                self._let_go(work)  # it was cancelled after its last progress
            elif self._known.get(key) is work:
                self._known.move_to_end(key)
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        failed, ready = self._in_state("failed"), self._in_state("ready")
        self._forget(failed[: max(len(failed) - MOST_FAILED, 0)])
        while len(ready) > self._most or (len(ready) > 1 and self._bytes() > self._most_bytes):
            self._forget([ready.pop(0)])

    def _in_state(self, state: State) -> list[Key]:
        return [key for key, work in self._known.items() if work.state == state]

    def _bytes(self) -> int:
        return sum(self._size_of(work.value) for work in self._known.values() if work.value is not None)

    def _forget(self, keys: Iterable[Key]) -> None:
        for key in keys:
            work = self._known.pop(key)
            work.is_wanted = False
            self._let_go(work)

    def _let_go(self, work: Work[Value]) -> None:
        value, work.value = work.value, None
        if value is not None:
            self._drop(value)
