"""A model under capture, and the pipelines that call it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from types import FrameType

from torch import nn

from attnscope.errors import CaptureError
from attnscope.recording.calling.arguments import Arguments
from attnscope.recording.calling.callers import Caller
from attnscope.recording.calling.held_rows import rows_by
from attnscope.recording.calling.known_rows import is_unguided, layout_of
from attnscope.recording.calling.pipeline_call import PipelineCall
from attnscope.recording.calling.pipeline_watch import PipelineWatch
from attnscope.recording.calling.provenance import versions
from attnscope.recording.planning.plan import Plan
from attnscope.records import Run


class Model:
    """A model under capture, and the pipelines that call it.

    Args:
        plan: What is recorded of it.
        watches: One for each of its pipelines; none for a bare model.
    """

    def __init__(self, plan: Plan, watches: Sequence[PipelineWatch]) -> None:
        self.plan, self.watches = plan, list(watches)
        self.arguments = Arguments(plan.family, plan.model)
        self._given = tuple(watch.pipeline for watch in watches)
        self._takes: Callable[..., bool]
        self._by_hand = PipelineCall(Run(versions=versions()))

    @property
    def module(self) -> nn.Module:
        """The model itself."""
        return self.plan.model

    def renewed(self) -> Model:
        """The same model for another capture by the same plan: nothing of the last one is known."""
        return Model(self.plan, [watch.renewed() for watch in self.watches])

    def attach(self, takes: Callable[..., bool]) -> None:
        """Put the watchers on its pipelines.

        Args:
            takes: Whether the call of a pipeline that goes on here is followed.
        """
        self._takes = takes
        for watch in self.watches:
            watch.attach(partial(takes, is_given=True))

    def is_given(self, caller: Caller | None) -> bool:
        """Whether the user gave the capture the pipeline that calls the model.

        Args:
            caller: The call of a pipeline, None where the model is called by hand.
        """
        return caller is not None and any(pipeline is caller.pipeline for pipeline in self._given)

    @property
    def coming_run(self) -> Run:
        """The run of its next pass, until that begins."""
        return self.watches[0].call.run if self.watches else self._by_hand.run

    def watch_of(self, caller: Caller | None) -> PipelineWatch | None:
        """The watch of the pipeline that calls the model; by hand that of the one whose call began last.

        Args:
            caller: The call of a pipeline, None where the model is called by hand.

        Raises:
            CaptureError: An unknown pipeline calls the model, so none of its rows could be told from the others.
        """
        if caller is None:
            return max(self.watches, key=lambda watch: watch.began, default=None)
        known = next((watch for watch in self.watches if watch.pipeline is caller.pipeline), None)
        if known is None and self.plan.asked.branch_names is None:
            known = self._adopted(caller)
        return known

    def _adopted(self, caller: Caller) -> PipelineWatch:
        """A watch of a pipeline that nobody gave to the capture, where diffusers' source tells its rows."""
        is_known = layout_of(caller, self.module) or rows_by(self.plan.family, caller) is not None
        if not is_known and not is_unguided(caller):
            name = type(caller.pipeline).__name__
            is_taken = getattr(caller.pipeline, self.plan.family.component, None) is self.module
            give = f"give it to the capture, capture([..., that {name}]), or " if is_taken else ""
            raise CaptureError(
                f"a {name} calls the captured {self.plan.family.name}, but this capture does not watch it, so its "
                f"prompts and guidance are unknown: {give}name the guidance rows in the batch's order with branches="
            )
        watch = PipelineWatch(caller.pipeline, self.plan.family, missed=caller.frame)
        self.watches.append(watch)
        watch.attach(partial(self._takes, is_given=False))
        return watch

    def call_of(self, watch: PipelineWatch | None, caller: Caller | None) -> PipelineCall:
        """The call of a pipeline that a call of the model belongs to, or what is done by hand.

        Args:
            watch: The pipeline's watch.
            caller: The call, None by hand.
        """
        frame = None if caller is None else caller.frame
        if watch is not None:
            return watch.enter(frame)
        if self._by_hand.frame is not frame:
            self._by_hand = PipelineCall(Run(versions=versions()), frame)
        return self._by_hand

    def forget(self, frame: FrameType) -> None:
        """A call that was followed belongs to another thread's run.

        Args:
            frame: Its frame.
        """
        for watch in self.watches:
            watch.forget(frame)

    def detach(self) -> None:
        """Take all watchers off its pipelines, and let go of what calls that are over have in their variables."""
        self._by_hand.frame = None
        with ExitStack() as leaving:  # all of them, whatever one raises
            for watch in self.watches:
                leaving.callback(watch.detach)
