"""Time as training counts it: seconds of work, without the pauses of a suspended process."""

from __future__ import annotations

import time

LONGEST_STEP = 90.0
"""Seconds that one step can count at most (drawing scenes belongs to a step); more was a pause."""


class WorkClock:
    """Adds up the time between ticks; a phase is over when its seconds are used."""

    def __init__(self, budget_s: float, used_s: float = 0.0) -> None:
        self.budget_s = budget_s
        self.used_s = used_s
        self._last = time.monotonic()

    def begin(self) -> None:
        """Count from here: what came before was preparation."""
        self._last = time.monotonic()

    def tick(self) -> None:
        """Call once a step."""
        now = time.monotonic()
        self.used_s += min(now - self._last, LONGEST_STEP)
        self._last = now

    @property
    def progress(self) -> float:
        """Share of the budget that is used, 0..1."""
        return min(1.0, self.used_s / self.budget_s) if self.budget_s else 1.0


class StepClock(WorkClock):
    """Its budget is steps: two trainings of as many steps are paced alike on any machine."""

    def __init__(self, steps: int) -> None:
        super().__init__(0.0)
        self.steps = steps
        self.taken = 0

    def tick(self) -> None:
        super().tick()
        self.taken += 1

    @property
    def progress(self) -> float:
        """Share of the steps that are taken, 0..1."""
        return min(1.0, self.taken / self.steps)


def learning_rate(peak: float, progress: float, *, warm_up: float = 0.03) -> float:
    """Linear warm-up, then a straight line down to 2 % of the peak; progress is the share of time used."""
    if progress < warm_up:
        return peak * (0.02 + 0.98 * progress / warm_up)
    return peak * (1 - 0.98 * (progress - warm_up) / (1 - warm_up))
