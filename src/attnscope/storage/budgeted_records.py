"""The records of one pass within a budget: some still wait in memory, the others are in the folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from attnscope.records import Call, Layer, LayerId
from attnscope.records.qkv import Record
from attnscope.records.reduced import ReducedMaps
from attnscope.storage.folder_records import FolderRecords
from attnscope.storage.memory import NO_OUTPUTS, OfCall, Outputs, Projections, Records, in_memory


class OnWait(NamedTuple):
    """What a call left, as long as it waits to be written."""

    records: OfCall
    outputs: Outputs


class Waiting(Protocol):
    """What holds the calls that wait: the store, within its budget."""

    @property
    def spills(self) -> bool: ...

    def hold(self, folder: FolderRecords, call: Call, records: OfCall, outputs: Outputs) -> None: ...

    def held(self, folder: FolderRecords, call_index: int) -> OnWait | None: ...

    def write_all(self) -> None: ...


class BudgetedRecords:
    """The records of one pass: some still in memory, the others in the folder.

    Args:
        store: The store, which holds the budget.
        folder: The pass in the folder.
    """

    def __init__(self, store: Waiting, folder: FolderRecords) -> None:
        self._store, self.folder = store, folder
        self.layers: dict[LayerId, Layer] = folder.layers
        self.outputs: dict[str, str] = folder.outputs
        self.calls: list[Call] = []
        self.projections: Projections = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> BudgetedRecords:
        """Records are never changed, so a copy shares them, and the folder of those that were written."""
        twin = BudgetedRecords(self._store, self.folder)
        twin.layers, twin.outputs, twin.calls = dict(self.layers), dict(self.outputs), list(self.calls)
        twin.projections = self.projections
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as the folder, where that stays and has all of it; else with all tensors, as from memory."""
        waiting = any(self._store.held(self.folder, call.index) is not None for call in self.calls)
        return _same, (in_memory(self) if waiting or self._store.spills else self.folder,)

    def add_call(self, call: Call, records: dict[LayerId, Record], outputs: Outputs = NO_OUTPUTS) -> None:
        """Take the records of a complete call.

        Args:
            call: The call.
            records: Its records.
            outputs: Its outputs.
        """
        self._store.hold(self.folder, call, records, outputs)
        self.calls.append(call)

    def has(self, call_index: int, what: LayerId | str) -> bool:
        """Whether there is the record of a layer, or the output of a module, in a call.

        Args:
            call_index: Number of the call in its pass.
            what: The layer, or the module's path.
        """
        held = self._store.held(self.folder, call_index)
        if held is None:
            return self.folder.has(call_index, what)
        return what in (held.outputs if isinstance(what, str) else held.records)

    def get(self, call_index: int, layer: LayerId) -> Record:
        """The record of a layer in a call, from memory or from the folder.

        Args:
            call_index: Number of the call in its pass.
            layer: The layer.
        """
        held = self._store.held(self.folder, call_index)
        return self.folder.get(call_index, layer) if held is None else held.records[layer]

    def output(self, call_index: int, path: str) -> Tensor:
        """What a module gave in a call, all rows, from memory or from the folder.

        Args:
            call_index: Number of the call in its pass.
            path: The module's path.
        """
        held = self._store.held(self.folder, call_index)
        return self.folder.output(call_index, path) if held is None else held.outputs[path]

    def keep_projections(self, projections: Projections) -> None:
        """Keep how layers make keys of a text, in memory, and where the folder stays, there.

        Args:
            projections: By layer.
        """
        self.projections = projections
        if not self._store.spills:
            self.folder.keep_projections(projections)

    def finish(self, reduced: Mapping[str, ReducedMaps]) -> None:
        """Wait for the disk. Without `spill` the folder then holds the whole pass.

        Args:
            reduced: The maps reduced over the pass.
        """
        self._store.write_all()
        if not self._store.spills:
            self.folder.finish(reduced)

    def forget(self, lost: list[Call]) -> None:
        """Drop calls that could not be written.

        Args:
            lost: The calls.
        """
        gone = {call.index for call in lost}
        self.calls = [call for call in self.calls if call.index not in gone]


def _same(records: Records) -> Records:
    return records
