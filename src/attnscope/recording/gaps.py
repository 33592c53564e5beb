"""What a trace lacks of a model's layers, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attnscope.recording.modules import layers_not_recorded
from attnscope.recording.obstacles.skipped import why_skipped
from attnscope.recording.plan import Plan
from attnscope.records import LayerId


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
    if frames > 1:
        for why, count in layers_not_recorded(plan.family, plan.model).items():
            yield f"{count} attentions are not recorded, since they are {why}; those within frames are"
    paths = {tapped.layer: tapped.path for tapped in plan.layers}
    named = {str(layer): (paths[layer], at) for layer, at in missing.items()}
    yield from why_skipped(plan.model, plan.family.component, named, steps)
