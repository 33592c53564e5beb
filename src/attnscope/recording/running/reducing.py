"""The reductions of one pass: each step goes in once, by its main call."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence

from attnscope.errors import describe_numbers
from attnscope.recording.planning.plan import wanted_steps
from attnscope.recording.running.reductions import LiveReduction
from attnscope.recording.tapping.attention import ordinary_tensors
from attnscope.records import Call, Grid, Layer, LayerId
from attnscope.records.qkv import Record
from attnscope.records.reduced import Reduced, ReducedMaps
from attnscope.records.run import Step

OfCall = tuple[Mapping[LayerId, Record], Mapping[LayerId, Layer]]
"""The records of all watched layers, and the layers."""


class Reducing:
    """Takes every call of a pass, and reduces those that answer for their step.

    Args:
        keep: What to reduce, by name.
        planned: Steps that the pipeline set out to take, None if unknown.
        latent: The latent grid.
        strict: Whether a step that is not planned is an error.
    """

    def __init__(
        self, keep: Mapping[str, Reduced], planned: int | None, latent: Grid, *, strict: bool
    ) -> None:
        self._latent = latent
        self._live = {
            name: LiveReduction(reduction, wanted_steps(reduction.steps, planned, strict=strict))
            for name, reduction in keep.items()
        }
        self._pending: dict[str, tuple[Call, Mapping[LayerId, Record], Mapping[LayerId, Layer]]] = {}
        self._looks_alike: set[int] = set()
        self._offered = False
        self.maps: dict[str, ReducedMaps] = {}
        """What there is so far, by name."""

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
        """Take a call. One that does not predict waits, in case one that does follows in its step.

        Args:
            call: The call that has ended.
            of_step: The calls of its step so far, itself included.
            records: Records of all watched layers.
            layers: The layers, with their shapes.
        """
        self._offered = True
        for name, live in self._live.items():
            self._offer(name, live.reduction.branch, call, Step(call.step, tuple(of_step)), (records, layers))

    def _offer(self, name: str, branch: str, call: Call, step: Step, of_call: OfCall) -> None:
        if name in self._pending and self._pending[name][0].step != call.step:
            self._flush(name)
        main = step.main_of(branch)
        if main is None or not call.has(branch):
            return
        if main is not call:
            if call.is_like(main) and call.predicts:
                self._looks_alike.add(call.step)
            return
        self._pending[name] = (call, *of_call)
        if call.predicts:
            self._flush(name)

    def flush(self) -> None:
        """Reduce what has waited."""
        for name in list(self._pending):
            self._flush(name)
        for name, live in self._live.items():
            if self._offered:
                self.maps.setdefault(name, live.result())

    def _flush(self, name: str) -> None:
        with ordinary_tensors():
            self._live[name].add(*self._pending.pop(name), self._latent)
            self.maps[name] = self._live[name].result()

    def gaps(self, steps: Sequence[int]) -> Iterator[str]:
        """What the maps lack.

        Args:
            steps: Numbers of the steps that came.
        """
        if alike := self._looks_alike:
            yield (
                f"steps {describe_numbers(sorted(alike))} have several calls of the model that look alike, "
                "such as the views of a panorama; reduced maps hold the first of each step"
            )
        yield from self.left_out()
        for name, live in self._live.items():
            if live.failure:
                yield f"there are no reduced maps {name!r}: {live.failure}"
            there = self.maps[name].steps if name in self.maps else ()
            wanted = [step for step in steps if step in live.wanted]
            if there and (lacking := sorted(set(wanted) - set(there))):
                yield (
                    f"reduced maps {name!r} are of steps {describe_numbers(there)}: steps {describe_numbers(lacking)} "
                    f"lack the branch {live.reduction.branch!r} or some of the layers"
                )

    def left_out(self) -> Iterator[str]:
        """Layers that maps are without, since their keys are not those of the others."""
        for name, live in self._live.items():
            if live.shared:
                layers = ", ".join(map(str, live.shared))
                sources = dict.fromkeys(part.name for layer in live.shared.values() for part in layer.parts)
                yield (
                    f"reduced maps {name!r} are without {layers}, whose keys come from several sources or from another "
                    f"than usual ({', '.join(sources)}): keep Q and K of them instead"
                )
