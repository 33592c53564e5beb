"""Which denoising step a call of the model belongs to, by the scheduler's own list of timesteps."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class Schedule:
    """Matches the calls of one pass to the entries of the scheduler's `timesteps`.

    A step is `scheduler.order` entries, as diffusers counts: Heun's second evaluation belongs to the step of the first.
    Calls with the same entry belong to one step. Where there is no scheduler, or the timestep is not in its list, every
    call is a step.

    Args:
        scheduler: The pipeline's scheduler, or None.
    """

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._timesteps: Tensor | None = None
        self._values: list[float] = []
        self._entry: int | None = None
        self._first: int | None = None
        self._last_step = -1

    @property
    def order(self) -> int:
        """Entries of the list in one step."""
        order = getattr(self._scheduler, "order", 1)
        return order if isinstance(order, int) and order > 1 else 1

    def step_of(self, timestep: Any) -> tuple[int, float]:
        """The step of the model's next call: its number from 0, and the timestep as a float.

        Args:
            timestep: As the model got it, a number or a tensor.
        """
        self._read()
        entry = self._entry_by_memory(timestep)
        value = self._values[entry] if entry is not None else _number(timestep)
        entry = self._entry_by_value(value) if entry is None else entry
        if entry is None:
            self._last_step += 1
            return self._last_step, value
        self._entry = entry
        self._first = entry if self._first is None else min(self._first, entry)
        self._last_step = (entry - self._first) // self.order
        return self._last_step, value

    def _read(self) -> None:
        timesteps = getattr(self._scheduler, "timesteps", None)
        if timesteps is None or timesteps is self._timesteps:
            return
        listed = isinstance(timesteps, Tensor) and timesteps.ndim == 1 and not timesteps.is_meta
        self._timesteps = timesteps if listed else None
        values = [float(value) for value in timesteps.tolist()] if listed else []
        if values != self._values:  # a copy of the scheduler has the same list
            self._values, self._entry = values, None

    def _entry_by_memory(self, timestep: Any) -> int | None:
        """The entry that this tensor is, by its address: pipelines hand over the list's own, and no GPU is asked."""
        timesteps = self._timesteps
        if not self._values or not isinstance(timestep, Tensor) or timestep.numel() != 1 or timestep.is_meta:
            return None
        assert timesteps is not None  # it has values
        if timestep.dtype != timesteps.dtype or timesteps.stride() != (1,):
            return None
        if timestep.untyped_storage().data_ptr() != timesteps.untyped_storage().data_ptr():
            return None
        entry = int(timestep.storage_offset()) - int(timesteps.storage_offset())
        return entry if 0 <= entry < len(self._values) else None

    def _entry_by_value(self, value: float) -> int | None:
        """The next entry of this value, or the current one again if no other has it."""
        now = -1 if self._entry is None else self._entry
        order = (*range(now + 1, len(self._values)), *range(now, -1, -1))
        following = self._values[now + 1 : now + 2] == [value]
        if now >= 0 and self._values[now] == value and not following:
            return now
        return next((entry for entry in order if self._values[entry] == value), None)


def _number(timestep: Any) -> float:
    if isinstance(timestep, Tensor):
        return float("nan") if timestep.is_meta else float(timestep.flatten()[0])
    return float(timestep)
