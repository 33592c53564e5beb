"""What is not in a trace, or not on its page, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from attnscope.errors import describe_numbers
from attnscope.measuring.result import AttentionStatistics
from attnscope.trace.trace import Trace


def gaps_of(trace: Trace, branch: str, image: int, measured: AttentionStatistics | None) -> list[str]:
    """What a reader of the page might look for in vain.

    Args:
        trace: Of one pass.
        branch: Guidance branch of the page.
        image: Number of the page's image in the batch.
        measured: The page's statistics, None if there are none.
    """
    return [*_not_captured(trace, branch, image), *_not_shown(trace, branch, image, measured)]


def _not_captured(trace: Trace, branch: str, image: int) -> Iterator[str]:
    run, kinds = trace.run, trace.layers.in_parts.kinds
    if trace.picture_of(image) is None:
        yield "No picture: the capture did not see one, so maps are shown by themselves."
    if not trace.prompt(image, branch):
        yield "No text: the run got none for this branch, or none that the capture saw."
    if not trace.layers:
        yield "No Q and K: the trace holds none, so there are no words, segments and statistics."
        return
    if "self" not in kinds:
        yield "No attention of the picture to itself, so there are no segments and no distances."
    if "cross" not in kinds:
        yield "No attention to the text, so there are no words."
    planned, steps = run.planned_steps, [step.index for step in trace.steps]
    if planned and len(steps) < planned:
        yield f"{len(steps)} of the run's {planned} steps were captured: {describe_numbers(steps)}."


def _not_shown(trace: Trace, branch: str, image: int, measured: AttentionStatistics | None) -> Iterator[str]:
    others = [name for name in trace.branches if name != branch]
    if others:
        yield f"Shown is the guidance branch {branch!r}; the trace holds {', '.join(map(repr, others))}, too."
    if trace.images > 1:
        yield f"Shown is image {image} of {trace.images} (0 to {trace.images - 1})."
    if trace.reduced:
        yield f"Reduced maps that the trace holds are not shown: {', '.join(map(repr, trace.reduced))}."
    if trace.run.edits:
        yield "Attention was edited while the picture was made; all numbers are of what was used."
    if measured is None:
        return
    seen = sorted({step for layer in measured for step in layer.steps})
    if len(seen) < len(trace.steps):
        yield f"Statistics are of {len(seen)} of {len(trace.steps)} steps: {describe_numbers(seen)}."
    if measured.left_out:
        yield f"Layers that ran in none of these steps for this branch: {', '.join(measured.left_out)}."
