"""The reductions of one pass: each step goes in once, by its main call."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from attnscope.recording.plan import wanted_steps
from attnscope.recording.reductions import LiveReduction
from attnscope.records import Call, Grid, Layer, LayerId
from attnscope.records.qkv import Record
from attnscope.records.reduced import Reduced, ReducedMaps
from attnscope.records.run import Step

Of = tuple[Call, Mapping[LayerId, Record], Mapping[LayerId, Layer]]
"""A call, the records of all watched layers, and the layers."""


class Reducing:
    """Takes every call of a pass, and reduces those that answer for their step.

    Args:
        keep: What to reduce, by name.
        planned: Steps that the pipeline set out to take, None if unknown.
        latent: The latent grid.
        strict: Whether a step or a branch that is not there is an error.
    """

    def __init__(
        self, keep: Mapping[str, Reduced], planned: int | None, latent: Grid, *, strict: bool
    ) -> None:
        self._latent = latent
        self._live = {
            name: LiveReduction(
                reduction, wanted_steps(reduction.steps, planned, strict=strict), strict=strict
            )
            for name, reduction in keep.items()
        }
        self._pending: Of | None = None
        self.maps: dict[str, ReducedMaps] = {}
        """What there is so far, by name."""
        self.looks_alike: set[int] = set()
        """Steps of which several calls look like the main one."""

    def __bool__(self) -> bool:
        return bool(self._live)

    @property
    def wanted(self) -> list[Container[int]]:
        """The steps that each reduction asks for."""
        return [live.wanted for live in self._live.values()]

    def offer(
        self,
        call: Call,
        of_step: Sequence[Call],
        records: Mapping[LayerId, Record],
        layers: Mapping[LayerId, Layer],
    ) -> None:
        """Take a call. One with gradients waits, in case one without them follows in its step.

        Args:
            call: The call that has ended.
            of_step: The calls of its step so far, itself included.
            records: Records of all watched layers.
            layers: The layers, with their shapes.
        """
        if self._pending is not None and self._pending[0].step != call.step:
            self.flush()
        main = Step(call.step, tuple(of_step)).main
        if main is not call:
            if call.is_like(main) and not call.gradients:
                self.looks_alike.add(call.step)
        elif call.gradients:
            self._pending = (call, records, layers)
        else:
            self._pending = None
            self._reduce(call, records, layers)

    def flush(self) -> None:
        """Reduce a call that has waited."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._reduce(*pending)

    def _reduce(self, call: Call, records: Mapping[LayerId, Record], layers: Mapping[LayerId, Layer]) -> None:
        for name, live in self._live.items():
            live.add(call, records, layers, self._latent)
            self.maps[name] = live.result()
