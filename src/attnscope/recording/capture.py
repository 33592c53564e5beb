"""Capture: a context manager that puts hooks on a model, records one run and leaves the model as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch
from torch import nn

from attnscope.errors import CaptureError
from attnscope.recording.keeping import Keeping
from attnscope.recording.modules import TappedLayer, spatial_parents, unet_of
from attnscope.recording.pipeline_watch import PipelineWatch, versions
from attnscope.recording.plan import plan_capture
from attnscope.recording.session import Session
from attnscope.recording.tap import Tap, is_tapped
from attnscope.records import Kind, Run
from attnscope.records.qkv import Record
from attnscope.records.reduced import Reduced
from attnscope.storage.budgeted import parse_bytes
from attnscope.storage.opening import open_records
from attnscope.trace.trace import Trace


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
        self._pipeline = None if model is self.unet else model
        self._budget = None if budget is None else parse_bytes(budget)
        self._plan = plan_capture(
            self.unet,
            blocks=blocks,
            kind=kind,
            steps=steps,
            branch=branch,
            branch_names=branches,
            keep=keep or {},
            keeping=Keeping(where, dtype, value),
        )
        self._hooks = _Hooks()

    def __enter__(self) -> Trace:
        if any(is_tapped(tapped.module) for tapped in self._plan.layers):
            raise CaptureError("this U-Net is being captured already: leave that capture first")
        run = Run(versions=versions())
        self.trace = Trace(open_records(self._plan.keeping.folder, self._budget, run), run)
        watch = PipelineWatch(self._pipeline, run) if self._pipeline is not None else None
        vae_scale = getattr(self._pipeline, "vae_scale_factor", None)
        self._session = Session(self._plan, self.trace.records, run, self.trace.reduced, watch, vae_scale)
        try:
            self._hooks.attach(self.unet, self._session, watch)
        except BaseException:
            self._hooks.detach()
            self.trace.records.finish(run, {})
            raise
        return self.trace

    def __exit__(
        self, error: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hooks.detach()
        self._session.abandon_call()
        self.trace.records.finish(self.trace.run, self.trace.reduced)
        if error is None:
            self._session.check_complete()


class _Hooks:
    """What a capture puts on a model, and takes off again."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._taps: list[Tap] = []
        self._watch: PipelineWatch | None = None

    def attach(self, unet: nn.Module, session: Session, watch: PipelineWatch | None) -> None:
        self._watch = watch
        if watch is not None:
            watch.attach()

        def begin(unet: nn.Module, args: tuple, kwargs: dict) -> None:
            names = ("sample", "timestep", "encoder_hidden_states")
            session.begin_call(*(_argument(args, kwargs, at, name) for at, name in enumerate(names)))

        def end(unet: nn.Module, args: tuple, output: Any) -> None:
            session.end_call()

        self._handles.append(unet.register_forward_pre_hook(begin, with_kwargs=True))
        self._handles.append(unet.register_forward_hook(end))
        paths = [tapped.path for tapped in session.plan.layers]
        for path, parent in spatial_parents(unet, paths).items():
            self._handles.append(
                parent.register_forward_pre_hook(_grid_noter(session, path), with_kwargs=True)
            )
        for tapped in session.plan.layers:
            tap = Tap(tapped.module, f"{tapped.layer} ({tapped.path})", _receiver(session, tapped))
            self._taps.append(tap)
            tap.attach()

    def detach(self) -> None:
        for tap in self._taps:
            tap.detach()
        for handle in self._handles:
            handle.remove()
        if self._watch is not None:
            self._watch.detach()
        self._taps, self._handles, self._watch = [], [], None


def _receiver(session: Session, tapped: TappedLayer):
    def receive(record: Record, input_shape: tuple[int, ...]) -> None:
        session.receive(tapped, record, input_shape)

    return receive


def _grid_noter(session: Session, path: str):
    def note(module: nn.Module, args: tuple, kwargs: dict) -> None:
        session.note_grid(path, tuple(_argument(args, kwargs, 0, "hidden_states").shape))

    return note


def _argument(args: tuple, kwargs: dict, position: int, name: str) -> Any:
    return args[position] if len(args) > position else kwargs.get(name)
