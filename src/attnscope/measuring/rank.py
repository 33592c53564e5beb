"""Which blocks, heads and steps point best at what words mean, where that is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError, SelectionError
from attnscope.heatmap.asked import Word, as_span
from attnscope.heatmap.result import MASK_THRESHOLD
from attnscope.measuring.cells import cells_inside
from attnscope.measuring.pointing import pointing
from attnscope.measuring.ranking import Ranking
from attnscope.measuring.score import Score, Where
from attnscope.pictures.maps import resize_maps
from attnscope.records import TEXT_KINDS, Layer, TokenSpan
from attnscope.records.layers import SizeHW
from attnscope.spelling import both_spellings
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.picture_shape import check_shows_picture
from attnscope.trace.selection import pick_number
from attnscope.trace.trace import Trace

Maps = Float[Tensor, "word height width"]
Masks = Mapping[str, Any] | Mapping[TokenSpan, Any] | Mapping[Word, Any]
"""For each word where the picture shows it: a boolean array of any size."""


@both_spellings("blocks", "steps")
def rank_layers(
    trace: TraceSource,
    masks: Masks,
    *,
    blocks: int | Sequence[int] | None = None,
    steps: int | Sequence[int] | slice | None = None,
    branch: str = "cond",
    image: int = 0,
    threshold: float = MASK_THRESHOLD,
    progress: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Which blocks, heads and steps point best at the true masks of words.

    Every map is compared on the latent grid, to which those of coarser blocks are resized as for `heat_map`. Cells that
    a mask covers partly count with the share that it covers.

    Args:
        trace: From `attnscope.capture` or `attnscope.load_trace`, or the folder of one.
        masks: For each word, a boolean array of any size: True where the picture shows it. Words are as for `heat_map`;
            for one that comes twice give `trace.span(word, occurrence=1)`.
        blocks: Block numbers, from 1. Default: all.
        steps: Step numbers, from 0, or a slice. Default: all.
        branch: Guidance branch, whose own text has the words.
        image: Which picture of the batch, from 0.
        threshold: Share of a map's largest value from which a place counts in the IoU, 0..1.
        progress: Called as progress(done, total) after each layer.

    Returns:
        Average precision, AUC and IoU of each block, head and step, best first. Of several pictures:
        `Ranking.together([rank_layers(...), ...])`.

    Raises:
        ParameterError: A mask is none, has another shape than the picture, or covers nothing or all of it.
        WordError: The branch's text does not hold a word.
        SelectionError: The trace has no cross-attention, or no such block, step, branch or image.

    Cost: P of the words' tokens for each step and head; a map of each word for each head and step is resized. Memory of
    a map of each word for every head.

    >>> import attnscope
    >>> from attnscope.demo.scenes import scene
    >>> pipe, picture = attnscope.load_pipeline("demo"), scene(7)
    >>> trace = attnscope.read_photo(pipe, picture.pil_image, picture.caption)
    >>> attnscope.rank_layers(trace, picture.masks).all.auc > 0.9
    True
    """
    trace = as_trace(trace)
    if not masks:
        raise ParameterError("masks are empty: expected a mask for each word, such as {'house': mask}")
    if not 0 <= threshold <= 1:
        raise ParameterError(f"threshold {threshold}: expected a share of the map's maximum, 0 to 1")
    check_shows_picture(trace.run)
    layers = _layers(trace, blocks)
    pick_number("image", image, range(trace.images))
    spans = [as_span(trace, word, branch, image, 0) for word in masks]
    size = trace.run.latent_size_hw or max((layer.grid for layer in layers), key=lambda grid: grid.places)
    inside = [
        cells_inside(mask, size, repr(span.word)) for span, mask in zip(spans, masks.values(), strict=True)
    ]
    sums = _Sums()
    for done, layer in enumerate(layers, start=1):
        _add_layer(sums, trace, layer, spans, size, _steps(trace, layer, steps, branch, image), branch, image)
        if progress is not None:
            progress(done, len(layers))
    if not sums.blocks:
        raise SelectionError(f"branch {branch!r} of image {image} ran in none of these steps: choose others")

    def scored(maps_of: Mapping[Where, Maps]) -> tuple[Score, ...]:
        return tuple(_score(where, maps, spans, inside, threshold) for where, maps in maps_of.items())

    (every,) = scored({Where(): torch.stack(list(sums.blocks.values())).mean(0)})
    of_blocks, of_heads, of_steps = (
        scored(maps_of) for maps_of in (sums.blocks, sums.heads, sums.mean_steps)
    )
    return Ranking(every, of_blocks, of_heads, of_steps, float(np.mean(inside))).by("average_precision")


def _score(
    where: Where, maps: Maps, spans: Sequence[TokenSpan], inside: Sequence[np.ndarray], threshold: float
) -> Score:
    arrays = maps.double().numpy()
    words = (
        (span.word, pointing(heat, mask, threshold))
        for span, heat, mask in zip(spans, arrays, inside, strict=True)
    )
    return Score(where, tuple(words))


@dataclass
class _Sums:
    """Mean maps of each word, by block and by head; sums over blocks by step."""

    blocks: dict[Where, Maps] = field(default_factory=dict)
    heads: dict[Where, Maps] = field(default_factory=dict)
    steps: dict[Where, Maps] = field(default_factory=dict)
    layers: dict[Where, int] = field(default_factory=dict)

    @property
    def mean_steps(self) -> dict[Where, Maps]:
        return {where: maps / self.layers[where] for where, maps in self.steps.items()}


@torch.no_grad()
def _add_layer(
    sums: _Sums,
    trace: Trace,
    layer: Layer,
    spans: Sequence[TokenSpan],
    size: SizeHW,
    steps: Sequence[int],
    branch: str,
    image: int,
) -> None:
    tokens = sorted({token for span in spans for token in span.tokens})
    places = [[tokens.index(token) for token in span.tokens] for span in spans]
    total = torch.zeros(layer.heads, len(spans), *size)
    for step in steps:
        shares = trace.probabilities(layer=layer, step=step, branch=branch, image=image, token=tokens)
        of_words = torch.stack([shares[..., of_word].mean(-1) for of_word in places], 1).cpu()
        maps = resize_maps(of_words.reshape(-1, *layer.grid), size).reshape(total.shape)
        total += maps
        at = Where(step=step)
        sums.steps[at] = sums.steps.get(at, 0) + maps.mean(0)
        sums.layers[at] = sums.layers.get(at, 0) + 1
    if steps:
        mean = total / len(steps)
        sums.blocks[Where(layer.block, layer.kind)] = mean.mean(0)
        sums.heads |= {Where(layer.block, layer.kind, head): maps for head, maps in enumerate(mean)}


def _layers(trace: Trace, blocks: int | Sequence[int] | None) -> list[Layer]:
    layers = trace.layers_of_kind(*TEXT_KINDS)
    numbers = sorted({layer.block for layer in layers})
    chosen = {numbers[at] for at in pick_number("block", blocks, numbers).positions}
    return [layer for layer in layers if layer.block in chosen]


def _steps(trace: Trace, layer: Layer, steps: Any, branch: str, image: int) -> list[int]:
    indices = [step.index for step in trace.steps]
    there = trace.steps_with(layer, branch, image)
    return [indices[at] for at in pick_number("step", steps, indices).positions if indices[at] in there]
