"""What a capture is asked to record of one model, checked against it before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor, nn

from attnscope.atlas.families import Family
from attnscope.errors import CaptureError, ParameterError
from attnscope.recording.obstacles.merged import merged_tokens
from attnscope.recording.planning.keeping import Keeping
from attnscope.recording.planning.modules import TappedLayer, choose_layers
from attnscope.recording.planning.open_words import check_open_words
from attnscope.recording.planning.outputs import modules_at
from attnscope.records import KINDS, Kind, LayerId, Row
from attnscope.records.reduced import Reduced, checked_reductions
from attnscope.trace.selection import pick_name, pick_number

Steps = int | Sequence[int] | slice | None


class StepTaken(NamedTuple):
    """A step that a scheduler has taken.

    Attributes:
        step: Its number, from 0.
        predicted: The latent without noise that the model's answer predicts, with guidance, in the form that the
            scheduler has; None where that is not known.
    """

    step: int
    predicted: Tensor | None


OnStep = Callable[[StepTaken], object]


@dataclass(frozen=True)
class Asked:
    """What a user asks of a capture. These are the arguments of `attnscope.capture`, which explains them."""

    blocks: int | Sequence[int] | None
    kind: Kind | None
    steps: Steps
    branch: str | Sequence[str] | None
    branch_names: Sequence[str] | None
    keep: Mapping[str, Reduced]
    keeping: Keeping
    qk: bool
    open_words: bool = False
    previews_px: int = 0
    outputs: tuple[str, ...] = ()
    on_step: OnStep | None = None

    @property
    def watches_steps(self) -> bool:
        """Whether the scheduler's steps are watched."""
        return bool(self.previews_px) or self.on_step is not None

    @property
    def is_everything(self) -> bool:
        """Whether no layer was left out by choice."""
        return self.blocks is None and self.kind is None and not self.keeps_no_qk

    @property
    def keeps_no_qk(self) -> bool:
        """Whether only reduced maps are kept: `qk=False` says so, and where there are any, `steps=[]`."""
        no_steps = isinstance(self.steps, Sequence) and not self.steps
        return not self.qk or (bool(self.keep) and no_steps)

    @property
    def keeps_no_calls(self) -> bool:
        """Whether nothing is kept of single calls of the model, neither Q and K nor outputs."""
        return self.keeps_no_qk and not self.outputs


@dataclass(frozen=True)
class Plan:
    """What is recorded of one model.

    Attributes:
        family: The model's family.
        model: The model.
        asked: What the user asked.
        layers: All layers that are watched, in execution order.
        with_qk: The layers whose Q and K are kept.
        outputs: The modules whose output is kept, by path.
    """

    family: Family
    model: nn.Module
    asked: Asked
    layers: tuple[TappedLayer, ...]
    with_qk: frozenset[LayerId]
    outputs: Mapping[str, nn.Module] = field(default_factory=dict)

    def wanted(self, planned: int | None, *, strict: bool) -> Container[int]:
        """Numbers of the steps whose Q and K, or outputs, are kept.

        Args:
            planned: As for `wanted_steps`.
            strict: As for `wanted_steps`.
        """
        return set() if self.asked.keeps_no_calls else wanted_steps(self.asked.steps, planned, strict=strict)

    def keeps_qk_of(self, tapped: TappedLayer, kind: Kind) -> bool:
        """Whether Q and K of an attention are kept.

        Args:
            tapped: The module's layer.
            kind: Of the attention, which may be an IP-Adapter's in a cross-attention.
        """
        asked = self.asked.kind
        is_part = kind == "joint" and asked in KINDS
        is_adapter = asked == "cross" and kind.startswith("image")
        return tapped.layer in self.with_qk and (asked in (None, kind) or is_part or is_adapter)

    def kept_rows(self, rows: Sequence[Row]) -> list[int]:
        """Numbers of the batch rows whose branch was chosen.

        Args:
            rows: The rows of the batch.
        """
        branch = self.asked.branch
        if branch is None:
            return list(range(len(rows)))
        chosen = [branch] if isinstance(branch, str) else list(branch)
        return [at for at, row in enumerate(rows) if row.branch in chosen]

    def check_branches(self, there: Sequence[str]) -> None:
        """Refuse a branch that was chosen and that a run lacks.

        Args:
            there: The branches of the run's first step.

        Raises:
            SelectionError: No row has such a branch.
        """
        reduced = [reduction.branch for reduction in self.asked.keep.values()]
        for branch in (None if self.asked.keeps_no_calls else self.asked.branch, reduced or None):
            pick_name("branch", branch, there)


def plan_capture(family: Family, model: nn.Module, asked: Asked) -> Plan:
    """What a capture has to record of one model, checked before anything runs.

    Args:
        family: How the model is built.
        model: The denoising model.
        asked: What the user asked.

    Raises:
        SelectionError: The model lacks a block that was chosen.
        ParameterError: A reduction makes no sense.
        ModelError: The model has no attention that attnscope knows.
        CaptureError: Tokens are merged before a layer, or no other text's keys can be known.
    """
    with_qk = [] if asked.keeps_no_qk else choose_layers(family, model, asked.blocks, asked.kind)
    chosen = [
        *with_qk,
        *(
            tapped
            for reduction in checked_reductions(asked.keep).values()
            for tapped in choose_layers(family, model, reduction.blocks, reduction.kind)
        ),
    ]
    for tapped in chosen:
        if (obstacle := merged_tokens(model, tapped.path, tapped.layer.kind)) is not None:
            raise CaptureError(f"{tapped.layer} ({tapped.path}) can't be captured, {obstacle}")
    watched = {tapped.layer for tapped in chosen}
    everything = choose_layers(family, model, None, None)
    if asked.open_words:
        check_open_words(family, model, with_qk, asked.kind)
    return Plan(
        family,
        model,
        asked,
        layers=tuple(tapped for tapped in everything if tapped.layer in watched),
        with_qk=frozenset(tapped.layer for tapped in with_qk),
        outputs=modules_at(model, asked.outputs),
    )


def wanted_steps(steps: Steps, planned: int | None, *, strict: bool = True) -> Container[int]:
    """Numbers of the steps to record. Steps that never come are named when the capture ends.

    Args:
        steps: What the user chose; negative numbers count from the end. None: all.
        planned: How many steps the pipeline is going to take, None if unknown.
        strict: Refuse a step that the pipeline is not going to take.

    Raises:
        SelectionError: Such a step was chosen.
        ParameterError: A step counts from an end that is unknown.
    """
    if steps is None:
        return range(sys.maxsize)
    if planned is None:
        return _uncounted(steps)
    if strict or isinstance(steps, slice):
        return set(pick_number("step", steps, range(planned)).positions)
    numbers = [steps] if isinstance(steps, int) else list(steps)
    return {
        number % planned if -planned <= number < 0 else number for number in numbers if number >= -planned
    }


def _uncounted(steps: int | Sequence[int] | slice) -> Container[int]:
    """Numbers of the steps of a run of unknown length."""
    ends = (steps.start, steps.stop) if isinstance(steps, slice) else steps
    numbers = [ends] if isinstance(ends, int) else [n for n in ends if n is not None]
    if any(number < 0 for number in numbers):
        raise ParameterError(f"steps {steps}: the number of steps is not known here; count from 0")
    return range(sys.maxsize)[steps] if isinstance(steps, slice) else set(numbers)
