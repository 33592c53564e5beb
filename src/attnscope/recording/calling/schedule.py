"""Which denoising step a call of the model belongs to, by the scheduler's own list of timesteps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor


@dataclass
class _Timesteps:
    """One list of timesteps, and every tensor that has held it: a copy of the scheduler has a copy of the list."""

    values: list[float]
    tensors: list[Tensor] = field(default_factory=list)


class Place(NamedTuple):
    """Where a timestep stands.

    Attributes:
        timestep: Its number.
        used: The list that it is in, None if it is in none.
        entry: Its number in the list.
    """

    timestep: float
    used: _Timesteps | None = None
    entry: int | None = None


class Schedule:
    """Matches the calls of one pass to the entries of the scheduler's `timesteps`.

    A step is `scheduler.order` entries, as diffusers counts: Heun's second evaluation belongs to the step of the first.
    Calls with the same entry belong to one step. Where there is no scheduler, or the timestep is not in its list, every
    call is a step. Somebody may set timesteps anew in the middle of a run: the pipeline goes on with the old list.

    Args:
        scheduler: The pipeline's scheduler, or None.
        timesteps: The pipeline's own list, if that is known: the scheduler may have a copy by now.
        order: Entries of a step, where the scheduler's own number is not meant.
        is_shared: Whether another model takes some of the entries: steps are counted from the list's first one.
    """

    def __init__(
        self, scheduler: Any, timesteps: Any = None, order: int | None = None, *, is_shared: bool = False
    ) -> None:
        self._scheduler, self._order, self._is_shared = scheduler, order, is_shared
        self._lists: list[_Timesteps] = []
        self._read(timesteps)
        self._used: _Timesteps | None = None
        self._entry: int | None = None
        self._first = 0
        self._step_of_first = 0
        self._direction = 0
        self.current = -1
        """The step of the last call."""

    @property
    def order(self) -> int:
        """Entries of the list in one step."""
        order = self._order or getattr(self._scheduler, "order", 1)
        return order if isinstance(order, int) and order > 1 else 1

    def find(self, timestep: Any) -> Place:
        """Where a timestep stands in the list.

        Args:
            timestep: As the model got it, a number or a tensor.
        """
        self._read(getattr(self._scheduler, "timesteps", None))
        for known in self._lists:
            entry = _entry_by_memory(known, timestep)
            if entry is not None:
                return Place(known.values[entry], known, entry)
        value = timestep_value(timestep)
        for known in sorted(self._lists, key=lambda known: known is not self._used):
            entry = self._entry_by_value(known, value)
            if entry is not None:
                return Place(value, known, entry)
        return Place(value)

    def of_places(self, timestep: Any) -> list[float]:
        """Where each place of a row has its own: the numbers of the lists among them, several if frames are made apart.

        Args:
            timestep: As the model got it, a number or a tensor.
        """
        if not isinstance(timestep, Tensor) or timestep.ndim < 2 or timestep.is_meta:
            return []  # and a GPU is not asked
        listed = {value for known in self._lists for value in known.values}
        return sorted(listed & {float(value) for value in timestep.unique().tolist()})

    def goes_back(self, place: Place) -> bool:
        """Whether the model's next call is at an entry that the run has left behind: the schedule starts again.

        Args:
            place: The place of its timestep.
        """
        _, used, entry = place
        if self._entry is None or entry is None or used is None or self._used is None:
            return False
        if used is self._used:
            return (entry - self._entry) * self._direction < 0
        return (used.values[entry] - self._used.values[self._entry]) * self._fall < 0

    def step_of(self, place: Place) -> int:
        """The step of the model's next call, from 0.

        Args:
            place: The place of its timestep.
        """
        _, used, entry = place
        if used is None or entry is None:
            self.current += 1
            return self.current
        if self._entry is None or used is not self._used:
            before = entry // self.order if self._is_shared and self._entry is None else self.current + 1
            self._used, self._first, self._step_of_first = used, entry, before
        elif self._direction == 0 and entry != self._entry:
            self._direction = 1 if entry > self._entry else -1
        self._entry = entry
        self.current = self._step_of_first + abs(entry - self._first) // self.order
        return self.current

    @property
    def _fall(self) -> int:
        """-1 if timesteps fall from call to call, as they do where a picture is made; 1 if they rise."""
        assert self._used is not None
        values = self._used.values
        return (1 if values[-1] > values[0] else -1) * (self._direction or 1)

    def _read(self, timesteps: Any) -> None:
        if not isinstance(timesteps, Tensor) or timesteps.ndim != 1 or timesteps.is_meta:
            return
        if any(timesteps is tensor for known in self._lists for tensor in known.tensors[-2:]):
            return
        values = [float(value) for value in timesteps.tolist()]
        known = next((known for known in self._lists if known.values == values), None)
        if known is None:
            known = _Timesteps(values)
            self._lists.append(known)
        known.tensors = [*known.tensors[:1], timesteps]  # the first is the pipeline's own, the last may be

    def _entry_by_value(self, known: _Timesteps, value: float) -> int | None:
        """The next entry of this value, or the current one again if no other has it."""
        values = known.values
        now = -1 if self._entry is None or known is not self._used else self._entry
        order = (*range(now + 1, len(values)), *range(now, -1, -1))
        following = values[now + 1 : now + 2] == [value]
        if now >= 0 and values[now] == value and not following:
            return now
        return next((entry for entry in order if values[entry] == value), None)


def timestep_value(timestep: Any) -> float:
    """A timestep as a number, NaN where it has none.

    Args:
        timestep: As the model got it, a number or a tensor. Where the places of a row have their own (frames that are
            given have no noise), it is that of the noisiest.
    """
    if not isinstance(timestep, Tensor):
        return float(timestep)
    if timestep.is_meta:
        return float("nan")
    return float(timestep.max() if timestep.ndim > 1 else timestep.flatten()[0])


def _entry_by_memory(known: _Timesteps, timestep: Any) -> int | None:
    """The entry that this tensor is, by its address: pipelines hand over the list's own, and no GPU is asked."""
    if not isinstance(timestep, Tensor) or timestep.is_meta:
        return None
    if any(size > 1 and stride > 0 for size, stride in zip(timestep.shape, timestep.stride(), strict=True)):
        return None  # several numbers, or a copy for each row
    for timesteps in known.tensors:
        if timestep.dtype != timesteps.dtype or timesteps.stride() != (1,):
            continue
        if timestep.untyped_storage().data_ptr() != timesteps.untyped_storage().data_ptr():
            continue
        entry = int(timestep.storage_offset()) - int(timesteps.storage_offset())
        if 0 <= entry < len(known.values):
            return entry
    return None
