"""Where the records of a capture are: the protocols of all such places, and memory, the simplest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from attnscope.records import Call, Layer, LayerId, Run
from attnscope.records.projections import KeyProjection
from attnscope.records.qkv import Record
from attnscope.records.reduced import ReducedMaps

OfCall = Mapping[LayerId, Record]
Projections = Mapping[LayerId, KeyProjection]


class Records(Protocol):
    """The records of one pass."""

    @property
    def calls(self) -> list[Call]: ...

    @property
    def layers(self) -> dict[LayerId, Layer]: ...

    def add_call(self, call: Call, records: dict[LayerId, Record]) -> None: ...

    def has(self, call_index: int, layer: LayerId) -> bool: ...

    def get(self, call_index: int, layer: LayerId) -> Record: ...

    @property
    def projections(self) -> Projections: ...

    def keep_projections(self, projections: Projections) -> None:
        """Keep how layers make keys of a text, in place of what is kept by now.

        Args:
            projections: By layer; none for none.
        """
        ...

    def finish(self, reduced: Mapping[str, ReducedMaps]) -> None:
        """The pass is over: write what is left to write.

        Args:
            reduced: The maps reduced over the pass.
        """
        ...


class Store(Protocol):
    """Where a capture puts its passes, one after the other."""

    def begin_pass(self, run: Run) -> Records: ...

    def drop_pass(self) -> None:
        """Take away the last pass, and all that was kept of it."""
        ...

    def expect(self, size: int, steps: int, *, staged: int = 0) -> None:
        """A pass has its first call: look whether all of it is going to fit.

        Args:
            size: Bytes of a step.
            steps: How many will be kept, 0 if nobody knows.
            staged: Page-locked memory that a step's copy from a GPU goes through, in bytes.
        """
        ...

    def make_room(self, size: int, *, staged: int = 0) -> None:
        """Called before a call comes; may wait.

        Args:
            size: Bytes of the call.
            staged: Page-locked memory that its copy from a GPU goes through, in bytes.

        Raises:
            CaptureError: The call can never fit.
        """
        ...

    def close(self) -> None:
        """The capture is over, and every pass was finished."""
        ...


def bytes_of(records: OfCall) -> int:
    """Memory of Q, K, V and masks, in bytes.

    Args:
        records: The records of one call.
    """
    return sum(t.numel() * t.element_size() for record in records.values() for t in record.tensors.values())


class MemoryRecords:
    """Records kept as tensors."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.layers: dict[LayerId, Layer] = {}
        self.projections: Projections = {}
        self._records: dict[tuple[int, LayerId], Record] = {}

    def add_call(self, call: Call, records: dict[LayerId, Record]) -> None:
        """Take the records of a complete call.

        Args:
            call: The call.
            records: Its records.
        """
        self._records.update({(call.index, layer): record for layer, record in records.items()})
        self.calls.append(call)

    def has(self, call_index: int, layer: LayerId) -> bool:
        """Whether there is a record of a layer in a call.

        Args:
            call_index: Number of the call in its pass.
            layer: The layer.
        """
        return (call_index, layer) in self._records

    def get(self, call_index: int, layer: LayerId) -> Record:
        """The record of a layer in a call.

        Args:
            call_index: Number of the call in its pass.
            layer: The layer.
        """
        return self._records[call_index, layer]

    def keep_projections(self, projections: Projections) -> None:
        """Keep how layers make keys of a text, in place of what is kept by now.

        Args:
            projections: By layer.
        """
        self.projections = projections

    def finish(self, reduced: Mapping[str, ReducedMaps]) -> None:
        """Nothing is left to do.

        Args:
            reduced: The maps reduced over the pass.
        """


class MemoryStore:
    """Passes kept as tensors, on the model's device; their memory is not counted."""

    def begin_pass(self, run: Run) -> MemoryRecords:
        """Give the records that a new pass fills.

        Args:
            run: What is known of the pass.
        """
        return MemoryRecords()

    def drop_pass(self) -> None:
        """Nothing is left to do: nobody else holds the last pass."""

    def expect(self, size: int, steps: int, *, staged: int = 0) -> None:
        """Everything is kept.

        Args:
            size: Bytes of a step.
            steps: How many will be kept.
            staged: Page-locked memory that a step's copy from a GPU goes through, in bytes.
        """

    def make_room(self, size: int, *, staged: int = 0) -> None:
        """Never waits.

        Args:
            size: Bytes of the call.
            staged: Page-locked memory that its copy from a GPU goes through, in bytes.
        """

    def close(self) -> None:
        """Nothing is left to do."""


def in_memory(records: Records) -> MemoryRecords:
    """The same records as tensors of their own.

    Args:
        records: Those of one pass, wherever they are.

    Cost: the memory of all of them.
    """
    copied = MemoryRecords()
    copied.layers = dict(records.layers)
    copied.keep_projections(dict(records.projections))
    for call in records.calls:
        there = [layer for layer in records.layers if records.has(call.index, layer)]
        copied.add_call(call, {layer: records.get(call.index, layer).mapped(Tensor.clone) for layer in there})
    return copied
