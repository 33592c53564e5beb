"""Capture: a context manager that records the attention of one run and leaves the model as it was."""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
import weakref
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from attnscope.errors import CaptureError, ParameterError, describe_numbers
from attnscope.recording.keeping import Keeping, staged_bytes, warn_if_large
from attnscope.recording.modules import TappedLayer, choose_layers, parent_path, spatial_parents, unet_of
from attnscope.recording.pipeline_watch import PipelineWatch, versions
from attnscope.recording.reductions import LiveReduction
from attnscope.recording.rows import matched_rows, named_rows
from attnscope.recording.tap import Tap, is_tapped
from attnscope.records import Grid, Kind, Layer, LayerId, Row, Run, Step
from attnscope.records.qkv import Record
from attnscope.records.reduced import Reduced, checked_orders
from attnscope.storage.budgeted import BudgetedRecords, bytes_of, parse_bytes
from attnscope.storage.folder import TraceFolder
from attnscope.storage.memory import MemoryRecords
from attnscope.trace.selection import pick_name, pick_number
from attnscope.trace.tokens import unnamed_tokens
from attnscope.trace.trace import Trace


class IncompleteCaptureWarning(UserWarning):
    """Some layer or step did not run, so the trace has no record of it."""


class capture:
    """Record Q and K of the attention layers while a pipeline or a U-Net runs.

    model: a diffusers pipeline with a U-Net, or the U-Net itself.
    blocks: block numbers from 1 (all by default). kind: 'self' or 'cross' (both by default).
    steps: step numbers from 0, several or a slice; negative ones count from the end of the run.
    branch: 'cond', 'uncond' or several (all by default). value: record V too.
    dtype: of what is kept; the model's own by default. where: 'cpu', 'device', or a folder into which
    each step is written as it comes, so that memory stays flat.
    branches: names of the guidance rows in the batch's order, for a U-Net that is called directly or a
    pipeline that batches in its own way. Without it a pipeline's own call tells them, and rows of a bare
    U-Net are images of the branch 'cond'.
    keep: names and `Reduced` orders: maps reduced over the run as it goes, found in trace.reduced afterwards. They
    come beside Q and K of what blocks, kind, steps and branch choose; steps=[] keeps no Q and K at all.
    budget: the most memory, such as '2GB' or a number of bytes, that Q and K may take: with a folder as `where`, steps
    are written while the model goes on, and it waits when more than that is unwritten; with 'cpu' or 'device' the
    oldest steps go to a temporary folder, which is gone with the trace. On a GPU one step's page-locked memory, up to
    twice the step, counts too; torch keeps it for later copies.

    Gives a Trace that fills as the model runs. The model computes exactly what it computes without.
    Raises CaptureError (a second run in one capture, nested captures, a compiled U-Net), UnobservedError
    (a processor such as xformers' that shows neither Q nor K), SelectionError for a block or step
    that the model lacks.
    Cost: the memory of Q and K, 142 MB a step for Stable Diffusion v1 at 512x512 in float16.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> pipe.set_progress_bar_config(disable=True)
    >>> with attnscope.capture(pipe, blocks=[16], kind="cross") as trace:
    ...     result = pipe("a red house", num_inference_steps=2)
    >>> trace
    <Trace 1 layers, 2 of 2 steps, 1 image(s), branches uncond, cond>
    """

    def __init__(
        self,
        model: Any,
        *,
        blocks: int | Sequence[int] | None = None,
        kind: Kind | None = None,
        steps: int | Sequence[int] | slice | None = None,
        branch: str | Sequence[str] | None = None,
        value: bool = False,
        dtype: torch.dtype | None = None,
        where: Literal["cpu", "device"] | str | Path = "cpu",
        branches: Sequence[str] | None = None,
        keep: Mapping[str, Reduced] | None = None,
        budget: int | str | None = None,
    ) -> None:
        self.unet = unet_of(model)
        self._orders = checked_orders(keep or {})
        self._no_qk = bool(self._orders) and isinstance(steps, Sequence) and not steps
        chosen = [] if self._no_qk else choose_layers(self.unet, blocks, kind)
        self._with_qk = {tapped.layer for tapped in chosen}
        for order in self._orders.values():
            chosen += choose_layers(self.unet, order.blocks, order.kind)
        wanted = {tapped.layer for tapped in chosen}
        self._layers = [one for one in choose_layers(self.unet, None, None) if one.layer in wanted]
        self._budget = None if budget is None else parse_bytes(budget)
        self._steps, self._branch, self._branch_names = steps, branch, branches
        self._keeping = Keeping(where, dtype, value)
        self._pipeline = None if model is self.unet else model
        self._handles: list[Any] = []
        self._taps: list[Tap] = []

    def __enter__(self) -> Trace:
        for tapped in self._layers:
            if is_tapped(tapped.module):
                raise CaptureError("this U-Net is being captured already: leave that capture first")
        run = Run(versions=versions())
        self._watch = PipelineWatch(self._pipeline, run) if self._pipeline is not None else None
        self._records = self._new_records(run)
        self.trace = Trace(self._records, run)
        self._reductions: dict[str, LiveReduction] = {}
        self._calls = 0
        self._grids: dict[str, tuple[int, ...]] = {}
        self._missing: dict[LayerId, list[int]] = {}
        self._sample_shape: tuple[int, ...] | None = None
        self._known_embeddings: Tensor | None = None
        self._known_rows: tuple[Row, ...] = ()
        self._pending: dict[LayerId, Record] | None = None
        self._whole: dict[LayerId, Record] = {}  # of this step, for reductions
        self._ran: set[LayerId] = set()
        self._described: dict[LayerId, Layer] = {}
        try:
            self._attach()
        except BaseException:
            self._detach()
            self._records.finish(run, {})
            raise
        return self.trace

    def __exit__(
        self, error: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._detach()
        self._pending, self._whole = None, {}  # a step that was not finished is not kept
        self._records.finish(self.trace.run, self.trace.reduced)
        if error is None:
            self._check_complete()

    def _new_records(self, run: Run) -> MemoryRecords | TraceFolder | BudgetedRecords:
        if self._keeping.in_memory and self._budget is None:
            return MemoryRecords()
        if not self._keeping.in_memory:
            folder = TraceFolder.create(self._keeping.where, run)
            return folder if self._budget is None else BudgetedRecords(folder, self._budget, spill=False)
        place = tempfile.mkdtemp(prefix="attnscope-")
        records = BudgetedRecords(TraceFolder.create(place, run), self._budget or 0, spill=True)
        weakref.finalize(records, shutil.rmtree, place, ignore_errors=True)
        return records

    # Hooks on and off

    def _attach(self) -> None:
        if self._watch is not None:
            self._watch.attach()
        self._handles = [
            self.unet.register_forward_pre_hook(self._begin_step, with_kwargs=True),
            self.unet.register_forward_hook(self._end_step),
        ]
        for name, parent in spatial_parents(self.unet, [tapped.path for tapped in self._layers]).items():
            self._handles.append(parent.register_forward_pre_hook(self._grid_noter(name), with_kwargs=True))
        for tapped in self._layers:
            tap = Tap(tapped.module, f"{tapped.layer} ({tapped.path})", self._receiver(tapped))
            self._taps.append(tap)
            tap.attach()

    def _detach(self) -> None:
        for tap in self._taps:
            tap.detach()
        for handle in self._handles:
            handle.remove()
        if self._watch is not None:
            self._watch.detach()
        self._taps, self._handles = [], []

    # One call of the U-Net

    def _begin_step(self, unet: nn.Module, args: tuple, kwargs: dict) -> None:
        sample = _argument(args, kwargs, 0, "sample")
        timestep = _argument(args, kwargs, 1, "timestep")
        embeddings = _argument(args, kwargs, 2, "encoder_hidden_states")
        if self._calls == 0:
            self._begin_run(sample)
        if self._sample_shape != tuple(sample.shape[1:]):  # rows may change: guidance can end early
            raise CaptureError(
                f"the U-Net got a sample of {tuple(sample.shape[1:])} after one of {self._sample_shape}: a trace holds "
                "one run; open a new capture for each"
            )
        rows = self._identify_rows(sample.shape[0], embeddings)
        self._kept_rows = self._keep_rows(rows)
        self._step = Step(self._calls, _number(timestep), rows)
        self._pending = {} if self._calls in self._wanted else None
        self._whole, self._ran = {}, set()
        self._calls += 1

    def _begin_run(self, sample: Tensor) -> None:
        run = self.trace.run
        self._sample_shape = tuple(sample.shape[1:])
        self._latent_hw = run.latent_size_hw = (int(sample.shape[-2]), int(sample.shape[-1]))
        if self._watch is not None:
            self._watch.begin()
            factor = getattr(self._pipeline, "vae_scale_factor", None)
            run.image_size_hw = tuple(side * factor for side in run.latent_size_hw) if factor else None
        self._wanted = set() if self._no_qk else self._wanted_steps(self._steps, run.planned_steps)
        self._reductions = {
            name: LiveReduction(order, self._wanted_steps(order.steps, run.planned_steps))
            for name, order in self._orders.items()
        }

    def _end_step(self, unet: nn.Module, args: tuple, output: Any) -> None:
        whole, pending = self._whole, self._pending
        self._whole, self._pending = {}, None
        if pending is None and not self._reductions:
            return
        for tapped in self._layers:
            if tapped.layer not in self._ran:
                self._missing.setdefault(tapped.layer, []).append(self._step.index)
        self._name_tokens()
        self._reduce(whole)
        if pending is not None:
            kept = replace(self._step, rows=tuple(self._step.rows[row] for row in self._kept_rows))
            if not self._records.steps and self._keeping.in_memory and self._budget is None:
                warn_if_large(bytes_of(pending), self._count_of_wanted())
            if isinstance(self._records, BudgetedRecords):
                self._records.make_room(bytes_of(pending), staged=staged_bytes(pending))
            self._records.add_step(kept, self._keeping.arrived(pending))

    def _reduce(self, records: dict[LayerId, Record]) -> None:
        height, width = self._latent_hw
        for name, reduction in self._reductions.items():
            reduction.add(self._step, records, self._described, Grid(height, width))
            self.trace.reduced[name] = reduction.result()

    def _count_of_wanted(self) -> int:
        return sum(step in self._wanted for step in range(self.trace.run.planned_steps or 1))

    def _identify_rows(self, count: int, embeddings: Tensor | None) -> tuple[Row, ...]:
        if self._branch_names is not None:
            return named_rows(count, self._branch_names)
        if self._watch is None or not (self._watch.conditions or self._watch.guided):
            return named_rows(count, ("cond",))
        if embeddings is not None and embeddings is self._known_embeddings:
            return self._known_rows
        rows = matched_rows(embeddings, self._watch.conditions) if embeddings is not None else None
        if rows is None and len(self._known_rows) == count:
            rows = self._known_rows
            warnings.warn(
                "the text embeddings changed during the run (a callback edits them): rows keep the branches "
                "that they had",
                stacklevel=2,
            )
        if rows is None:
            raise CaptureError(
                f"can't tell which guidance branch each of the {count} rows of the U-Net's batch is: none of the "
                f"pipeline's text embeddings is in them. Name them in the batch's order, e.g. "
                f"capture(pipe, branches=('uncond', 'cond'))"
            )
        self._known_embeddings, self._known_rows = embeddings, rows
        return rows

    def _keep_rows(self, rows: tuple[Row, ...]) -> list[int]:
        if self._branch is None:
            return list(range(len(rows)))
        names = list(dict.fromkeys(row.branch for row in rows))
        wanted = {names[at] for at in pick_name("branch", self._branch, names).positions}
        return [at for at, row in enumerate(rows) if row.branch in wanted]

    @staticmethod
    def _wanted_steps(steps: int | Sequence[int] | slice | None, planned: int | None) -> Container[int]:
        """Numbers of the steps to record; those that never come are named when the capture ends."""
        endless = range(sys.maxsize)
        if steps is None:
            return endless
        if planned is not None:
            return set(pick_number("step", steps, range(planned)).positions)
        ends = (steps.start, steps.stop) if isinstance(steps, slice) else steps
        numbers = [ends] if isinstance(ends, int) else [n for n in ends if n is not None]
        if any(number < 0 for number in numbers):
            raise ParameterError(f"steps {steps}: how many steps come is not known here; count from 0")
        return endless[steps] if isinstance(steps, slice) else set(numbers)

    # One attention layer

    def _grid_noter(self, name: str):
        def note(module: nn.Module, args: tuple, kwargs: dict) -> None:
            self._grids[name] = tuple(_argument(args, kwargs, 0, "hidden_states").shape)

        return note

    def _receiver(self, tapped: TappedLayer):
        parent, layer = parent_path(tapped.path), tapped.layer

        def receive(record: Record, input_shape: tuple[int, ...]) -> None:
            if self._pending is None and not self._reductions:
                return
            shape = input_shape if len(input_shape) == 4 else self._grids.get(parent, ())
            if layer not in self._described:
                self._described[layer] = self._describe(tapped, record, shape)
            self._ran.add(layer)
            if self._reductions:
                self._whole[layer] = record
            if self._pending is not None and layer in self._with_qk:
                self._records.layers.setdefault(layer, self._described[layer])
                self._pending[layer] = self._keeping.kept(record, self._kept_rows)

        return receive

    def _describe(self, tapped: TappedLayer, record: Record, shape: tuple[int, ...]) -> Layer:
        _, heads, queries, dim = record.query.shape
        grid = Grid(*shape[-2:]) if len(shape) == 4 else Grid(1, queries)
        if grid.size != queries:
            raise CaptureError(
                f"{tapped.layer} ({tapped.path}): {queries} queries are not the {grid} places of its input {shape}"
            )
        rows = [self._step.rows[row] for row in self._kept_rows]
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

    # The end

    def _name_tokens(self) -> None:
        cross = next((layer for layer in self._described.values() if layer.kind == "cross"), None)
        if cross is None:
            return
        if self._watch is not None:
            self._watch.name_tokens(cross.keys)
        if not self.trace.run.tokens:
            self.trace.run.tokens = [unnamed_tokens(cross.keys)] * cross.batch

    def _check_complete(self) -> None:
        reduced = any(maps.steps for maps in self.trace.reduced.values())
        if not (self._records.steps and self._records.layers) and not reduced:
            ran = "the U-Net did not run inside the capture"
            if self._records.steps:
                ran = "no attention module ran in its own forward, as in a compiled or rewritten U-Net"
            elif self._calls:
                ran = f"the run had steps {describe_numbers(range(self._calls))}, not {self._steps}"
            raise CaptureError(f"nothing was recorded: {ran}; call the pipeline inside the `with`")
        self._check_steps()
        if self._missing:
            gaps = "; ".join(
                f"{layer} in steps {describe_numbers(at)}" for layer, at in self._missing.items()
            )
            warnings.warn(
                f"these layers did not run, so the trace lacks them: {gaps}. Something skips parts of the "
                "U-Net (DeepCache or alike): switch it off for a complete capture",
                IncompleteCaptureWarning,
                stacklevel=3,
            )

    def _check_steps(self) -> None:
        """Say which steps were asked for, or planned by the pipeline, and never came."""
        planned = self.trace.run.planned_steps or self._calls
        asked = self._wanted if isinstance(self._wanted, set) else range(planned)
        if never := sorted(step for step in asked if step >= self._calls):
            warnings.warn(
                f"steps {describe_numbers(never)} never came: the run ended after {self._calls} step(s)",
                IncompleteCaptureWarning,
                stacklevel=4,
            )


def _argument(args: tuple, kwargs: dict, position: int, name: str) -> Any:
    return args[position] if len(args) > position else kwargs.get(name)


def _number(timestep: Any) -> float:
    if isinstance(timestep, Tensor):
        return float("nan") if timestep.is_meta else float(timestep.flatten()[0])
    return float(timestep)
