"""Long work in the background: DiffSeg's aggregate of a trace, with progress, and to be cancelled."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from attnscope.errors import BusyError, ParameterError
from attnscope.segmentation.evidence import evidence_of_trace
from attnscope.segmentation.methods.diffseg import DiffSegRecipe
from attnscope.segmentation.result import Evidence, Segmentation
from attnscope.segmentation.words import NamedSpan
from attnscope.trace.trace import Trace

State = Literal["absent", "running", "ready", "failed"]
MOST_READY = 2
"""Aggregates that are kept: each 64 MiB at 64x64, 16 MiB of distances, and the words' maps at the picture's size."""
MOST_WAITING = 4


class Cancelled(Exception):
    """Somebody does not want the aggregate any more."""


@dataclass(frozen=True)
class Source:
    """Which attention is aggregated. weights: (grid height, weight) of each scale, () for the paper's."""

    step: int | None = None
    branch: str = "cond"
    image: int = 0
    weights: tuple[tuple[int, float], ...] = ()


@dataclass
class Aggregate:
    """One aggregate under way or ready. done of total: layers of steps; told: gets both as they change."""

    trace: Trace
    source: Source
    state: State = "running"
    done: int = 0
    total: int = 1
    failure: Exception | None = None
    wanted: bool = True
    told: Callable[[int, int], None] | None = None
    evidence: Evidence | None = None

    def compute(self) -> None:
        """In the worker's thread: everything that does not depend on thresholds."""
        try:
            self._compute()
            self.state = "ready"
        except Cancelled:
            self.state = "absent"
        except Exception as error:
            self.state, self.failure = "failed", error

    def _compute(self) -> None:
        source = self.source
        self._progress(0, 1)
        evidence = evidence_of_trace(
            self.trace,
            steps=source.step,
            branch=source.branch,
            image=source.image,
            words=self._words(),
            weights=self._weights() if source.weights else None,
            progress=self._progress,
        )
        evidence.merger().settle()
        self.evidence = evidence

    def _progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if self.told is not None:
            self.told(done, total)
        if not self.wanted:
            raise Cancelled

    def _words(self) -> list[NamedSpan]:
        """All words of the text that this branch reads."""
        if not self.trace.layers.of_kind("cross"):
            return []
        words = self.trace.words(self.source.image, self.source.branch)
        return [NamedSpan(span.word, span.tokens) for span in words]

    def _weights(self) -> dict[tuple[int, int], float]:
        weights = dict(self.source.weights)
        grids = {layer.grid for layer in self.trace.layers.of_kind("self")}
        if weights.keys() != {height for height, _ in grids}:
            raise ParameterError(
                f"weights are for grids of height {sorted(weights)}; expected one for each of "
                f"{sorted(height for height, _ in grids)}"
            )
        return {(height, width): weights[height] for height, width in grids}

    def segmented(self, recipe: DiffSegRecipe, words: tuple[int, ...]) -> Segmentation:
        """Segments by a recipe, named by these words of the prompt (their places among its words)."""
        assert self.evidence is not None
        return self.evidence.segments(recipe, words if self.evidence.words else ())


class Aggregates:
    """The aggregates of the traces that are open: one is computed at a time, the last ones are kept."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, Source], Aggregate] = OrderedDict()
        self._lock = threading.Lock()
        self._worker: ThreadPoolExecutor | None = None

    def get(self, number: int, source: Source) -> Aggregate | None:
        """The aggregate of trace `number`, or None where nobody has asked for it."""
        with self._lock:
            aggregate = self._known.get((number, source))
            if aggregate is not None:
                self._known.move_to_end((number, source))
            return aggregate

    def start(self, number: int, trace: Trace, source: Source) -> Aggregate:
        """Begin, unless it is under way or ready. Raises BusyError when too much is waiting."""
        with self._lock:
            earlier = self._known.get((number, source))
            if earlier is not None and earlier.state in ("running", "ready") and earlier.wanted:
                return earlier
            running = sum(other.state == "running" for other in self._known.values())
            if running > MOST_WAITING:
                raise BusyError(f"{running} aggregates are waiting already; cancel one or try again later")
            aggregate = Aggregate(trace, source)
            self._known[number, source] = aggregate
            self._worker = self._worker or ThreadPoolExecutor(1, thread_name_prefix="attnscope-aggregate")
            self._worker.submit(self._compute, aggregate)
        return aggregate

    def _compute(self, aggregate: Aggregate) -> None:
        aggregate.compute()
        with self._lock:
            self._drop_oldest()

    def cancel(self, number: int, source: Source) -> None:
        """Stop work that nobody waits for; what is ready stays."""
        with self._lock:
            aggregate = self._known.get((number, source))
            if aggregate is not None and aggregate.state == "running":
                aggregate.wanted = False
                del self._known[number, source]

    def close(self) -> None:
        """Stop the work under way and forget what waits; for the end of the server, which may start again."""
        with self._lock:
            for key, aggregate in list(self._known.items()):
                if aggregate.state == "running":
                    aggregate.wanted = False
                    del self._known[key]
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.shutdown(wait=False, cancel_futures=True)

    def _drop_oldest(self) -> None:
        for state in ("ready", "failed"):
            finished = [key for key, aggregate in self._known.items() if aggregate.state == state]
            for key in finished[: max(len(finished) - MOST_READY, 0)]:
                del self._known[key]
