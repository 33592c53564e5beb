"""The place of a capture that was told none: memory as long as there is room, then a temporary folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

from torch import Tensor

from attnscope.errors import CaptureError, OutputError
from attnscope.records import Call, Layer, LayerId, Run
from attnscope.records.qkv import Record
from attnscope.records.reduced import ReducedMaps
from attnscope.storage.budgeted import BudgetedStore
from attnscope.storage.budgeted_records import BudgetedRecords
from attnscope.storage.memory import (
    NO_OUTPUTS,
    MemoryRecords,
    Outputs,
    Projections,
    all_of_call,
    bytes_of,
)
from attnscope.storage.room import LargeCaptureWarning, free_disk, free_memory, in_gb, temporary_place

MEMORY_SHARE = 0.5
"""The share of free memory, at a capture's first step, that Q and K take before they go to disk."""
MEMORY_UNKNOWN = 8 * 10**9
"""What they take where nothing tells how much is free: half of a usual laptop's."""
LESS = "keep less (kind=, blocks=, outputs=, steps=, branch=, dtype=torch.float16, keep=)"
FOLDER = "folder='run.trace'"


class OverflowingStore:
    """Passes kept as tensors, until they would take more than a share of the memory that is free.

    Args:
        spill: Makes a store within a budget of bytes, whose oldest calls go to a temporary folder.
    """

    def __init__(self, spill: Callable[[int], BudgetedStore]) -> None:
        self._spill = spill
        self._spilled: BudgetedStore | None = None
        self._passes: list[tuple[Run, OverflowingRecords]] = []
        self._limit: float | None = None
        self._free = 0.0

    def begin_pass(self, run: Run) -> OverflowingRecords:
        """Begin a pass, and give the records that it fills.

        Args:
            run: What is known of the pass.
        """
        place = MemoryRecords() if self._spilled is None else self._spilled.begin_pass(run)
        self._passes.append((run, OverflowingRecords(place)))
        return self._passes[-1][1]

    def drop_pass(self) -> None:
        """Take away the last pass, and all that was kept of it."""
        self._passes.pop()
        if self._spilled is not None:
            self._spilled.drop_pass()

    def expect(self, size: int, steps: int, *, staged: int = 0) -> None:
        """A pass has its first call: look whether all of it is going to fit.

        Args:
            size: Bytes of a step.
            steps: How many will be kept, as far as that is known.
            staged: Page-locked memory that a step's copy from a GPU goes through, in bytes.

        Raises:
            CaptureError: Neither memory nor disk has room.

        Warns:
            LargeCaptureWarning: It goes to disk.
        """
        if self._limit is None:  # what was just computed is no longer free
            free = free_memory()
            self._free = MEMORY_UNKNOWN / MEMORY_SHARE if free is None else free + size
            self._limit = MEMORY_SHARE * self._free
        if steps == 1 and not self._held:  # it is there already, and nothing is known to follow
            self._limit = max(self._limit, size)
        if self._spilled is None and self._held + size * steps > self._limit:
            self._overflow(size, steps, staged)

    def make_room(self, size: int, *, staged: int = 0) -> None:
        """Called before a call comes; may wait for the disk.

        Args:
            size: Bytes of the call.
            staged: Page-locked memory that its copy from a GPU goes through, in bytes.

        Raises:
            OSError: A call could not be written.
        """
        if self._spilled is None and self._limit is not None and self._held + size > self._limit:
            self._overflow(size, 0, staged)
        if self._spilled is not None:
            self._spilled.allow(size, staged)
            self._spilled.make_room(size, staged=staged)

    def close(self) -> None:
        """The capture is over, and every pass was finished."""
        self._passes = []  # they may hold the folder
        if self._spilled is not None:
            self._spilled.close()

    @property
    def _held(self) -> int:
        return sum(records.bytes_in_memory for _, records in self._passes)

    def _overflow(self, size: int, steps: int, staged: int) -> None:
        """Go on in a temporary folder. steps: 0 if nobody knows how many come."""
        assert self._limit is not None
        budget, needed = int(max(self._limit, 2 * size + staged)), self._held + size * max(steps, 1)
        which = f" ({in_gb(size)} a step, {steps} steps)" if steps else f" by now ({in_gb(size)} a step)"
        allowed = f"{in_gb(self._limit)}, {MEMORY_SHARE:.0%} of the memory that is free"
        what = f"this capture takes {in_gb(needed)}{which}, more than {allowed}"
        place, room = _disk()
        if budget > self._free:
            self._give_up(f"{what}, and a step takes {in_gb(budget)} while it is written: {LESS}", steps)
            return
        if needed - budget > room:
            lacking = f"{place} has {in_gb(room)} left for it"
            self._give_up(f"{what}, and {lacking}: {LESS}, or write it to a disk with room ({FOLDER})", steps)
            return
        try:
            self._move_to(budget)
        except OutputError as error:
            self._give_up(f"{what}, and {error}; or {LESS}", steps)
            return
        warnings.warn(
            f"{what}: its oldest steps go to {place} ({in_gb(room)} free) and are deleted with the trace; "
            f"name a folder to keep them ({FOLDER}), {LESS}, or give it more memory (budget='90%')",
            LargeCaptureWarning,
            stacklevel=2,
        )

    def _give_up(self, why: str, steps: int) -> None:
        """Ask for a choice at the first step; of a run that may be over soon, say it once and go on."""
        if steps:
            raise CaptureError(why)
        self._limit = float("inf")
        warnings.warn(f"{why}; it goes on in memory", LargeCaptureWarning, stacklevel=3)

    def _move_to(self, budget: int) -> None:
        store = self._spill(budget)
        moved = [(records, store.begin_pass(run)) for run, records in self._passes]
        for records, place in moved:
            records.copy_to(place)
        for records, place in moved:
            records.place = place
        self._spilled = store


