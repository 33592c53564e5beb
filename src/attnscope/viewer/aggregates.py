"""Long work in the background: DiffSeg's aggregate of a trace, with progress, and to be cancelled."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.diffseg.labels import mean_inside, word_maps
from attnscope.diffseg.merging import ANCHORS, PRESETS, Merger
from attnscope.errors import BusyError, ParameterError
from attnscope.pictures.sizes import size_hw
from attnscope.segmentation.evidence import aggregated_attention, cross_attention
from attnscope.segmentation.recipe import Recipe
from attnscope.segmentation.result import Segmentation, segmentation
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
    attention: Tensor | None = None
    mergers: dict[tuple[str, int], Merger] = field(default_factory=dict)
    words: Float[Tensor, "word height width"] | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) of the labels: the picture's, else what the run was asked for, else 8 px a place."""
        run = self.trace.run
        if self.source.image < len(run.pictures):
            return size_hw(run.pictures[self.source.image])
        assert self.attention is not None
        return run.image_size_hw or (8 * self.attention.shape[0], 8 * self.attention.shape[1])

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
        trace, source = self.trace, self.source
        steps = [step.index for step in trace.steps] if source.step is None else [source.step]
        choice: dict[str, Any] = {"branch": source.branch, "image": source.image, "step": steps}
        weights = self._weights() if source.weights else None
        self._progress(0, 1)
        self.attention = aggregated_attention(trace, weights=weights, progress=self._progress, **choice)
        merger = Merger(self.attention)
        merger.settle()
        self.mergers = {(PRESETS[0], ANCHORS): merger}
        spans = [span.tokens for span in trace.words(source.image)]
        reads_prompt = source.branch != "uncond" and any(layer.kind == "cross" for layer in trace.layers)
        if spans and reads_prompt:
            self.words = word_maps(cross_attention(trace, **choice), spans, self.size_hw)

    def _progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if self.told is not None:
            self.told(done, total)
        if not self.wanted:
            raise Cancelled

    def _weights(self) -> dict[tuple[int, int], float]:
        given = dict(self.source.weights)
        grids = {tuple(layer.grid) for layer in self.trace.layers if layer.kind == "self"}
        if given.keys() != {height for height, _ in grids}:
            raise ParameterError(
                f"weights are for grids of height {sorted(given)}; expected one for each of "
                f"{sorted(height for height, _ in grids)}"
            )
        return {(height, width): given[height] for height, width in grids}

    def segmented(self, recipe: Recipe, words: tuple[int, ...]) -> Segmentation:
        """Segments by a recipe, named by these words of the prompt (their places among its words)."""
        assert self.attention is not None
        anchors = recipe.anchors
        assert isinstance(anchors, int)
        key = (recipe.preset, anchors)
        merger = self.mergers.get(key) or Merger(self.attention, recipe.preset, anchors=anchors)
        self.mergers = {**dict(list(self.mergers.items())[:1]), key: merger}  # the settled one, and the last
        spans = self.trace.words(self.source.image)
        pictures = self.trace.run.pictures
        maps = self.words[list(words)] if words and self.words is not None else None
        return segmentation(
            self.attention,
            self.size_hw,
            recipe,
            pictures[self.source.image] if self.source.image < len(pictures) else None,
            tuple(spans[word].word for word in words),
            maps,
            {},
            merger=merger,
        )

    def word_scores(self, labels: np.ndarray) -> Float[np.ndarray, "segment word"]:
        """The mean in each segment of every word's map; maps have unit L2 norm over the picture."""
        if self.words is None:
            return np.zeros((int(labels.max()) + 1, 0), np.float32)
        return mean_inside(torch.from_numpy(labels).long(), self.words).float().numpy()


class Aggregates:
    """The aggregates of the traces that are open: one is computed at a time, the last ones are kept."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, Source], Aggregate] = OrderedDict()
        self._lock = threading.Lock()
        self._worker: ThreadPoolExecutor | None = None

    def get(self, number: int, source: Source) -> Aggregate | None:
        """The aggregate of trace `number`, or None where nobody has asked for it."""
        with self._lock:
            found = self._known.get((number, source))
            if found is not None:
                self._known.move_to_end((number, source))
            return found

    def start(self, number: int, trace: Trace, source: Source) -> Aggregate:
        """Begin, unless it is under way or ready. Raises BusyError when too much is waiting."""
        with self._lock:
            found = self._known.get((number, source))
            if found is not None and found.state in ("running", "ready") and found.wanted:
                return found
            running = sum(other.state == "running" for other in self._known.values())
            if running > MOST_WAITING:
                raise BusyError(f"{running} aggregates are waiting already; cancel one or try again later")
            made = Aggregate(trace, source)
            self._known[number, source] = made
            self._worker = self._worker or ThreadPoolExecutor(1, thread_name_prefix="attnscope-aggregate")
            self._worker.submit(self._compute, made)
        return made

    def _compute(self, aggregate: Aggregate) -> None:
        aggregate.compute()
        with self._lock:
            self._drop_oldest()

    def cancel(self, number: int, source: Source) -> None:
        """Stop work that nobody waits for; what is ready stays."""
        with self._lock:
            found = self._known.get((number, source))
            if found is not None and found.state == "running":
                found.wanted = False
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
