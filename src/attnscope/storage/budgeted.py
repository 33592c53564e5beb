"""Records within a budget of memory: a thread writes calls to a folder while the model runs on.

Calls wait in memory until they are written. With `spill` only the oldest are written, when a new one would
not fit; without it, all are. The model waits when the budget is used up. An error of the thread (a full disk) is
raised at the next call; the folder then holds every call that was written, and opens.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from attnscope.errors import CaptureError
from attnscope.records import Call, Run
from attnscope.storage.budgeted_records import BudgetedRecords, OnWait
from attnscope.storage.folder import TraceFolder
from attnscope.storage.folder_records import FolderRecords
from attnscope.storage.memory import NO_OUTPUTS, OfCall, Outputs, bytes_of
from attnscope.storage.room import warn_if_disk_is_short


class _Held(NamedTuple):
    """A call that waits in memory, and where it goes."""

    folder: FolderRecords
    call: Call
    on_wait: OnWait
    size: int


class BudgetedStore:
    """The passes of a capture within one budget of memory.

    Args:
        folder: Where calls are written. It may be read at any moment.
        budget: Bytes of memory for all passes together.
        spill: Write only the oldest calls, when a new one would not fit. Otherwise write all.
    """

    def __init__(self, folder: TraceFolder, budget: int, *, spill: bool) -> None:
        self.folder, self._budget, self.spills = folder, budget, spill
        self._passes: list[BudgetedRecords] = []
        self._staged: set[int] = set()
        self._held: list[_Held] = []  # oldest first
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._error_is_told = False
        self._to_write = 0  # how many calls the thread should write, oldest first
        self._writing_bytes = 0  # of the copy that writing makes
        self._done = False
        self._writer = threading.Thread(target=self._write, name="attnscope-writer", daemon=True)
        self._writer.start()

    def begin_pass(self, run: Run) -> BudgetedRecords:
        """Begin a pass, and give the records that it fills.

        Args:
            run: What is known of the pass.
        """
        with self._changed:  # the thread writes the manifest, too
            self._changed.wait_for(lambda: not self._writing_bytes or self._error)
            self._passes.append(BudgetedRecords(self, self.folder.begin_pass(run)))
        return self._passes[-1]

    def drop_pass(self) -> None:
        """Take away the last pass: calls that wait in memory are not written any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._writing_bytes or self._error)
            dropped = self._passes.pop()
            self._held = [held for held in self._held if held.folder is not dropped.folder]
            self._to_write = min(self._to_write, len(self._held))
            self.folder.drop_pass()

    def expect(self, size: int, steps: int, *, staged: int = 0) -> None:
        """A pass has its first call: look whether the disk has room for what goes there.

        Args:
            size: Bytes of a step.
            steps: How many will be kept.
            staged: Page-locked memory that a step's copy from a GPU goes through, in bytes.

        Warns:
            LargeCaptureWarning: It has not.
        """
        held = self._budget if self.spills else 0
        warn_if_disk_is_short(self.folder.folder, size * steps - held)

    def allow(self, size: int, staged: int) -> None:
        """Take as much memory as a call needs that is larger than those before.

        Args:
            size: Bytes of the call.
            staged: Page-locked memory that its copy from a GPU goes through, in bytes.
        """
        with self._changed:
            self._budget = max(self._budget, 2 * size + sum({*self._staged, staged}))

    def make_room(self, size: int, *, staged: int = 0) -> None:
        """Wait for the disk until a call fits.

        Args:
            size: Bytes of the call.
            staged: Page-locked memory that its copy from a GPU goes through, in bytes. torch keeps such memory, so it
                counts from then on.

        Raises:
            CaptureError: The call can never fit into the budget.
            OSError: The thread could not write.
        """
        with self._changed:
            self._staged.add(staged)
            least = 2 * size + sum(self._staged)  # a call and the copy of it that is written
            if least > self._budget:
                raise CaptureError(
                    f"a step of this capture takes {size / 1e6:.3g} MB, and {least / 1e6:.3g} MB while it is written, "
                    f"more than the budget of {self._budget / 1e6:.3g} MB: give more, or keep less (kind=, blocks=, "
                    "outputs=, branch=, dtype=)"
                )
            while self._used + size + self._copy_of(size) > self._budget and self._held and not self._error:
                self._to_write = max(self._to_write, 1)
                self._changed.notify_all()
                self._changed.wait()
            self._raise_error()

    def hold(self, folder: FolderRecords, call: Call, records: OfCall, outputs: Outputs = NO_OUTPUTS) -> None:
        """Take a call; wait for the disk first if it would not fit into the budget.

        Args:
            folder: The pass in the folder, to which the call will be written.
            call: The call.
            records: Its records.
            outputs: Its outputs.
        """
        size = bytes_of(records, outputs)
        self.make_room(size)
        with self._changed:
            self._held.append(_Held(folder, call, OnWait(records, outputs), size))
            if not self.spills:
                self._to_write = len(self._held)
            self._changed.notify_all()

    def held(self, folder: FolderRecords, call_index: int) -> OnWait | None:
        """The records and outputs of a call that still waits in memory, else None.

        Args:
            folder: The pass in the folder.
            call_index: Number of the call in its pass.
        """
        with self._changed:
            of_call = (h.on_wait for h in self._held if h.folder is folder and h.call.index == call_index)
            return next(of_call, None)

    def write_all(self) -> None:
        """Wait until all that is held is written. With `spill` there is nothing to wait for."""
        with self._changed:
            while not self.spills and self._held and not self._error:
                self._changed.wait()

    def close(self) -> None:
        """Wait for the disk, and end the thread."""
        with self._changed:
            self._done = True
            self._changed.notify_all()
        self._writer.join()
        passes, self._passes = self._passes, []  # they hold the store
        self.folder.close()
        if not self._error_is_told:
            self._raise_error(passes)

    @property
    def _used(self) -> int:
        return sum(held.size for held in self._held) + self._writing_bytes + sum(self._staged)

    def _copy_of(self, size: int) -> int:
        """The largest copy that writing may need: calls differ in size, for guidance can end early."""
        return max([size, *(held.size for held in self._held)]) - self._writing_bytes

    def _raise_error(self, passes: Sequence[BudgetedRecords] | None = None) -> None:
        if self._error is not None:
            self._error_is_told = True
            lost, self._held = self._held, []
            for records in self._passes if passes is None else passes:
                records.forget([held.call for held in lost if held.folder is records.folder])
            raise self._error

    def _write(self) -> None:
        while (oldest := self._next()) is not None:
            try:
                records, outputs = oldest.on_wait
                oldest.folder.add_call(oldest.call, dict(records), outputs)
            except BaseException as error:
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            with self._changed:
                self._held.remove(oldest)
                self._writing_bytes, self._to_write = 0, self._to_write - 1
                self._changed.notify_all()

    def _next(self) -> _Held | None:
        """The oldest call to write, None when the capture is over."""
        with self._changed:
            while not self._to_write and not self._done:
                self._changed.wait()
            if not self._to_write or not self._held:
                return None
            self._writing_bytes = self._held[0].size
            return self._held[0]
