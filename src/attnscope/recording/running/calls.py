"""The calls of the model in one pass: which step each belongs to, which rows it has, and whether it is an extra one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from attnscope.errors import CaptureError, describe_numbers
from attnscope.recording.calling.callers import Asking
from attnscope.recording.calling.held_rows import rows_by
from attnscope.recording.calling.known_rows import (
    gives_noise_levels,
    image_under_way,
    looks_again,
    step_timestep,
)
from attnscope.recording.calling.pipeline_call import PipelineCall
from attnscope.recording.calling.rows import RowFinder
from attnscope.recording.calling.schedule import Schedule
from attnscope.recording.planning.modules import other_model
from attnscope.recording.planning.plan import Plan
from attnscope.records import Call, Row


class Calls:
    """Makes a record of each call of the model as it comes.

    Args:
        plan: What is recorded of the model.
        of_pipeline: What is known of the pipeline's call.
        scheduler: The pipeline's scheduler, None if there is none.
        first: The first call of the model.
    """

    def __init__(self, plan: Plan, of_pipeline: PipelineCall, scheduler: Any, first: Asking) -> None:
        self._rows = RowFinder(plan.asked.branch_names, plan.family, plan.model)
        self._of_pipeline, self._family = of_pipeline, plan.family
        listed = None if first.caller is None else first.caller.variables.get("timesteps")
        pipeline = None if first.caller is None else first.caller.pipeline
        self._schedule = Schedule(
            scheduler,
            listed,
            1 if gives_noise_levels(first.caller) else None,
            is_shared=other_model(plan.family, pipeline, plan.model) is not None,
        )
        self._size = first.size  # rows may change: guidance can end early
        self._all: list[Call] = []
        self._unnamed: set[int] = set()
        self._by_callbacks: set[int] = set()
        self._lost: dict[int, CaptureError] = {}

    @property
    def order(self) -> int:
        """Entries of the scheduler's list in one step."""
        return self._schedule.order

    @property
    def steps(self) -> list[int]:
        """Numbers of the steps so far."""
        return sorted({call.step for call in self._all})

    @property
    def all_steps(self) -> list[int]:
        """Numbers of the steps so far, and of those that came and could not be recorded."""
        return sorted({*self.steps, *self._lost})

    @property
    def lost(self) -> Mapping[int, CaptureError]:
        """Why calls are left out, by their steps."""
        return self._lost

    @property
    def branches(self) -> list[str]:
        """The branches so far."""
        return list(dict.fromkeys(row.branch for call in self._all for row in call.rows))

    def of_step(self, step: int) -> list[Call]:
        """The calls of one step so far.

        Args:
            step: Its number.
        """
        return [call for call in self._all if call.step == step]

    def are_left_by(self, asked: Asking) -> bool:
        """Whether a call of the model begins another pass: its latent has another size, or the schedule starts again.

        Args:
            asked: What the model is called with.
        """
        if asked.is_extra:
            return False
        place = self._schedule.find(self._timestep(asked))
        return asked.size != self._size or self._schedule.goes_back(place)

    def begin(self, asked: Asking) -> Call | None:
        """The model is called.

        Args:
            asked: What it is called with.

        Returns:
            The call; None where nothing names its rows, and it is a callback's or the run is under way: such a call
            must not stop the run.

        Raises:
            CaptureError: Nothing tells which row is which, in the first call.
        """
        if asked.is_extra:
            return self._begin_extra(asked)
        timestep = self._timestep(asked)
        step = self._schedule.step_of(self._schedule.find(timestep))
        try:
            self._must_be_one(timestep)
            rows = self._rows_of(asked, turn=len(self.of_step(step)))
        except CaptureError as error:
            if not self._all:
                raise
            self._lost.setdefault(step, error)
            return None
        has_looked = any(call.predicts for call in self.of_step(step))
        return self._add(asked, step, rows, has_looked and looks_again(asked.caller))

    def _timestep(self, asked: Asking) -> Any:
        return step_timestep(asked.caller, self._listed(asked))

    def _listed(self, asked: Asking) -> Any:
        """As it stands in the scheduler's list: transformers get it divided, copied for each row or turned round."""
        if asked.caller is not None and rows_by(self._family, asked.caller) is not None:
            own = asked.caller.variables.get("t", asked.timestep)
            return own.unsqueeze(0) if getattr(own, "ndim", 0) == 1 else own  # one for each frame
        return asked.timestep

    def _must_be_one(self, timestep: Any) -> None:
        if len(numbers := self._schedule.of_places(timestep)) > 1:
            at = ", ".join(f"{number:g}" for number in numbers)
            raise CaptureError(
                f"frames of one call stand at different timesteps ({at}), so it belongs to no single step: "
                "make all frames at once, with ar_step=0 in SkyReels V2"
            )

    def _begin_extra(self, asked: Asking) -> Call | None:
        step, same_size = max(self._schedule.current, 0), asked.size == self._size
        try:
            rows = self._rows_of(asked) if same_size else None
        except CaptureError:
            rows = None
        if rows is None:
            self._unnamed.add(step)
            return None
        self._by_callbacks.add(step)
        return self._add(asked, step, rows, True)

    def _rows_of(self, asked: Asking, turn: int = 0) -> tuple[Row, ...]:
        """The rows of the batch. Frames are images: in a video U-Net each is a row, in a transformer a row has all."""
        frames = self._of_pipeline.run.frames
        rows = self._rows.of(asked, self._of_pipeline, turn)
        if (image := image_under_way(asked.caller)) is not None:
            rows = tuple(Row(row.branch, image) for row in rows)
        if asked.attended is not None:
            return tuple(Row(row.branch, row.image * frames, frames) for row in rows)
        return tuple(Row(row.branch, row.image * frames + frame) for row in rows for frame in range(frames))

    def _add(self, asked: Asking, step: int, rows: tuple[Row, ...], is_extra: bool) -> Call:
        timestep = self._schedule.find(self._listed(asked)).timestep
        call = Call(len(self._all), step, timestep, rows, torch.is_grad_enabled(), is_extra)
        self._all.append(call)
        return call

    def why_nothing(self) -> str:
        """Which calls came, where nothing was recorded."""
        if self._unnamed and not self._all:
            return "only callbacks called the model, with rows that nothing names"
        return f"the run had steps {describe_numbers(self.steps)}"

    def extra_calls(self) -> Iterator[str]:
        """What callbacks did with the model, and calls whose rows nothing names."""
        if self._lost:
            yield (
                f"calls of the model in steps {describe_numbers(sorted(self._lost))} are not in the trace, because "
                f"{next(iter(self._lost.values()))}"
            )
        if self._unnamed:
            yield (
                f"a callback called the model in steps {describe_numbers(sorted(self._unnamed))} with rows that "
                "nothing names: these calls are not in the trace"
            )
        if self._by_callbacks:
            steps = describe_numbers(sorted(self._by_callbacks))
            yield (
                f"a callback called the model in steps {steps}, besides the pipeline: these calls are in no mean; "
                "call= chooses one"
            )
