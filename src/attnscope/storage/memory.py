"""Where the records of a capture are: the protocols of all such places, and memory, the simplest."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from torch import Tensor

from attnscope.records import Call, Layer, LayerId, Run
from attnscope.records.projections import KeyProjection
from attnscope.records.qkv import Record
from attnscope.records.reduced import ReducedMaps

OfCall = Mapping[LayerId, Record]
Outputs = Mapping[str, Tensor]
"""What modules gave in one call, by their paths."""
NO_OUTPUTS: Outputs = MappingProxyType({})
Projections = Mapping[LayerId, KeyProjection]


class Records(Protocol):
    """The records of one pass."""

    @property
    def calls(self) -> list[Call]: ...

    @property
    def layers(self) -> dict[LayerId, Layer]: ...

    @property
    def outputs(self) -> dict[str, str]:
        """Paths of the modules whose output is kept, each with the name of its class."""
        ...

    def add_call(self, call: Call, records: dict[LayerId, Record], outputs: Outputs = NO_OUTPUTS) -> None: ...

    def has(self, call_index: int, what: LayerId | str) -> bool:
        """Whether there is the record of a layer, or the output of the module of a path.

        Args:
            call_index: Number of the call in its pass.
            what: The layer, or the path.
        """
        ...

    def get(self, call_index: int, layer: LayerId) -> Record: ...

    def output(self, call_index: int, path: str) -> Tensor: ...

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


def bytes_of(records: OfCall, outputs: Outputs = NO_OUTPUTS) -> int:
    """Memory of Q, K, V and masks, and of what modules gave, in bytes.

    Args:
        records: The records of one call.
        outputs: Its outputs.
    """
    tensors = [tensor for record in records.values() for tensor in record.tensors.values()]
    return sum(tensor.numel() * tensor.element_size() for tensor in (*tensors, *outputs.values()))


def all_of_call(records: Records, call: Call) -> tuple[dict[LayerId, Record], dict[str, Tensor]]:
    """The records and the outputs of one call.

    Args:
        records: Those of its pass, wherever they are.
        call: The call.
    """
    layers = [layer for layer in records.layers if records.has(call.index, layer)]
    paths = [path for path in records.outputs if records.has(call.index, path)]
    return (
        {layer: records.get(call.index, layer) for layer in layers},
        {path: records.output(call.index, path) for path in paths},
    )


class MemoryRecords:
    """Records kept as tensors."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.layers: dict[LayerId, Layer] = {}
        self.outputs: dict[str, str] = {}
        self.projections: Projections = {}
        self._records: dict[tuple[int, LayerId], Record] = {}
        self._outputs: dict[tuple[int, str], Tensor] = {}

    def add_call(self, call: Call, records: dict[LayerId, Record], outputs: Outputs = NO_OUTPUTS) -> None:
        """Take the records of a complete call.

        Args:
            call: The call.
            records: Its records.
            outputs: Its outputs.
        """
        self._records.update({(call.index, layer): record for layer, record in records.items()})
        self._outputs.update({(call.index, path): tensor for path, tensor in outputs.items()})
        self.calls.append(call)

    def has(self, call_index: int, what: LayerId | str) -> bool:
        """Whether there is the record of a layer, or the output of a module, in a call.

        Args:
            call_index: Number of the call in its pass.
            what: The layer, or the module's path.
        """
        return (call_index, what) in (self._outputs if isinstance(what, str) else self._records)

    def get(self, call_index: int, layer: LayerId) -> Record:
        """The record of a layer in a call.

        Args:
            call_index: Number of the call in its pass.
            layer: The layer.
        """
        return self._records[call_index, layer]

    def output(self, call_index: int, path: str) -> Tensor:
        """What a module gave in a call, all rows.

        Args:
            call_index: Number of the call in its pass.
            path: The module's path.
        """
        return self._outputs[call_index, path]

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
    copied.layers, copied.outputs = dict(records.layers), dict(records.outputs)
    copied.keep_projections(dict(records.projections))
    for call in records.calls:
        kept, outputs = all_of_call(records, call)
        copied.add_call(
            call,
            {layer: record.mapped(Tensor.clone) for layer, record in kept.items()},
            {path: tensor.clone() for path, tensor in outputs.items()},
        )
    return copied
