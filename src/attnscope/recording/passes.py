"""Which pass a call of a model belongs to: each call of a pipeline begins one, and so does another size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from attnscope.errors import CaptureError
from attnscope.recording.callers import calling_pipeline
from attnscope.recording.pipeline_watch import PipelineWatch, versions
from attnscope.recording.plan import Plan
from attnscope.recording.session import Session
from attnscope.records import Run
from attnscope.storage.memory import Store
from attnscope.trace.trace import Trace


class IncompleteCaptureWarning(UserWarning):
    """The trace lacks a layer that did not run, a step that never came, or the names of a prompt's tokens."""


class Model:
    """A model under capture, and the pipelines that call it.

    Args:
        plan: What is recorded of it.
        watches: One for each of its pipelines; none for a bare model.
    """

    def __init__(self, plan: Plan, watches: Sequence[PipelineWatch]) -> None:
        self.plan, self.watches = plan, tuple(watches)
        self._run = Run(versions=versions())
        self._caller: PipelineWatch | None = None
        self._sample_shapes: dict[int, tuple[int, ...]] = {}

    @property
    def module(self) -> nn.Module:
        """The model itself."""
        return self.plan.model

    @property
    def watch(self) -> PipelineWatch | None:
        """The watch of the pipeline that calls; of the one whose call began last where that is not seen."""
        if self._caller is not None:
            return self._caller
        return max(self.watches, key=lambda watch: watch.began, default=None)

    def renewed(self) -> Model:
        """The same model for another capture by the same plan: nothing of the last one is known."""
        return Model(self.plan, [watch.renewed() for watch in self.watches])

    @property
    def coming_run(self) -> Run:
        """The run of its next pass, until that begins."""
        return self._run if self.watch is None else self.watch.call.run

    def find_caller(self) -> None:
        """Find out which pipeline calls the model. One that the capture does not watch is refused.

        Raises:
            CaptureError: Another pipeline calls the model, so none of its rows could be told from the others, and
                the user did not name them.
        """
        caller = calling_pipeline(self.module, self.plan.family.component)
        self._caller = next((watch for watch in self.watches if watch.pipeline is caller), None)
        if caller is None or self._caller is not None or self.plan.asked.branch_names is not None:
            return
        name = type(caller).__name__
        raise CaptureError(
            f"a {name} calls the captured {self.plan.family.name}, but this capture does not watch it, so its prompts "
            f"and guidance are unknown: give it to the capture, capture([..., that {name}]), or name the guidance rows "
            "in the batch's order with branches="
        )

    def run_of(self, sample: Tensor) -> Run:
        """The run that a call of the model belongs to. A latent of another size begins another run.

        Args:
            sample: The noisy latent that the call got.
        """
        watch, shape = self.watch, tuple(sample.shape[1:])  # rows may change: guidance can end early
        run = self._run if watch is None else watch.call.run
        if self._sample_shapes.setdefault(id(run), shape) == shape:
            return run
        if watch is None:
            run = self._run = Run(versions=run.versions)
        else:
            watch.call = watch.call.resized()
            run = watch.call.run
        self._sample_shapes[id(run)] = shape
        return run


class Passes:
    """All that a capture records: the passes so far, and the one under way.

    Args:
        store: Where records go.
        trace: Is told of each pass when it begins.
    """

    def __init__(self, store: Store, trace: Trace) -> None:
        self._store, self._trace = store, trace
        self._sessions: list[Session] = []
        self.session: Session | None = None
        """The session of the pass under way, None before the first."""

    def begin_call(self, model: Model, sample: Tensor, timestep: Any, conditioning: Tensor | None) -> None:
        """A model is called.

        Args:
            model: The model.
            sample: The noisy latent.
            timestep: A number or a tensor.
            conditioning: The text embeddings, None if there are none.

        Raises:
            CaptureError: Another pipeline calls the model, or nothing tells which row is which.
        """
        model.find_caller()
        run = model.run_of(sample)
        of_run = (session for session in self._sessions if session.run is run)
        self.session = next(of_run, None) or self._begin_pass(model, run, sample)
        self.session.begin_call(sample, timestep, conditioning)

    def _begin_pass(self, model: Model, run: Run, sample: Tensor) -> Session:
        is_whole = model.watch is None or model.watch.call.is_whole
        if self.session is not None:
            self.session.is_whole &= is_whole
            self.session.finish()
        session = Session(model.plan, run, self._store, model.watch, sample, is_first=not self._sessions)
        session.is_whole = is_whole
        self._sessions.append(session)
        self._trace.begin_pass(session.into)
        return session

    def close(self) -> None:
        """The capture is over. A pass may have gone on after another one had begun, so each is finished again."""
        try:
            for session in self._sessions:
                session.finish()
        finally:
            self._store.close()

    def check_complete(self) -> None:
        """Look for gaps, once the capture is over.

        Raises:
            CaptureError: Nothing was recorded.

        Warns:
            IncompleteCaptureWarning: Something is missing.
        """
        if not any(session.recorded for session in self._sessions):
            why = [session.why_nothing() for session in self._sessions]
            because = "; ".join(why) or "the model did not run inside the capture"
            raise CaptureError(f"nothing was recorded: {because}; call the pipeline inside the `with`")
        for number, session in enumerate(self._sessions):
            of_pass = f"pass {number}: " if len(self._sessions) > 1 else ""
            for gap in session.gaps():
                warnings.warn(of_pass + gap, IncompleteCaptureWarning, stacklevel=3)
