"""What a trace lacks of a model's layers, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attnscope.errors import describe_numbers
from attnscope.recording.modules import layers_not_recorded
from attnscope.recording.plan import Plan
from attnscope.records import LayerId


def layer_gaps(plan: Plan, frames: int, missing: Mapping[LayerId, Sequence[int]]) -> Iterator[str]:
    """Layers that are not recorded, and those that did not run.

    Args:
        plan: What was to be recorded.
        frames: Frames of each video, 1 for pictures.
        missing: For each layer the steps in which it did not run.
    """
    if frames > 1:
        for why, count in layers_not_recorded(plan.family, plan.model).items():
            yield f"{count} attentions are not recorded, since they are {why}; those within frames are"
    if missing:
        layers = "; ".join(f"{layer} in steps {describe_numbers(at)}" for layer, at in missing.items())
        yield (
            f"these layers did not run, so the trace lacks them: {layers}. Something skips parts of the "
            "U-Net (DeepCache or alike): switch it off for a complete capture"
        )
