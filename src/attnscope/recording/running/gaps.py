"""What a trace lacks of a run's steps and of a model's layers, in words."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from attnscope.errors import describe_numbers
from attnscope.recording.obstacles.obstacle import Obstacle
from attnscope.recording.obstacles.skipped import answering_hook, skipping, unwatched, why_skipped
from attnscope.recording.planning.modules import TappedLayer, layers_not_recorded
from attnscope.recording.planning.plan import Plan
from attnscope.records import LayerId

Missed: TypeAlias = tuple[list[int], "Obstacle | None"]
"""The steps in which a layer did not run, and why."""


def step_gaps(
    steps: Sequence[int], planned: int | None, wanted: Iterable[Container[int]], other: str | None = None
) -> Iterator[str]:
    """Steps that were chosen or planned and never came, or came and were not planned.

    Args:
        steps: The steps that came.
        planned: How many the pipeline set out to take, None if unknown.
        wanted: The choices of steps that were made.
        other: What the pipeline calls the model that takes its other steps, None where there is none.
    """
    planned, asked = planned or len(steps), set[int]()
    for choice in wanted:
        asked |= choice if isinstance(choice, set) else set(range(planned))
    if never := sorted(asked - {*steps}):
        why = (
            f"the run ended after {len(steps)} step(s)"
            if other is None
            else f"the pipeline takes them with another model, its {other}; capture the pipeline, and each has a pass"
        )
        yield f"steps {describe_numbers(never)} never came: {why}"
    if len(steps) > planned:
        yield f"{len(steps)} steps came where the pipeline planned {planned}: something calls the model more often"


def layer_gaps(
    plan: Plan, frames: int, missing: Mapping[LayerId, Missed], steps: Sequence[int]
) -> Iterator[str]:
    """Layers that are not recorded, and those that did not run.

    Args:
        plan: What was to be recorded.
        frames: Frames of each video, 1 for pictures.
        missing: For each layer the steps in which it did not run, and why.
        steps: The steps that came.
    """
    for why, count in layers_not_recorded(plan.family, plan.model).items():
        if why in plan.family.left_out.values():
            if plan.asked.is_everything:
                yield f"{count} attentions are not recorded, since they are {why}"
        elif frames > 1:
            yield f"{count} attentions are not recorded, since they are {why}; those within frames are"
    yield from why_skipped({str(layer): missed for layer, missed in missing.items()}, steps)


def note_missing(plan: Plan, ran: Container[LayerId], step: int, missing: dict[LayerId, Missed]) -> None:
    """Note the layers that have not run in a call, as soon as it has ended: why, nobody may know any more later.

    Args:
        plan: What is recorded of the model.
        ran: Layers that have run.
        step: The call's step.
        missing: What has been missing so far, which is added to.
    """
    for tapped in plan.layers:
        if tapped.layer not in ran and tapped.layer.kind != "fuser":  # that is off in late steps
            if tapped.layer not in missing:
                missing[tapped.layer] = ([], _why_missing(plan, tapped))
            missing[tapped.layer][0].append(step)


def none_ran(first: Missed | None) -> str:
    """That no layer ran, in words.

    Args:
        first: Of the first layer.
    """
    why = str((first and first[1]) or "the model did not call them")
    return f"none of the layers that were chosen ran. {why[0].upper()}{why[1:]}"


def _why_missing(plan: Plan, tapped: TappedLayer) -> Obstacle | None:
    component = plan.family.component
    return (
        answering_hook(tapped.module, component, plan.model)
        or unwatched(tapped.module, component, tapped.path)
        or skipping(plan.model, component, tapped.path)
    )
