"""What is segmented and named: the attention of a trace, aggregated over layers, heads and steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

from jaxtyping import Float
from torch import Tensor

from attnscope.diffseg.aggregation import ScaleSums, SizeHW
from attnscope.trace.selection import pick_number
from attnscope.trace.trace import Trace


def aggregated_attention(
    trace: Trace,
    *,
    weights: Mapping[SizeHW, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **choice: Any,
) -> Float[Tensor, "height width height width"]:
    """DiffSeg's aggregate of all captured self-attention, averaged over steps, straight from Q and K.

    progress: called as progress(done, total) after each layer of each step; what it raises ends the work.
    """
    choice = {"step": step_numbers(trace, None), "branch": "cond", "image": 0, **choice}
    layers = [layer for layer in trace.layers if layer.kind == "self"]
    steps = choice.pop("step")
    sums, places = ScaleSums(), list(product(layers, steps))
    for done, (layer, step) in enumerate(places, start=1):
        add_to = partial(_add_layer, trace, layer.block, choice | {"step": step})
        sums.add((layer.grid.height, layer.grid.width), add_to)
        if progress is not None:
            progress(done, len(places))
    return sums.aggregated(weights=weights)


def _add_layer(trace: Trace, block: int, choice: dict[str, Any], total: Tensor | None) -> Tensor:
    return trace.probabilities(block=block, kind="self", mean=("step", "head"), into=total, **choice)


def cross_attention(
    trace: Trace, preset: str = "paper", **choice: Any
) -> Iterator[tuple[Float[Tensor, "query token"], SizeHW]]:
    """Head-mean cross-attention of every captured layer with its grid; the authors' factors on demand."""
    choice = {"step": step_numbers(trace, None), "branch": "cond", "image": 0, **choice}
    layers = [layer for layer in trace.layers if layer.kind == "cross"]
    finest = max((layer.grid.size for layer in layers), default=0)
    for layer in layers:
        probs = trace.probabilities(block=layer.block, kind="cross", mean=("step", "head"), **choice)
        if preset == "reference":
            probs = probs / (3 if layer.grid.size == finest and layer.stage == "up" else 5)
        yield probs, (layer.grid.height, layer.grid.width)


def step_numbers(trace: Trace, steps: int | Sequence[int] | slice | None) -> list[int]:
    captured = [step.index for step in trace.steps]
    return [captured[position] for position in pick_number("step", steps, captured).positions]
