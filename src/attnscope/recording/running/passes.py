"""Which pass a call of a model belongs to: each call of a pipeline begins one, and so does another size."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import FrameType
from typing import Any

import torch

from attnscope.errors import CaptureError
from attnscope.recording.calling.callers import Asking, calling_pipeline
from attnscope.recording.calling.pipeline_call import PipelineCall
from attnscope.recording.calling.pipeline_watch import PipelineWatch
from attnscope.recording.obstacles.calls import passing_tensors
from attnscope.recording.running.following import Following
from attnscope.recording.running.owners import Purpose
from attnscope.recording.running.session import Session
from attnscope.recording.running.watched_model import Model
from attnscope.storage.memory import Store
from attnscope.trace.trace import Trace

_GRAPH: ContextVar[object | None] = ContextVar("_GRAPH", default=None)
"""The capture with a graph that is on here."""


class IncompleteCaptureWarning(UserWarning):
    """The trace lacks a layer that did not run, a step that never came, or the names of a prompt's tokens."""


class Passes:
    """All that a capture records: the passes so far, and the one under way.

    Args:
        store: Where records go.
        trace: Is told of each pass when it begins.
        models: The models under capture.
        purpose: What they are recorded for. While a graph is, captures see nothing: it is of calls beside the run.
    """

    def __init__(
        self, store: Store, trace: Trace, models: Sequence[Model], *, purpose: Purpose = "capture"
    ) -> None:
        self._store, self._trace, self._models, self._purpose = store, trace, models, purpose
        self._aside = _GRAPH.set(self) if purpose == "graph" else None
        self._sessions: list[Session] = []
        self._session: Session | None = None
        self._passed_by = 0
        self._keeping = threading.RLock()  # a call of the model is kept whole, or its pass is over or dropped
        pipelines = [watch.pipeline for model in models for watch in model.watches]
        self.following = Following(pipelines, self._drop)

    @property
    def session(self) -> Session | None:
        """The session of the call under way; None before the first, in other threads and in calls that pass by."""
        return self._session if self.following.is_here else None

    def begin_call(
        self,
        model: Model,
        args: tuple,
        kwargs: Mapping[str, Any],
    ) -> None:
        """A model is called.

        Args:
            model: The model.
            args: As it got them.
            kwargs: As it got them.

        Raises:
            CaptureError: Another pipeline calls the model, its tensors can't be kept, or nothing tells which row is
                which.
        """
        if self._purpose == "capture" and _GRAPH.get() is not None:
            self._session = None
            return
        if self._purpose == "graph" and not torch.is_grad_enabled():
            raise CaptureError(
                "capture(grad=True) needs a call with gradients, and pipelines run under torch.no_grad(): call the "
                "model yourself, with a latent or embeddings that require a gradient"
            )
        caller = None if self._purpose == "graph" else calling_pipeline(model.module)
        frame = None if caller is None else caller.frame
        if not self.following.takes(frame, is_given=model.is_given(caller)):
            self._passed_by += 1
            if self.following.is_here:  # another task of this thread
                self._session = None
            return
        if (obstacle := passing_tensors((*args, *kwargs.values()))) is not None:
            raise CaptureError(f"this call can't be recorded, {obstacle}")
        watch = model.watch_of(caller)
        call = model.call_of(watch, caller)
        asked = model.arguments.read(args, kwargs, caller)
        session = next((session for session in self._sessions if session.run is call.run), None)
        if session is not None and session.calls.are_left_by(asked):
            call.begin_again()
            session = None
        self._session = session or self._begin_pass(model, watch, call, asked)
        self._session.begin_call(asked)
        self._session.previews.note_call(asked, self._session.call_under_way)

    def end_call(self) -> None:
        """The call of the model that was begun in this thread has ended."""
        with self._keeping:
            if self.session is not None:
                self.session.end_call()

    def _drop(self, frame: FrameType) -> None:
        """What was taken for the capture's run is another thread's, since the capture's own has begun.

        Args:
            frame: The frame of the other's call.
        """
        with self._keeping:
            self._session = None
            while self._sessions and self._sessions[-1].call.frame is frame:
                self._trace.drop_pass()
                self._sessions.pop()
                self._store.drop_pass()
            for model in self._models:
                model.forget(frame)

    def _begin_pass(
        self, model: Model, watch: PipelineWatch | None, call: PipelineCall, asked: Asking
    ) -> Session:
        if self._sessions:
            self._sessions[-1].is_whole &= call.is_whole
            self._sessions[-1].finish()
        session = Session(model.plan, call, self._store, watch, asked, is_first=not self._sessions)
        session.is_whole = call.is_whole and not self._takes_others(model, watch)
        self._sessions.append(session)
        self._trace.begin_pass(session.into)
        return session

    def _takes_others(self, model: Model, watch: PipelineWatch | None) -> bool:
        """Whether another model that the pipeline has for its other steps is under capture, too."""
        others = (other.watches for other in self._models if other is not model)
        return watch is not None and any(
            watch.pipeline is of.pipeline for of_model in others for of in of_model
        )

    def close(self) -> None:
        """The capture is over. A pass may have gone on after another one had begun, so each is finished again."""
        if self._aside is not None:
            _GRAPH.reset(self._aside)
        self.following.leave()
        with self._keeping:
            try:
                for session in self._sessions:
                    session.finish()
            finally:
                self._store.close()

    def check_complete(self) -> None:
        """Look for gaps, once the capture is over.

        Raises:
            CaptureError: Nothing was recorded.
            UnobservedError: A layer was found to compute something else than what was recorded of it.
            SelectionError: The first pass has no branch that was chosen.

        Warns:
            IncompleteCaptureWarning: Something is missing.
        """
        for session in self._sessions:
            if session.lost.doubt is not None:
                raise session.lost.doubt
        if self._sessions:
            self._sessions[0].check_branches()
        if not any(session.recorded for session in self._sessions):
            why = [session.why_nothing() for session in self._sessions]
            raise CaptureError(
                f"nothing was recorded: {'; '.join(why) or self._why_nothing()}; call the pipeline inside the `with`"
            )
        for number, session in enumerate(self._sessions):
            of_pass = f"pass {number}: " if len(self._sessions) > 1 else ""
            for gap in session.gaps():
                warnings.warn(of_pass + gap, IncompleteCaptureWarning, stacklevel=3)
        if self.following.left_out:
            warnings.warn(
                "a run in another thread, beside the recorded one, is not in the trace: a capture follows "
                "one run at a time, so do the runs one after the other",
                IncompleteCaptureWarning,
                stacklevel=3,
            )

    def _why_nothing(self) -> str:
        if self._passed_by:
            return "the model ran in another thread only, and not by a pipeline that was given to the capture"
        return "the model did not run inside the capture"
