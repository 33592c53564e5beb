"""Records within a budget of memory: a thread writes steps to a folder while the model goes on.

Steps wait in memory until they are written. With `spill` only the oldest ones are written, when a new one would
not fit; without, all are. The model waits when the budget is used up. An error of the thread (a full disk) is
raised at the next step; the folder then holds every step that was written, and opens.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from attnscope.errors import CaptureError, ParameterError
from attnscope.records import Layer, LayerId, Run, Step
from attnscope.records.qkv import Record
from attnscope.records.reduced import ReducedMaps
from attnscope.storage.folder import TraceFolder

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "B": 1}
Records = Mapping[LayerId, Record]


def parse_bytes(size: int | str) -> int:
    """'2GB', '500 MB', '1.5GiB' or a number of bytes, as a number of bytes, 1 or more.

    >>> parse_bytes("1.5 GB")
    1500000000
    """
    text = str(size).strip().upper()
    unit = next((name for name in UNITS if text.endswith(name)), "")
    try:
        count = float(text.removesuffix(unit)) * UNITS.get(unit, 1)
    except ValueError:
        count = float("nan")
    if isinstance(size, bool) or not 1 <= count < 2**60:
        raise ParameterError(
            f"budget is {size!r}; expected a size such as '2GB', '500MB', or a number of bytes"
        )
    return int(count)


def bytes_of(records: Records) -> int:
    """Memory of Q, K, V and masks."""
    return sum(t.numel() * t.element_size() for record in records.values() for t in record.tensors.values())


class BudgetedRecords:
    """Records of a capture with a budget. folder: where steps go; it may be read at any moment."""

    in_memory = False

    def __init__(self, folder: TraceFolder, budget: int, *, spill: bool) -> None:
        self.folder, self._budget, self._spill = folder, budget, spill
        self.layers: dict[LayerId, Layer] = folder.layers
        self.steps: list[Step] = []
        self._staged: set[int] = set()
        self._held: dict[int, tuple[Step, Records, int]] = {}
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._error_is_told = False
        self._to_write = 0  # steps that the thread should write, oldest first
        self._writing_bytes = 0  # a copy that writing makes
        self._done = False
        self._writer = threading.Thread(target=self._write, name="attnscope-writer", daemon=True)
        self._writer.start()

    def make_room(self, size: int, *, staged: int = 0) -> None:
        """Wait for the disk until a step of this many bytes fits. staged: memory its copy from a GPU goes through.

        torch keeps that memory, by size, and so it counts from then on.
        """
        with self._changed:
            self._staged.add(staged)
            least = 2 * size + sum(self._staged)  # a step and the copy of it that is written
            if least > self._budget:
                raise CaptureError(
                    f"a step of this capture takes {size / 1e6:.0f} MB, and {least / 1e6:.0f} MB while it is written, "
                    f"more than the budget of {self._budget / 1e6:.0f} MB: give more, or keep less (kind=, blocks=, "
                    "branch=, dtype=)"
                )
            while self._used + size + self._copy_of(size) > self._budget and self._held and not self._error:
                self._to_write = max(self._to_write, 1)
                self._changed.notify_all()
                self._changed.wait()
            self._raise_error()

    def add_step(self, step: Step, records: dict[LayerId, Record]) -> None:
        """Take a step; waits for the disk when it would not fit into the budget."""
        size = bytes_of(records)
        self.make_room(size)
        with self._changed:
            self._held[step.index] = (step, records, size)
            self.steps.append(step)
            if not self._spill:
                self._to_write = len(self._held)
            self._changed.notify_all()

    def has(self, step_index: int, layer: LayerId) -> bool:
        with self._changed:
            if step_index in self._held:
                return layer in self._held[step_index][1]
        return self.folder.has(step_index, layer)

    def get(self, step_index: int, layer: LayerId) -> Record:
        with self._changed:
            if step_index in self._held:
                return self._held[step_index][1][layer]
        return self.folder.get(step_index, layer)

    def finish(self, run: Run, reduced: Mapping[str, ReducedMaps]) -> None:
        """Wait for the disk; without `spill` the folder is then the whole trace."""
        with self._changed:
            self._done = True
            self._changed.notify_all()
        self._writer.join()
        if not self._spill:
            self.folder.finish(run, reduced)
        if not self._error_is_told:
            self._raise_error()

    @property
    def _used(self) -> int:
        held = sum(size for _, _, size in self._held.values())
        return held + self._writing_bytes + sum(self._staged)

    def _copy_of(self, size: int) -> int:
        """What writing any step that will be held may take besides; guidance that ends early makes smaller ones."""
        return max([size, *(held for _, _, held in self._held.values())]) - self._writing_bytes

    def _raise_error(self) -> None:
        if self._error is not None:
            self._error_is_told = True
            lost, self._held = set(self._held), {}
            self.steps = [step for step in self.steps if step.index not in lost]
            raise self._error

    def _write(self) -> None:
        while (oldest := self._next()) is not None:
            step, records, _ = oldest
            try:
                self.folder.add_step(step, dict(records))
            except BaseException as error:
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            with self._changed:
                del self._held[step.index]
                self._writing_bytes, self._to_write = 0, self._to_write - 1
                self._changed.notify_all()

    def _next(self) -> tuple[Step, Records, int] | None:
        """The oldest step that is to be written; None when the capture is over."""
        with self._changed:
            while not self._to_write and not self._done:
                self._changed.wait()
            if not self._to_write or not self._held:
                return None
            oldest = next(iter(self._held.values()))
            self._writing_bytes = oldest[2]
            return oldest
