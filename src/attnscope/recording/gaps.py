"""What a trace lacks of a run's steps and of a model's layers, in words."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from attnscope.errors import describe_numbers
from attnscope.recording.modules import layers_not_recorded
from attnscope.recording.obstacles.skipped import why_skipped
from attnscope.recording.plan import Plan
from attnscope.records import LayerId


def step_gaps(steps: Sequence[int], planned: int | None, wanted: Iterable[Container[int]]) -> Iterator[str]:
    """Steps that were chosen or planned and never came, or came and were not planned.

    Args:
        steps: The steps that came.
        planned: How many the pipeline set out to take, None if unknown.
        wanted: The choices of steps that were made.
    """
    planned, asked = planned or len(steps), set[int]()
    for choice in wanted:
        asked |= choice if isinstance(choice, set) else set(range(planned))
    if never := sorted(asked - {*steps}):
        yield f"steps {describe_numbers(never)} never came: the run ended after {len(steps)} step(s)"
    if len(steps) > planned:
        yield f"{len(steps)} steps came where the pipeline planned {planned}: something calls the model more often"


def layer_gaps(
    plan: Plan, frames: int, missing: Mapping[LayerId, Sequence[int]], steps: Sequence[int]
) -> Iterator[str]:
    """Layers that are not recorded, and those that did not run.

    Args:
        plan: What was to be recorded.
        frames: Frames of each video, 1 for pictures.
        missing: For each layer the steps in which it did not run.
        steps: The steps that came.
    """
    for why, count in layers_not_recorded(plan.family, plan.model).items():
        if frames > 1:
            yield f"{count} attentions are not recorded, since they are {why}; those within frames are"
        elif plan.asked.is_everything and why in plan.family.left_out.values():
            yield f"{count} attentions are not recorded, since they are {why}"
    paths = {tapped.layer: tapped.path for tapped in plan.layers}
    named = {str(layer): (paths[layer], at) for layer, at in missing.items()}
    yield from why_skipped(plan.model, plan.family.component, named, steps)
