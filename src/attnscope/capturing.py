"""Capture: a context manager that records the attention of one run and leaves the model as it was."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Container, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from attnscope.attention_modules import TappedLayer, choose_layers, parent_path, spatial_parents, unet_of
from attnscope.branches import matched_rows, named_rows
from attnscope.errors import CaptureError, ParameterError
from attnscope.pipeline_watch import PipelineWatch, versions
from attnscope.records import Grid, Kind, Layer, LayerId, Row, Step
from attnscope.selection import describe_numbers, pick_name, pick_number
from attnscope.store import TraceFolder
from attnscope.tap import Tap, is_tapped
from attnscope.tokens import unnamed_tokens
from attnscope.trace import MemoryRecords, Record, Run, Trace

LARGE_BYTES = 8e9  # half of a usual laptop's memory


class IncompleteCaptureWarning(UserWarning):
    """Some layer or step did not run, so the trace has no record of it."""


class LargeCaptureWarning(UserWarning):
    """A capture is going to hold more than 8 GB in memory."""


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
    ) -> None:
        self.unet = unet_of(model)
        self._layers = choose_layers(self.unet, blocks, kind)
        self._steps, self._branch, self._branch_names = steps, branch, branches
        self._value, self._dtype, self._where = value, dtype, where
        self._pipeline = None if model is self.unet else model
        if not isinstance(where, (str, Path)) or where in ("cuda", "mps", "gpu"):
            raise ParameterError(f"where {where!r}: expected 'cpu', 'device' (the model's own) or a folder")
        self._handles: list[Any] = []
        self._taps: list[Tap] = []

    def __enter__(self) -> Trace:
        for tapped in self._layers:
            if is_tapped(tapped.module):
                raise CaptureError("this U-Net is being captured already: leave that capture first")
        run = Run(versions=versions())
        self._watch = PipelineWatch(self._pipeline, run) if self._pipeline is not None else None
        self._records: MemoryRecords | TraceFolder = (
            MemoryRecords() if self._where in ("cpu", "device") else TraceFolder.create(self._where, run)
        )
        self.trace = Trace(self._records, run)
        self._calls = 0
        self._grids: dict[str, tuple[int, ...]] = {}
        self._missing: dict[LayerId, list[int]] = {}
        self._sample_shape: tuple[int, ...] | None = None
        self._known_embeddings: Tensor | None = None
        self._known_rows: tuple[Row, ...] = ()
        self._pending: dict[LayerId, Record] | None = None
        try:
            self._attach()
        except BaseException:
            self._detach()
            raise
        return self.trace

    def __exit__(
        self, error: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._detach()
        self._pending = None  # a step that was not finished is not kept
        if isinstance(self._records, TraceFolder):
            self._records.finish(self.trace.run)
        if error is None:
            self._check_complete()

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
        self._step = Step(self._calls, _number(timestep), tuple(rows[row] for row in self._kept_rows))
        self._pending = {} if self._calls in self._wanted else None
        self._calls += 1

    def _begin_run(self, sample: Tensor) -> None:
        run = self.trace.run
        self._sample_shape = tuple(sample.shape[1:])
        run.latent_size_hw = (int(sample.shape[-2]), int(sample.shape[-1]))
        if self._watch is not None:
            self._watch.begin()
            factor = getattr(self._pipeline, "vae_scale_factor", None)
            run.image_size_hw = tuple(side * factor for side in run.latent_size_hw) if factor else None
        self._wanted = self._wanted_steps(run.planned_steps)

    def _end_step(self, unet: nn.Module, args: tuple, output: Any) -> None:
        if self._pending is None:
            return
        for tapped in self._layers:
            if tapped.layer not in self._pending:
                self._missing.setdefault(tapped.layer, []).append(self._step.index)
        pending, self._pending = self._pending, None
        self._name_tokens()
        if not self._records.steps:
            self._warn_if_large(pending)
        self._records.add_step(self._step, pending)

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

    def _wanted_steps(self, planned: int | None) -> Container[int]:
        """Numbers of the steps to record; those that never come are named when the capture ends."""
        endless = range(sys.maxsize)
        if self._steps is None:
            return endless
        if planned is not None:
            return set(pick_number("step", self._steps, range(planned)).positions)
        ends = (self._steps.start, self._steps.stop) if isinstance(self._steps, slice) else self._steps
        numbers = [ends] if isinstance(ends, int) else [n for n in ends if n is not None]
        if any(number < 0 for number in numbers):
            raise ParameterError(f"steps {self._steps}: how many steps come is not known here; count from 0")
        return endless[self._steps] if isinstance(self._steps, slice) else set(numbers)

    # One attention layer

    def _grid_noter(self, name: str):
        def note(module: nn.Module, args: tuple, kwargs: dict) -> None:
            self._grids[name] = tuple(_argument(args, kwargs, 0, "hidden_states").shape)

        return note

    def _receiver(self, tapped: TappedLayer):
        parent, layer = parent_path(tapped.path), tapped.layer

        def receive(record: Record, input_shape: tuple[int, ...]) -> None:
            if self._pending is None:
                return
            shape = input_shape if len(input_shape) == 4 else self._grids.get(parent, ())
            if layer not in self._records.layers:
                self._records.layers[layer] = self._describe(tapped, record, shape)
            self._pending[layer] = self._keep(record)

        return receive

    def _describe(self, tapped: TappedLayer, record: Record, shape: tuple[int, ...]) -> Layer:
        _, heads, queries, dim = record.query.shape
        grid = Grid(*shape[-2:]) if len(shape) == 4 else Grid(1, queries)
        if grid.size != queries:
            raise CaptureError(
                f"{tapped.layer} ({tapped.path}): {queries} queries are not the {grid} places of its input {shape}"
            )
        rows = self._step.rows
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

    def _keep(self, record: Record) -> Record:
        mask = record.mask
        return Record(
            query=self._stored(record.query),
            key=self._stored(record.key),
            value=self._stored(record.value) if self._value and record.value is not None else None,
            mask=None if mask is None else self._stored(mask, keep_type=mask.dtype == torch.bool),
            scale=record.scale,
            upcast=record.upcast,
        )

    def _stored(self, tensor: Tensor, *, keep_type: bool = False) -> Tensor:
        """The kept rows, detached; the model's own memory where nothing has to change, since it is fresh."""
        kept = tensor.detach()
        if len(self._kept_rows) < kept.shape[0]:
            kept = kept[self._kept_rows]
        kept = kept.to(
            device=kept.device if self._where == "device" or kept.is_meta else "cpu",
            dtype=kept.dtype if keep_type or self._dtype is None else self._dtype,
        )
        if kept.is_meta or kept.untyped_storage().nbytes() <= kept.numel() * kept.element_size():
            return kept
        return kept.clone()  # a part of something larger, as of fused QKV: do not hold the rest

    def _warn_if_large(self, first: dict[LayerId, Record]) -> None:
        """Say, once the first step is known, when the whole run will take a lot of memory."""
        a_step = sum(
            t.numel() * t.element_size() for record in first.values() for t in record.tensors.values()
        )
        planned = range(self.trace.run.planned_steps or 1)
        total = a_step * sum(step in self._wanted for step in planned)
        if total > LARGE_BYTES and self._where in ("cpu", "device"):
            warnings.warn(
                f"this capture will hold about {total / 1e9:.1f} GB in memory ({a_step / 1e6:.0f} MB a step); "
                "write it to disk as it comes (where='run.trace'), or keep less: kind=, blocks=, steps=, "
                "branch=, dtype=torch.float16",
                LargeCaptureWarning,
                stacklevel=2,
            )

    # The end

    def _name_tokens(self) -> None:
        cross = next((layer for layer in self._records.layers.values() if layer.kind == "cross"), None)
        if cross is None:
            return
        if self._watch is not None:
            self._watch.name_tokens(cross.keys)
        if not self.trace.run.tokens:
            self.trace.run.tokens = [unnamed_tokens(cross.keys)] * cross.batch

    def _check_complete(self) -> None:
        if not self._records.steps or not self._records.layers:
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
