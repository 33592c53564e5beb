"""From a trace to the evidence that segments are made of: its attention, aggregated over layers, heads and steps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

from jaxtyping import Float
from torch import Tensor

from attnscope.diffseg.aggregation import ScaleSums, aggregate
from attnscope.diffseg.labels import word_maps
from attnscope.errors import ParameterError, SelectionError, describe_numbers
from attnscope.pictures.reading import Picture, load_picture
from attnscope.pictures.sizes import size_hw
from attnscope.pictures.strips import LARGE_PIXELS
from attnscope.records import PLACE_KINDS, TEXT_KINDS, Layer
from attnscope.records.layers import SizeHW
from attnscope.segmentation.features import features_of
from attnscope.segmentation.result import Evidence
from attnscope.segmentation.words import NamedSpan
from attnscope.trace.picture_shape import check_shows_picture
from attnscope.trace.selection import pick_number
from attnscope.trace.step_rows import PartialMeanWarning
from attnscope.trace.trace import Trace

_UNET_STAGES = ("down", "mid", "up")
PIXELS_A_PLACE = 8
"""Of labels where neither a picture nor a size of the run is known."""


def evidence_of_trace(
    trace: Trace,
    *,
    steps: int | Sequence[int] | slice | None = None,
    branch: str = "cond",
    image: int = 0,
    words: Sequence[NamedSpan] = (),
    picture: Picture | None = None,
    weights: Mapping[SizeHW, float] | None = None,
    reduced: str | None = None,
    preset: str = "paper",
    features: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evidence:
    """What the segments of a generated picture are made of.

    Args:
        trace: Of one pass.
        steps: Steps whose attention is averaged; all by default.
        branch: Guidance branch.
        image: Number of the image in the batch.
        words: Words that may name segments, with their tokens.
        picture: What to draw on; the trace's own picture by default.
        weights: As for `attnscope.diffseg.aggregate`.
        reduced: Name of self-attention maps that the capture reduced over the run, in place of Q and K.
        preset: "reference" takes the authors' factors for the words' maps.
        features: Path of the module whose captured output are the features; None for none.
        progress: Called as progress(done, total) after each layer of each step; what it raises ends the work.

    Raises:
        SelectionError: The trace lacks something that was chosen.

    Cost: head means of all captured self-attention layers and steps.
    """
    check_shows_picture(trace.run)
    choice: dict[str, Any] = {"step": step_numbers(trace, steps), "branch": branch, "image": image}
    origin = {"steps": choice["step"], "branch": branch, "image": image, "prompt": trace.prompt(image)}
    if reduced is None:
        aggregated = aggregated_attention(trace, weights=weights, progress=progress, **choice)
    else:
        kept = trace.reduced_maps(reduced, "self")
        aggregated = aggregate(((maps, grid) for grid, _, maps in kept.counted(image)), weights=weights)
        origin |= {"steps": list(kept.steps), "branch": kept.reduction.branch, "reduced": reduced}
    shown = trace.picture_of(image) if picture is None else picture
    drawn = None if shown is None else load_picture(shown)
    out_hw = size_hw(drawn) if drawn else trace.run.image_size_hw or _places_hw(aggregated)
    spans = [word.tokens for word in words]
    maps_hw = out_hw if math.prod(out_hw) <= LARGE_PIXELS else _places_hw(aggregated)
    maps = word_maps(cross_attention(trace, preset, **choice), spans, maps_hw) if words else None
    kept_features = None
    if features is not None:
        kept_features, origin["features"] = features_of(trace, features, **choice), features
    return Evidence(
        aggregated,
        out_hw,
        drawn,
        tuple(word.name for word in words),
        maps,
        origin,
        trace.run.model,
        features=kept_features,
    )


def aggregated_attention(
    trace: Trace,
    *,
    weights: Mapping[SizeHW, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **choice: Any,
) -> Float[Tensor, "height width height width"]:
    """DiffSeg's aggregate of all captured self-attention, averaged over steps, straight from Q and K.

    Args:
        trace: Of one pass.
        weights: As for `attnscope.diffseg.aggregate`.
        progress: Called as progress(done, total) after each layer of each step; what it raises ends the work.
        choice: step, branch and image, as for `Trace.probabilities`; all steps of "cond" of image 0 by default.

    Raises:
        SelectionError: The trace lacks something that was chosen, or holds no self-attention.
    """
    choice = {"step": step_numbers(trace, None), "branch": "cond", "image": 0, **choice}
    layers = layers_of_places(trace)
    steps = choice.pop("step")
    sums, places = ScaleSums(), _places(trace, layers, steps, choice)
    for done, (layer, step) in enumerate(places, start=1):
        add_to = partial(_add_layer, trace, layer, choice | {"step": step})
        sums.add(layer.grid, add_to)
        if progress is not None:
            progress(done, len(places))
    return sums.aggregated(weights=weights)


def layers_of_places(trace: Trace) -> tuple[Layer, ...]:
    """Self-attention over the layer's own places, which is what segments are made of.

    Args:
        trace: Of one pass.

    Raises:
        SelectionError: There is none, or a layer's places attend to others, too.
    """
    layers = trace.layers_of_kind(*PLACE_KINDS)
    if shared := next((layer for layer in layers if layer.parts), None):
        parts = " and ".join(f"{part.keys} of the kind {part.name!r}" for part in shared.parts)
        raise SelectionError(
            f"{shared.id} does not attend to its own places alone, its keys are {parts}: to segment the picture, run "
            "it without what adds them, such as shared or reference attention"
        )
    return layers


def _places(
    trace: Trace, layers: Sequence[Layer], steps: Sequence[int], choice: Mapping[str, Any]
) -> list[tuple[Layer, int]]:
    """Each layer with each of its steps. Steps that lack it or the branch are left out, and that is said."""
    there = {layer.id: trace.steps_with(layer, choice["branch"], choice["image"]) for layer in layers}
    places = [(layer, step) for layer, step in product(layers, steps) if step in there[layer.id]]
    used, lacking = {step for _, step in places}, len(layers) * len(steps) - len(places)
    if not places:
        raise SelectionError(f"steps {describe_numbers(steps)} all lack a row of branch {choice['branch']!r}")
    if lacking:
        warnings.warn(
            f"mean over steps {describe_numbers(sorted(used))}: others, or some of their layers, lack a row of branch "
            f"{choice['branch']!r} or did not run",
            PartialMeanWarning,
            stacklevel=4,
        )
    return places


def _add_layer(trace: Trace, layer: Layer, choice: dict[str, Any], total: Tensor | None) -> Tensor:
    return trace.probabilities(layer=layer, mean=("step", "head"), into=total, **choice)


def cross_attention(
    trace: Trace, preset: str = "paper", **choice: Any
) -> Iterator[tuple[Float[Tensor, "query token"], SizeHW]]:
    """Head-mean cross-attention of every captured layer with its grid.

    Args:
        trace: Of one pass.
        preset: "reference" multiplies each layer by the authors' factor.
        choice: step, branch and image, as for `Trace.probabilities`; all steps of "cond" of image 0 by default.

    Raises:
        ParameterError: The authors' factors and token numbers are asked for a transformer.
    """
    if preset == "reference" and any(layer.stage not in _UNET_STAGES for layer in trace.layers):
        raise ParameterError(
            "preset 'reference' repeats the token numbers and the factors that the authors' program has for Stable "
            f"Diffusion v1; this is a {trace.run.family}: name segments with preset='paper'"
        )
    choice = {"step": step_numbers(trace, None), "branch": "cond", "image": 0, **choice}
    layers = [layer for kind in TEXT_KINDS for layer in trace.layers.of_kind(kind)]
    finest = max((layer.grid.places for layer in layers), default=0)
    for layer in layers:
        probs = trace.probabilities(layer=layer, part="context", mean=("step", "head"), **choice)
        if preset == "reference":
            probs = probs / (3 if layer.grid.places == finest and layer.stage == "up" else 5)
        yield probs, layer.grid


def step_numbers(trace: Trace, steps: int | Sequence[int] | slice | None) -> list[int]:
    """Numbers of the captured steps that are chosen.

    Args:
        trace: Of one pass.
        steps: A number, several or a slice; None for all.
    """
    captured = [step.index for step in trace.steps]
    return [captured[position] for position in pick_number("step", steps, captured).positions]


def _places_hw(aggregated: Tensor) -> SizeHW:
    return aggregated.shape[0] * PIXELS_A_PLACE, aggregated.shape[1] * PIXELS_A_PLACE
