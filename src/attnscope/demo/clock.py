"""Time as training counts it: seconds of work, without the pauses of a suspended process."""

from __future__ import annotations

import time

LONGEST_STEP = 90.0
"""The most seconds that one step can count, drawing of scenes included; more was a pause."""


class WorkClock:
    """Adds up the time between ticks. A phase is over when its seconds are used.

    Args:
        budget_s: Seconds of the phase.
        used_s: Seconds used before.
    """

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
    """A clock whose budget is steps: two trainings of as many steps are paced alike on any machine.

    Args:
        steps: How many.
    """

    def __init__(self, steps: int) -> None:
        super().__init__(0.0)
        self.steps = steps
        self.taken = 0

    def tick(self) -> None:
        """Call once a step."""
        super().tick()
        self.taken += 1

    @property
    def progress(self) -> float:
        """Share of the steps that are taken, 0..1."""
        return min(1.0, self.taken / self.steps)


def learning_rate(peak: float, progress: float, *, warm_up: float = 0.03) -> float:
    """Linear warm-up, then a straight line down to 2 % of the peak.

    Args:
        peak: The largest rate.
        progress: Share of the time that is used, 0..1.
        warm_up: Share of the time for the warm-up, 0..1.
    """
    if progress < warm_up:
        return peak * (0.02 + 0.98 * progress / warm_up)
    return peak * (1 - 0.98 * (progress - warm_up) / (1 - warm_up))
