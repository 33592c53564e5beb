"""Where the records of a capture are: the protocol of all such places, and the simplest one, memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attnscope.records import Layer, LayerId, Run, Step
from attnscope.records.qkv import Record
from attnscope.records.reduced import ReducedMaps


class Records(Protocol):
    """Where the records are: in memory, or in a folder."""

    @property
    def steps(self) -> list[Step]: ...

    @property
    def layers(self) -> dict[LayerId, Layer]: ...

    @property
    def in_memory(self) -> bool:
        """Whether all steps stay in memory, however many they are."""
        ...

    def make_room(self, size: int, *, staged: int = 0) -> None:
        """Called before a step of this many bytes comes; may wait, or raise CaptureError if it can never fit.

        staged: page-locked memory that its copy from a GPU goes through.
        """
        ...

    def add_step(self, step: Step, records: dict[LayerId, Record]) -> None: ...

    def has(self, step_index: int, layer: LayerId) -> bool: ...

    def get(self, step_index: int, layer: LayerId) -> Record: ...

    def finish(self, run: Run, reduced: Mapping[str, ReducedMaps]) -> None:
        """The capture is over: write what is left to write."""
        ...


class MemoryRecords:
    """Records kept as tensors."""

    in_memory = True

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.layers: dict[LayerId, Layer] = {}
        self._records: dict[tuple[int, LayerId], Record] = {}

    def make_room(self, size: int, *, staged: int = 0) -> None:
        """Memory is not counted here."""

    def add_step(self, step: Step, records: dict[LayerId, Record]) -> None:
        self._records.update({(step.index, layer): record for layer, record in records.items()})
        self.steps.append(step)

    def has(self, step_index: int, layer: LayerId) -> bool:
        return (step_index, layer) in self._records

    def get(self, step_index: int, layer: LayerId) -> Record:
        return self._records[step_index, layer]

    def finish(self, run: Run, reduced: Mapping[str, ReducedMaps]) -> None:
        """Nothing is left to do."""
