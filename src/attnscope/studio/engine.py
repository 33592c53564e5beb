"""The model's process, seen from the server: started, asked, stopped, and started again when it dies."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any, Literal

from attnscope.errors import BusyError
from attnscope.studio.messages import (
    Done,
    Failed,
    Job,
    Loaded,
    Loading,
    Message,
    ModelFacts,
    ModelNamed,
    Stopped,
)
from attnscope.studio.worker import work

MOST_WAITING = 16
"""Runs in the queue, beside the one under way."""
PATIENCE_S = 3.0
"""How long the process is given to end."""

ModelState = Literal["off", "loading", "ready", "failed"]
_CONTEXT = multiprocessing.get_context("spawn")


@dataclass
class _Process:
    """A process under way, and this side of its pipe."""

    process: Any
    pipe: Connection
    is_loaded: bool = False


@dataclass
class Engine:
    """One process for one model: one job at a time, the others wait in order.

    Attributes:
        model: Which model.
        told: Gets all messages, in a thread of the engine's own.
        state: Of the model.
        error: Why it could not be loaded, in state "failed".
        facts: What is known of it once it was loaded.
    """

    model: ModelNamed
    told: Callable[[Message], None]
    state: ModelState = "off"
    error: str = ""
    facts: ModelFacts | None = None
    _waiting: list[Job] = field(default_factory=list)
    _running: Job | None = None
    _process: _Process | None = None
    _ends: bool = False

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._unwanted = _CONTEXT.Event()
        self._thread = threading.Thread(target=self._serve, name="attnscope-studio", daemon=True)

    def start(self) -> None:
        """Load the model, and wait for jobs."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Put a job at the end of the queue.

        Args:
            job: What to do.

        Raises:
            BusyError: The queue is full.
        """
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                raise BusyError(
                    f"{len(self._waiting)} pictures are waiting already; stop one of them, or try again later"
                )
            self._waiting.append(job)
            self._changed.notify_all()

    def place_of(self, number: int) -> int | None:
        """How many jobs come before a run's: 0 under way, None if it is not here.

        Args:
            number: The run's.
        """
        with self._changed:
            if self._running is not None and self._running.number == number:
                return 0
            numbers = [job.number for job in self._waiting]
            return numbers.index(number) + 1 if number in numbers else None

    def stop(self, number: int) -> None:
        """Stop a run, or take it out of the queue; one that is over is left alone.

        Args:
            number: The run's.
        """
        with self._changed:
            mine = [job for job in self._waiting if job.number == number]
            self._waiting = [job for job in self._waiting if job.number != number]
            if self._running is not None and self._running.number == number:
                self._unwanted.set()
        for job in mine:
            self.told(Stopped(job.number))

    def close(self) -> None:
        """End the process, whatever it does."""
        with self._changed:
            self._ends = True
            self._unwanted.set()
            self._changed.notify_all()
        self._end_process()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(PATIENCE_S)

    # The engine's thread

    def _serve(self) -> None:
        self._load()
        while (job := self._next()) is not None:
            if self._process is None and not self._load():
                self._over(Failed(job.number, f"the model can't be loaded: {self.error}"))
            else:
                self._over(self._done(job))

    def _next(self) -> Job | None:
        """The next job, waited for; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ends or self._waiting)
            if self._ends:
                return None
            self._running = self._waiting.pop(0)
            self._unwanted.clear()
            return self._running

    def _over(self, message: Message) -> None:
        with self._changed:
            self._running = None
        self.told(message)

    def _load(self) -> bool:
        """Start the process and wait for its model."""
        self.state = "loading"
        self.told(Loading())
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=work, args=(self.model, theirs, self._unwanted), daemon=True)
        with _no_main_module():
            process.start()
        theirs.close()
        with self._changed:
            self._process = _Process(process, ours)
            ends = self._ends
        if ends:
            self._end_process()
            return False
        message = self._received()
        if isinstance(message, Loaded):
            self.state, self.error, self.facts = "ready", "", message.facts
        else:
            self.state = "failed"
            self.error = message.error if isinstance(message, Failed) else self._why_gone()
            self._end_process()
            if not self._ends:
                logging.getLogger(__name__).error("%s can't be loaded: %s", self.model.name, self.error)
        if not self._ends:
            self.told(message or Failed(None, self.error))
        return self.state == "ready"

    def _done(self, job: Job) -> Message:
        """Have a job done, and pass on what is told of it."""
        assert self._process is not None
        with suppress(OSError):
            self._process.pipe.send(job)
        while (message := self._received()) is not None:
            if isinstance(message, (Done, Failed, Stopped)):
                return message
            self.told(message)
        if self._ends:
            return Stopped(job.number)
        why = self._why_gone()
        self._end_process()
        self.state = "off"
        return Failed(job.number, f"{why}; the next picture starts it again")

    def _received(self) -> Message | None:
        """The next message, None if the process is gone."""
        process = self._process
        if process is None:
            return None
        with suppress(EOFError, OSError):
            return process.pipe.recv()
        return None

    def _why_gone(self) -> str:
        process = self._process
        if process is None:
            return "the model's process was ended"
        process.process.join(PATIENCE_S)
        code = process.process.exitcode
        if code is not None and code < 0:
            hint = " (often for want of memory)" if code == -9 else ""
            return f"the model's process was killed by signal {-code}{hint}"
        return f"the model's process ended by itself, with status {code}"

    def _end_process(self) -> None:
        with self._changed:
            process, self._process = self._process, None
        if process is None:
            return
        process.pipe.close()
        for end in (process.process.terminate, process.process.kill):
            if process.process.is_alive():
                end()
                process.process.join(PATIENCE_S)


@contextmanager
def _no_main_module() -> Iterator[None]:
    """A process that is started meanwhile does not run the user's script, which would start a studio in turn."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
