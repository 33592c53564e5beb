"""What a trace holds, in words and as plain values: for its repr, for notebooks, for `attnscope info`."""

from __future__ import annotations

from math import isfinite
from typing import Any

from attnscope.records import Step
from attnscope.trace.contents import Contents


def trace_facts(trace: Contents) -> dict[str, Any]:
    """Everything about one pass except its tensors and pictures, as plain values for JSON.

    Args:
        trace: A trace of one pass.
    """
    run = trace.run
    return {
        "model": run.model,
        "family": run.family,
        "revision": run.revision,
        "pipeline": run.pipeline,
        "scheduler": run.scheduler,
        "seed": run.seed,
        "guidance_scale": None if run.guidance_scale is None else _known(run.guidance_scale),
        "image_size": list(run.image_size_hw) if run.image_size_hw else None,
        "images": trace.images,
        "branches": list(trace.branches),
        "prompts": run.prompts,
        "negative_prompts": run.negative_prompts,
        "edits": run.edits,
        "planned_steps": run.planned_steps,
        "steps": [_step_facts(step) for step in trace.steps],
        "words": _words(trace, "cond"),
        "negative_words": _words(trace, "uncond"),
        "layers": [layer.as_dict() for layer in trace.layers],
        "reduced": {
            name: {
                "kind": maps.reduction.kind,
                "how": maps.reduction.how,
                "per": maps.reduction.per,
                "steps": list(maps.steps),
            }
            for name, maps in trace.reduced.items()
        },
        "outputs": list(trace.records.outputs),
        "open_words": len(trace.records.projections),
        "pictures": len(run.pictures),
        "previews": len(run.previews),
        "versions": run.versions,
    }


def short_facts(trace: Contents) -> str:
    """One line about a pass, for `repr`.

    Args:
        trace: A trace of one pass.
    """
    run, prompt = trace.run, trace.prompt()
    planned = f" of {run.planned_steps}" if run.planned_steps else ""
    said = f"{prompt!r}, " if prompt else ""
    return (
        f"<Trace {said}{len(trace.records.layers)} layers, {len(trace.steps)}{planned} steps, "
        f"{trace.images} image(s), branches {', '.join(trace.branches) or 'none'}"
        f"{', edited' if run.edits else ''}{_outputs(trace)}>"
    )


def _outputs(trace: Contents) -> str:
    count = len(trace.records.outputs)
    return f", {count} output{'s' * (count > 1)}" if count else ""


def _words(trace: Contents, branch: str) -> list[list[dict[str, Any]]]:
    """For each image the words of the text that a branch reads."""
    return [
        [{"word": span.word, "tokens": list(span.tokens)} for span in trace.words(image, branch)]
        for image in range(trace.images)
    ]


def _step_facts(step: Step) -> dict[str, Any]:
    """A step, with its calls if there are several."""
    facts: dict[str, Any] = {"index": step.index, "timestep": _known(step.timestep)}
    if len(step.calls) > 1:
        facts["calls"] = [
            {
                "index": call.index,
                "timestep": _known(call.timestep),
                "rows": len(call.rows),
                "gradients": call.gradients,
                "extra": call.extra,
            }
            for call in step.calls
        ]
    return facts


def _known(value: float) -> float | None:
    """JSON has neither NaN, which stands for what is unknown, nor infinity."""
    return value if isfinite(value) else None
