"""Which step a prediction belongs to: samplers predict, report the step, and may predict again within it.

A sampler predicts at the step's sigma and then reports the step's number to its callback. So the last prediction before
a report is the one that the step is made of; those before it came after the last report and belong to that step, as
Heun's second one does. A sampler that reports otherwise is found by its sigmas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from attnscope.errors import CaptureError

from .seen import SeenCall

MOST_CHURN = 1.42
"""How far a sampler may raise a step's sigma by new noise: k-diffusion's churn stops at sqrt(2)."""
SLACK = 1e-3
"""Of sigmas that went through half precision or a logarithm."""


@dataclass
class Prediction:
    """One prediction of the noise.

    Attributes:
        sigma: The noise level that it was made at.
        calls: The calls of the model that it took.
        repeats: Whether it looks again at the noise level of its step's first one, as sa_solver_pece does.
    """

    sigma: float
    calls: list[SeenCall] = field(default_factory=list)
    repeats: bool = False


class Stepping:
    """Gives predictions their steps.

    Args:
        sigmas: The noise level at which each step begins, and the last one's end.
        commit: Takes a step's number and a prediction, in the order in which they ran.
    """

    def __init__(self, sigmas: Sequence[float], commit: Callable[[int, Prediction], None]) -> None:
        self._sigmas, self._commit = sigmas, commit
        self._waiting: list[Prediction] = []
        self._last: int | None = None
        self._sigma: float | None = None

    @property
    def candidates(self) -> tuple[int, ...]:
        """The steps that the next prediction may belong to."""
        if self._last is None:
            return (0,) if not self._waiting else (0, len(self._waiting))
        return self._last, self._last + 1

    def predicted(self, prediction: Prediction) -> None:
        """A prediction was made.

        Args:
            prediction: It.
        """
        self._waiting.append(prediction)

    def reported(self, step: int) -> None:
        """The sampler reported a step.

        Args:
            step: Its number, from 0.

        Raises:
            CaptureError: The last prediction is not at the step's sigma.
        """
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._check(step, waiting[-1].sigma)
        for prediction in waiting[:-1]:
            self._add(step if self._last is None else self._last, prediction)
        for prediction in waiting[-1:]:
            self._sigma = prediction.sigma
            self._commit(step, prediction)
        self._last = step

    def _add(self, step: int, prediction: Prediction) -> None:
        """A further prediction of a step that was reported."""
        prediction.repeats = prediction.sigma == self._sigma
        self._commit(step, prediction)

    def _check(self, step: int, sigma: float) -> None:
        expected = self._sigmas[step] if 0 <= step < len(self._sigmas) - 1 else float("nan")
        if not expected * (1 - SLACK) <= sigma <= expected * MOST_CHURN:
            raise CaptureError(
                f"the sampler reports step {step} after a prediction at sigma {sigma:.4g}; expected {expected:.4g}, so "
                "steps can't be told apart, as with dpm_fast and dpm_adaptive: choose another sampler, such as euler "
                "or dpmpp_2m"
            )

    def finish(self) -> None:
        """The run is over. A sampler that reports nothing has a step a prediction."""
        waiting, self._waiting = self._waiting, []
        for at, prediction in enumerate(waiting):
            if self._last is None:
                self._commit(at, prediction)
            else:
                self._add(self._last, prediction)

    def watching(self, callback: Callable[..., Any] | None) -> Callable[..., Any]:
        """A sampler's callback that also reports here.

        Args:
            callback: The callback that was there, called with the same arguments.
        """

        def report(step: int, *args: Any, **kwargs: Any) -> Any:
            self.reported(int(step))
            return None if callback is None else callback(step, *args, **kwargs)

        return report
