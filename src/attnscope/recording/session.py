"""One run of a model under a capture: its calls become steps, its layers' attention becomes records.

It knows neither hooks nor files: `capture` tells it what the model does, `storage` takes what it keeps.
"""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from attnscope.errors import CaptureError, describe_numbers
from attnscope.recording.keeping import staged_bytes, warn_if_large
from attnscope.recording.modules import TappedLayer, parent_path
from attnscope.recording.pipeline_watch import PipelineWatch
from attnscope.recording.plan import Plan, wanted_steps
from attnscope.recording.reductions import LiveReduction
from attnscope.recording.rows import RowFinder
from attnscope.records import Grid, Layer, LayerId, Run, Step
from attnscope.records.qkv import Record
from attnscope.records.reduced import ReducedMaps
from attnscope.storage.budgeted import bytes_of
from attnscope.storage.memory import Records
from attnscope.trace.tokens import unnamed_tokens


class IncompleteCaptureWarning(UserWarning):
    """Some layer or step did not run, so the trace has no record of it."""


@dataclass
class _Call:
    """One call of the model under way.

    kept_rows: numbers of the rows that are kept. qk: what is kept, None where this step was not chosen. whole: all
    rows, for reductions. ran: layers that have run.
    """

    step: Step
    kept_rows: list[int]
    qk: dict[LayerId, Record] | None
    whole: dict[LayerId, Record] = field(default_factory=dict)
    ran: set[LayerId] = field(default_factory=set)


