"""Which runs a capture follows, where several threads or tasks use one model.

Its own runs are those of the thread that entered it, and of threads and tasks that inherited its context, such as
those of `asyncio.to_thread`. A pool's thread inherits nothing: it is followed while it runs a pipeline that was given
to the capture, as long as no run of the capture's own has come. Everything else passes by.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType
from typing import Any

from attnscope.recording.calling.callers import calls_in_threads, running_frames

_INSIDE: ContextVar[tuple[object, ...]] = ContextVar("attnscope_captures", default=())
"""Marks of the captures that were entered in this context."""


@dataclass(frozen=True, eq=False)
class _Run:
    """A run that is followed: its thread, the frame of its pipeline's call (None by hand), and whether it is own."""

    thread: threading.Thread
    frame: FrameType | None
    is_own: bool

    @property
    def is_under_way(self) -> bool:
        return self.frame is not None and self.frame in running_frames()


class Following:
    """The one run that a capture follows at a time.

    Args:
        pipelines: Those that were given to the capture.
        superseded: Called with the frame of a run that was another thread's after all.
    """

    def __init__(self, pipelines: Sequence[Any], superseded: Callable[[FrameType], None]) -> None:
        self._pipelines = pipelines
        self._superseded: Callable[[FrameType], None] | None = superseded
        self._mark = object()
        _INSIDE.set((*_INSIDE.get(), self._mark))
        self._thread, self._task = threading.current_thread(), _running_task()
        others = [thread for thread in sys._current_frames() if thread != self._thread.ident]
        self._begun_before = calls_in_threads(others, pipelines)
        self._run: _Run | None = None
        self._has_own = self._is_over = False
        self._lock = threading.RLock()
        self.left_out = 0
        """Runs of the capture's own that went on beside another one."""

    @property
    def is_here(self) -> bool:
        """Whether the run that is followed is this thread's."""
        run = self._run
        return run is not None and run.thread is threading.current_thread() and not self._is_over

    def takes(self, frame: FrameType | None, *, is_given: bool) -> bool:
        """Whether what begins or goes on here is followed.

        Args:
            frame: Frame of the pipeline's call up the stack, None where parts of a pipeline are called by hand.
            is_given: Whether that pipeline was given to the capture.
        """
        before = None
        with self._lock:
            if self._is_over:
                return False
            is_own, elsewhere = self._is_own(is_given=is_given), self._run_elsewhere()
            if is_own and elsewhere is not None:
                if elsewhere.is_own:
                    self.left_out += 1
                    return False
                before = elsewhere.frame
            elif not is_own and (elsewhere is not None or not self._may_adopt(frame, is_given=is_given)):
                return False
            self._has_own |= is_own
            self._run = _Run(threading.current_thread(), frame, is_own)
            superseded = self._superseded
        if before is not None and superseded is not None:
            superseded(before)
        return True

    def leave(self) -> None:
        """The capture is over, wherever that is noticed: runs of other threads go on unfollowed."""
        with self._lock:
            self._is_over, self._run, self._begun_before, self._superseded = True, None, [], None
        _INSIDE.set(tuple(mark for mark in _INSIDE.get() if mark is not self._mark))

    def _run_elsewhere(self) -> _Run | None:
        """The run that is followed, if it is under way in another thread."""
        run = self._run
        if run is None or run.thread is threading.current_thread() or not run.is_under_way:
            return None
        return run

    def _is_own(self, *, is_given: bool) -> bool:
        if self._mark not in _INSIDE.get():
            return False
        return self._is_entered_here or is_given or not self._pipelines

    @property
    def _is_entered_here(self) -> bool:
        return threading.current_thread() is self._thread

    def _may_adopt(self, frame: FrameType | None, *, is_given: bool) -> bool:
        """Whether a run without the capture's context may be what the capture is for."""
        if (
            self._run is not None
            and self._run.thread is threading.current_thread()
            and self._run.is_under_way
        ):
            return True  # inside a callback of the run, or the run itself
        if self._has_own:
            return False
        if self._is_entered_here:  # as where a test's fixture has entered the capture in a context of its own
            return not self._is_other_task()
        if not is_given or any(frame is begun for begun in self._begun_before):
            return False
        # a thread that has ended may have left its number to this one
        entered = [self._thread.ident] if self._thread.is_alive() else []
        return frame is not None and not calls_in_threads(entered, self._pipelines)

    def _is_other_task(self) -> bool:
        """Whether another task of an event loop runs here than the one that entered the capture and still waits."""
        return self._task is not None and not self._task.done() and self._task is not _running_task()


def _running_task() -> Any:
    asyncio = sys.modules.get("asyncio")
    try:
        return None if asyncio is None else asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return None
