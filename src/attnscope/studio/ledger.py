"""What is known of every run: kept on disk, told to whoever waits for news, its trace on the viewer's shelf."""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from pathlib import Path

from attnscope.errors import AttnscopeError, BusyError, OutputError, ParameterError, SelectionError
from attnscope.files.temporary import tidy
from attnscope.studio.changes import Changes
from attnscope.studio.messages import Done, Earlier, Failed, Message, Seen, Stepped, Stopped
from attnscope.studio.runs import ENDED, Run, Runs, State
from attnscope.studio.worker import TRACE
from attnscope.viewer.shelf import Shelf


class Ledger:
    """The runs of a studio; its methods may be called from any thread.

    Args:
        folder: Where runs are kept, and are found again.
        shelf: Of the viewer; gets the trace of each run that is over.
        keep: How many runs are kept. None: all.
    """

    def __init__(self, folder: Path, shelf: Shelf, keep: int | None = None) -> None:
        self.runs, self.changes = Runs(folder), Changes()
        self._keep = keep
        self.lock = threading.RLock()  # is held while runs change
        self._shelf = shelf
        self._is_closed = False

    def open(self) -> None:
        """Take up the runs that are in the folder already."""
        tidy(self.runs.folder)
        with self.lock:
            self.runs.find_earlier()
            for run in self.runs:
                self._shelve(run)

    def close(self) -> None:
        """From now on whatever is stopped was stopped because the studio ends."""
        self._is_closed = True

    def stop_the_rest(self) -> None:
        """Whatever is not over is stopped."""
        with self.lock:
            for run in self.runs:
                if not run.is_over:
                    self._end(run, "stopped", ENDED)

    def earlier(self, number: int) -> Earlier:
        """A run that another one needs.

        Args:
            number: The run's.

        Raises:
            SelectionError: There is none, or it has no trace of a picture.
        """
        run = self.runs[number]
        if run.trace is None or run.stored.asked is None:
            raise SelectionError(f"run {number} has no trace of a picture: choose a run that has finished")
        return Earlier(run.stored.asked.prompt, run.folder / TRACE)

    def take_in(self, trace: Path, name: str, maker: str = "") -> Run:
        """A trace that somebody has brought, as a run.

        Args:
            trace: Its folder, which is moved to where runs are kept.
            name: What it is called.
            maker: Which browser brings it.

        Raises:
            TraceFormatError: It is no trace.
            SelectionError: It has no Q and K to look at.
        """
        with self.lock:
            run = self.runs.begin("trace", name, maker=maker)
            try:
                shutil.move(trace, run.folder / TRACE)
                run.trace = self._shelf.put(run.folder / TRACE, run.stored.name).number
            except Exception:
                self.runs.delete(run.number)
                raise
            self._end(run, "done")
        self.make_room()
        return run

    def rename(self, number: int, name: str) -> None:
        """Call a run something else.

        Args:
            number: The run's.
            name: Its name.

        Raises:
            SelectionError: There is none of this number.
            ParameterError: The name is empty.
        """
        if not (name := " ".join(name.split())):
            raise ParameterError("the name is empty: expected some letters")
        with self.lock:
            run = self.runs[number]
            run.stored.name = name
            run.keep()
            if run.trace is not None:
                self._shelf.rename(run.trace, name)
        self.changes.note()

    def delete(self, number: int) -> None:
        """Delete a run that is over, with its files.

        Args:
            number: The run's.

        Raises:
            SelectionError: There is none of this number.
            BusyError: It is under way, or another run needs it.
        """
        with self.lock:
            run = self.runs[number]
            if not run.is_over:
                raise BusyError("this run has not finished: stop it first")
            needing = [other for other in self.runs if not other.is_over and number in _needs(other)]
            if needing:
                raise BusyError(f"run {needing[0].number} needs this one and has not finished: stop it first")
            if run.trace is not None:
                self._shelf.take_away(run.trace)
            self.runs.delete(number)
        self.changes.note()

    def make_room(self) -> None:
        """Delete the oldest runs beyond those that are kept, but none that is under way or that another one needs."""
        with self.lock:
            oldest_first = sorted(self.runs, key=lambda run: run.number)
            for run in oldest_first[: -self._keep] if self._keep else ():
                with suppress(BusyError):
                    self.delete(run.number)
        self.changes.note()

    def hear(self, message: Message) -> None:
        """Note what the engine tells.

        Args:
            message: About a run, or about the model.
        """
        with self.lock:
            number = getattr(message, "number", None)
            run = next((run for run in self.runs if run.number == number), None)
            if run is not None and not run.is_over:
                self._note(run, message)
        self.changes.note()

    def _note(self, run: Run, message: Message) -> None:
        if isinstance(message, Stepped):
            run.stored.state, run.note = "running", message.note
            run.done, run.total = message.done, message.total
        elif isinstance(message, Seen):
            run.seen = message
        elif isinstance(message, Done):
            run.stored.seconds = message.seconds
            self._end(run, "done")
        elif isinstance(message, Failed):
            self._end(run, "failed", message.error)
        elif isinstance(message, Stopped):
            self._end(run, "stopped", ENDED if self._is_closed else "")

    def _end(self, run: Run, state: State, error: str = "") -> None:
        run.stored.state, run.stored.error = state, error
        if run.trace is None:
            self._shelve(run)
        try:
            run.keep()
        except OutputError as unkept:  # the engine goes on; whoever looks is told
            run.stored.error = run.stored.error or str(unkept)

    def _shelve(self, run: Run) -> None:
        """Make a run's trace one that can be looked at, if it has left any: of what was stopped, the steps so far."""
        folder = run.folder / TRACE
        if not folder.exists():
            return
        try:
            run.trace = self._shelf.put(folder, run.stored.name).number
        except (AttnscopeError, OSError) as error:
            run.stored.error = run.stored.error or str(error)


def _needs(run: Run) -> set[int]:
    return set() if run.stored.asked is None else run.stored.asked.earlier