class Session:
    """What is known while the model runs. reduced: maps over the run, filled as it goes."""

    def __init__(
        self,
        plan: Plan,
        records: Records,
        run: Run,
        reduced: dict[str, ReducedMaps],
        watch: PipelineWatch | None,
        vae_scale: int | None,
    ) -> None:
        self.plan, self.records, self.run, self.reduced = plan, records, run, reduced
        self._watch, self._vae_scale = watch, vae_scale
        self._rows = RowFinder(plan.branch_names, watch)
        self._calls = 0
        self._call: _Call | None = None
        self._sample_shape: tuple[int, ...] = ()
        self._grids: dict[str, tuple[int, ...]] = {}
        self._layers: dict[LayerId, Layer] = {}
        self._missing: dict[LayerId, list[int]] = {}
        self._wanted: Container[int] = ()
        self._reductions: dict[str, LiveReduction] = {}

    # One call of the model

    def begin_call(self, sample: Tensor, timestep: Any, embeddings: Tensor | None) -> None:
        if self._calls == 0:
            self._begin_run(sample)
        if self._sample_shape != tuple(sample.shape[1:]):  # rows may change: guidance can end early
            raise CaptureError(
                f"the U-Net got a sample of {tuple(sample.shape[1:])} after one of {self._sample_shape}: a trace holds "
                "one run; open a new capture for each"
            )
        rows = self._rows.of(sample.shape[0], embeddings)
        step = Step(self._calls, _number(timestep), rows)
        self._call = _Call(step, self.plan.kept_rows(rows), {} if step.index in self._wanted else None)
        self._calls += 1

    def _begin_run(self, sample: Tensor) -> None:
        self._sample_shape = tuple(sample.shape[1:])
        height, width = self.run.latent_size_hw = (int(sample.shape[-2]), int(sample.shape[-1]))
        if self._watch is not None:
            self._watch.begin()
            scale = self._vae_scale
            self.run.image_size_hw = (height * scale, width * scale) if scale else None
        planned = self.run.planned_steps
        self._wanted = set() if self.plan.keeps_no_qk else wanted_steps(self.plan.steps, planned)
        self._reductions = {
            name: LiveReduction(order, wanted_steps(order.steps, planned))
            for name, order in self.plan.orders.items()
        }

    def note_grid(self, path: str, shape: tuple[int, ...]) -> None:
        """The shape of the feature map that the attentions below a module read."""
        self._grids[path] = shape

    def receive(self, tapped: TappedLayer, record: Record, input_shape: tuple[int, ...]) -> None:
        """What one attention layer has computed."""
        call = self._call
        if call is None or (call.qk is None and not self._reductions):
            return
        layer = tapped.layer
        if layer not in self._layers:
            shape = input_shape if len(input_shape) == 4 else self._grids.get(parent_path(tapped.path), ())
            self._layers[layer] = _describe(tapped, record, shape, call)
        call.ran.add(layer)
        if self._reductions:
            call.whole[layer] = record
        if call.qk is not None and layer in self.plan.with_qk:
            self.records.layers.setdefault(layer, self._layers[layer])
            call.qk[layer] = self.plan.keeping.kept(record, call.kept_rows)

    def end_call(self) -> None:
        call, self._call = self._call, None
        if call is None or (call.qk is None and not self._reductions):
            return
        for tapped in self.plan.layers:
            if tapped.layer not in call.ran:
                self._missing.setdefault(tapped.layer, []).append(call.step.index)
        self._name_tokens()
        self._reduce(call)
        if call.qk is not None:
            self._keep(call, call.qk)

    def _name_tokens(self) -> None:
        cross = next((layer for layer in self._layers.values() if layer.kind == "cross"), None)
        if cross is None:
            return
        if self._watch is not None:
            self._watch.name_tokens(cross.keys)
        if not self.run.tokens:
            self.run.tokens = [unnamed_tokens(cross.keys)] * cross.batch

    def _reduce(self, call: _Call) -> None:
        latent = Grid(*self._sample_shape[-2:])
        for name, reduction in self._reductions.items():
            reduction.add(call.step, call.whole, self._layers, latent)
            self.reduced[name] = reduction.result()

    def _keep(self, call: _Call, qk: dict[LayerId, Record]) -> None:
        size = bytes_of(qk)
        if not self.records.steps and self.records.in_memory:
            warn_if_large(size, sum(step in self._wanted for step in range(self.run.planned_steps or 1)))
        self.records.make_room(size, staged=staged_bytes(qk))
        rows = tuple(call.step.rows[row] for row in call.kept_rows)
        self.records.add_step(replace(call.step, rows=rows), self.plan.keeping.arrived(qk))

    # The end

    def abandon_call(self) -> None:
        """A call that was not finished is not kept."""
        self._call = None

    def check_complete(self) -> None:
        """Raise CaptureError where nothing was recorded; warn where something was missed."""
        reduced = any(maps.steps for maps in self.reduced.values())
        if not (self.records.steps and self.records.layers) and not reduced:
            ran = "the U-Net did not run inside the capture"
            if self.records.steps:
                ran = "no attention module ran in its own forward, as in a compiled or rewritten U-Net"
            elif self._calls:
                ran = f"the run had steps {describe_numbers(range(self._calls))}, not {self.plan.steps}"
            raise CaptureError(f"nothing was recorded: {ran}; call the pipeline inside the `with`")
        for gap in self._gaps():
            warnings.warn(gap, IncompleteCaptureWarning, stacklevel=3)

    def _gaps(self) -> Iterator[str]:
        """Steps that were asked for, or planned by the pipeline, and never came; layers that did not run."""
        planned = self.run.planned_steps or self._calls
        asked = self._wanted if isinstance(self._wanted, set) else range(planned)
        if never := sorted(step for step in asked if step >= self._calls):
            yield f"steps {describe_numbers(never)} never came: the run ended after {self._calls} step(s)"
        if self._missing:
            layers = "; ".join(
                f"{layer} in steps {describe_numbers(at)}" for layer, at in self._missing.items()
            )
            yield (
                f"these layers did not run, so the trace lacks them: {layers}. Something skips parts of the "
                "U-Net (DeepCache or alike): switch it off for a complete capture"
            )


def _describe(tapped: TappedLayer, record: Record, shape: tuple[int, ...], call: _Call) -> Layer:
    """A layer with the shapes that it has in this run. shape: of the feature map that it reads."""
    _, heads, queries, dim = record.query.shape
    grid = Grid(*shape[-2:]) if len(shape) == 4 else Grid(1, queries)
    if grid.size != queries:
        raise CaptureError(
            f"{tapped.layer} ({tapped.path}): {queries} queries are not the {grid} places of its input {shape}"
        )
    rows = [call.step.rows[row] for row in call.kept_rows]
    images = len({row.image for row in rows})
    return Layer(
        block=tapped.layer.block,
        kind=tapped.layer.kind,
        path=tapped.path,
        stage=tapped.stage,
        grid=grid,
        heads=heads,
        head_dim=dim,
        keys=record.key.shape[2],
        batch=images,
        branches=len(rows) // images,
    )


def _number(timestep: Any) -> float:
    if isinstance(timestep, Tensor):
        return float("nan") if timestep.is_meta else float(timestep.flatten()[0])
    return float(timestep)