def _disk() -> tuple[str, int]:
    """Where temporary files go, and bytes that are free there."""
    try:
        place = temporary_place()
        return place, free_disk(place)
    except OSError as error:  # there is none that anybody may write to
        return str(error), 0


class OverflowingRecords:
    """The records of one pass: in memory, or wherever its store has moved them.

    Args:
        place: Where they are.
    """

    def __init__(self, place: MemoryRecords | BudgetedRecords) -> None:
        self.place = place
        self.bytes_in_memory = 0
        """Bytes of all tensors, as long as they are in memory."""

    @property
    def calls(self) -> list[Call]:
        """The calls, in order."""
        return self.place.calls

    @property
    def layers(self) -> dict[LayerId, Layer]:
        """The layers, by their names."""
        return self.place.layers

    @property
    def outputs(self) -> dict[str, str]:
        """Paths of the modules whose output is kept, each with the name of its class."""
        return self.place.outputs

    def add_call(self, call: Call, records: dict[LayerId, Record], outputs: Outputs = NO_OUTPUTS) -> None:
        """Take the records of a complete call.

        Args:
            call: The call.
            records: Its records.
            outputs: Its outputs.
        """
        self.place.add_call(call, records, outputs)
        self.bytes_in_memory += bytes_of(records, outputs)

    def has(self, call_index: int, what: LayerId | str) -> bool:
        """Whether there is the record of a layer, or the output of a module, in a call.

        Args:
            call_index: Number of the call in its pass.
            what: The layer, or the module's path.
        """
        return self.place.has(call_index, what)

    def get(self, call_index: int, layer: LayerId) -> Record:
        """The record of a layer in a call.

        Args:
            call_index: Number of the call in its pass.
            layer: The layer.
        """
        return self.place.get(call_index, layer)

    def output(self, call_index: int, path: str) -> Tensor:
        """What a module gave in a call, all rows.

        Args:
            call_index: Number of the call in its pass.
            path: The module's path.
        """
        return self.place.output(call_index, path)

    @property
    def projections(self) -> Projections:
        """How layers make keys of a text, by layer."""
        return self.place.projections

    def keep_projections(self, projections: Projections) -> None:
        """Keep how layers make keys of a text, in place of what is kept by now.

        Args:
            projections: By layer.
        """
        self.place.keep_projections(projections)

    def finish(self, reduced: Mapping[str, ReducedMaps]) -> None:
        """The pass is over: write what is left to write.

        Args:
            reduced: The maps reduced over the pass.
        """
        self.place.finish(reduced)

    def copy_to(self, place: BudgetedRecords) -> None:
        """Put all records to another place, too.

        Args:
            place: An empty place.
        """
        place.layers.update(self.place.layers)
        place.outputs.update(self.place.outputs)
        place.keep_projections(self.place.projections)
        for call in self.place.calls:
            place.add_call(call, *all_of_call(self.place, call))
