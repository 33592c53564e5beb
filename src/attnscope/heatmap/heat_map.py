"""Where the words of the prompt landed in the picture, from cross-attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.heatmap.asked import Preset, Word, as_span, key_axis, layers_that_read, read_branch, spans_of
from attnscope.heatmap.drawn import SHARE
from attnscope.heatmap.open_words import OpenText, check_one, check_open, read_openly
from attnscope.heatmap.picture_keys import picture_span
from attnscope.heatmap.result import HeatMap
from attnscope.pictures.maps import resize_maps
from attnscope.records import Grid, Kind, Layer, TokenSpan
from attnscope.spelling import both_spellings
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.picture_shape import check_shows_picture
from attnscope.trace.selection import pick_number
from attnscope.trace.trace import Trace


@both_spellings("steps", "blocks", "heads")
def heat_map(
    trace: TraceSource,
    word: Word,
    *,
    preset: Preset | None = None,
    steps: int | Sequence[int] | slice | None = None,
    blocks: int | Sequence[int] | None = None,
    heads: int | Sequence[int] | None = None,
    branch: str | None = None,
    image: int = 0,
    occurrence: int = 0,
    kind: Kind = "cross",
    reduced: str | None = None,
    open_words: bool = False,
    context: str | None = None,
    pipe: Any = None,
    tokenizer: Any = None,
    text_encoder: Any = None,
) -> HeatMap:
    """Where a word or phrase landed in the picture: one of the prompt, or with `open_words` any.

    Args:
        trace: From `attnscope.capture` or `attnscope.load_trace`, or the folder of one.
        word: A word, a phrase, `<start>`, `<end>`, `<padding>`, a token number, or a span from `trace.span`.
        preset: 'daam' follows DAAM: without the coarsest grid, summed over steps, resized bicubically, clamped at 0.
            'ovam' follows OVAM: summed over steps, heads and blocks, without the middle one. Its authors read row 0 of
            the batch, with guidance branch='uncond'.
        steps: Step numbers from 0, or a slice. Default: all.
        blocks: Block numbers from 1. Default: all.
        heads: Head numbers from 0. Default: all.
        branch: Guidance branch, whose own text has the word: 'uncond' reads the negative prompt. Default: 'cond', or
            that of the reduced maps.
        image: Which picture of the batch, from 0.
        occurrence: Which one of several such words in the prompt, from 0; -1 is the last.
        kind: 'cross' for the text; 'image', 'image2' ... for the pictures of an IP-Adapter, whose tokens are chosen by
            number or by a picture's name in `Layer.parts`.
        reduced: Name of maps from `capture(keep=...)`, for use without preset, steps, blocks and heads.
        open_words: Read the word as a text of its own, or in `context`, with the keys that the model would have made of
            that, as `reread` does. The trace must be from `capture(open_words=True)`.
        context: With `open_words`: a text that has the word, such as 'a photo of a dog'.
        pipe: With `open_words`: the run's pipeline, for its tokenizers and text encoders.
        tokenizer: With `open_words`, in place of `pipe`: the tokenizer, or a list of two for SDXL.
        text_encoder: With `open_words`, in place of `pipe`: the text encoder, or a list of two.

    Returns:
        Cross-attention to its tokens: the mean over steps, heads, tokens and blocks (resized bilinearly), 0..1.

    Raises:
        WordError: The branch's text, or the context, does not hold the word.
        ParameterError: The text encoders are not those of the run.
        SelectionError: The trace has no cross-attention, or no such block, step, head, branch or image.

    Cost: one softmax over all tokens for each step, block and head; memory of one layer's columns.
    Source: Tang et al. 2023 (DAAM), section 3. Differs: mean over steps, not sum, and the coarsest blocks count.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> with attnscope.capture(pipe, kind="cross") as trace:
    ...     result = pipe("a red house", num_inference_steps=2)
    >>> attnscope.heat_map(trace, "house").array.shape
    (32, 32)
    """
    trace = as_trace(trace)
    branch = read_branch(trace, branch, reduced)
    text = OpenText(context, pipe, tokenizer, text_encoder)
    if open_words:
        check_open(kind, reduced)
        check_one(word)
        ((trace, (span,)),) = read_openly(
            trace, word, text, branch=branch, image=image, occurrence=occurrence
        )
    else:
        text.check_unused()
        is_text = kind == "cross"
        span = as_span(trace, word, branch, image, occurrence) if is_text else picture_span(trace, word, kind)
    (heat,) = heat_maps(
        trace,
        [span],
        preset=preset,
        steps=steps,
        blocks=blocks,
        heads=heads,
        branch=branch,
        image=image,
        kind=kind,
        reduced=reduced,
    )
    return heat


@both_spellings("steps", "blocks", "heads", "words")
def heat_maps(
    trace: TraceSource,
    words: Word | Sequence[Word] | None = None,
    *,
    preset: Preset | None = None,
    steps: int | Sequence[int] | slice | None = None,
    blocks: int | Sequence[int] | None = None,
    heads: int | Sequence[int] | None = None,
    branch: str | None = None,
    image: int = 0,
    kind: Kind = "cross",
    reduced: str | None = None,
    open_words: bool = False,
    context: str | None = None,
    pipe: Any = None,
    tokenizer: Any = None,
    text_encoder: Any = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[HeatMap]:
    """Where several words landed, in one pass over the attention.

    Args:
        trace: From `attnscope.capture` or `attnscope.load_trace`, or the folder of one.
        words: Each as for `heat_map`, or only one. Default: every word of the branch's text, in order.
        preset: As for `heat_map`.
        steps: As for `heat_map`.
        blocks: As for `heat_map`.
        heads: As for `heat_map`.
        branch: As for `heat_map`.
        image: As for `heat_map`.
        kind: As for `heat_map`.
        reduced: As for `heat_map`.
        open_words: As for `heat_map`. Without a context each word is a text of its own; with one, they share it.
        context: As for `heat_map`.
        pipe: As for `heat_map`.
        tokenizer: As for `heat_map`.
        text_encoder: As for `heat_map`.
        progress: Called as progress(done, total) after each layer of Q and K.

    Returns:
        A map for each word, the same as `heat_map` gives of it alone.

    Raises:
        WordError: The branch's text, or the context, does not hold a word.
        ParameterError: The text encoders are not those of the run.
        SelectionError: The trace has no cross-attention, or no such block, step, head, branch or image.

    Cost: that of one heat map, and resizing each word's map of each block.
    """
    trace = as_trace(trace)
    branch = read_branch(trace, branch, reduced)
    text = OpenText(context, pipe, tokenizer, text_encoder)
    how: dict[str, Any] = {"preset": preset, "steps": steps, "blocks": blocks, "heads": heads}
    if open_words:
        check_open(kind, reduced)
        choice = {**how, "branch": branch, "image": image, "progress": progress}
        read = read_openly(trace, words, text, branch=branch, image=image)
        return [heat for reading, spans in read for heat in heat_maps(reading, spans, **choice)]
    text.check_unused()
    spans = spans_of(trace, words, branch, image, kind)
    if preset not in (None, "daam", "ovam"):
        raise ParameterError(f"preset {preset!r}: expected 'daam', 'ovam' or None")
    unit = SHARE
    if reduced is not None:
        other_kind = None if kind == "cross" else kind
        arrays = _reduced_maps(trace, reduced, spans, image, {**how, "kind": other_kind})
    else:
        choice = {"step": steps, "branch": branch, "image": image, "head": heads}
        layers = layers_that_read(trace, kind, blocks, preset)
        arrays = _word_maps(trace, spans, layers, choice, preset, progress)
        unit = _unit(trace, layers, choice, preset)
    check_shows_picture(trace.run)
    size, picture = trace.run.image_size_hw, trace.picture_of(image)
    return [
        HeatMap.of(array, span.word, size, picture, unit) for array, span in zip(arrays, spans, strict=True)
    ]


def _unit(trace: Trace, layers: Sequence[Layer], choice: dict[str, Any], preset: Preset | None) -> str:
    """What the numbers of maps are; sums over different numbers of steps or heads are different units."""
    if preset is None:
        return SHARE
    steps = len(pick_number("step", choice["step"], [step.index for step in trace.steps]).positions)
    heads = sum(len(pick_number("head", choice["head"], range(layer.heads)).positions) for layer in layers)
    return f"attention, summed over {steps} steps" + (f" and {heads} heads" if preset == "ovam" else "")


def _word_maps(
    trace: Trace,
    spans: Sequence[TokenSpan],
    layers: Sequence[Layer],
    choice: dict[str, Any],
    preset: Preset | None,
    progress: Callable[[int, int], None] | None,
) -> Float[Tensor, "word height width"]:
    """Mean over layers of each word's map at latent size."""
    size = trace.run.latent_size_hw or max((layer.grid for layer in layers), key=math.prod)
    tokens = sorted({token for span in spans for token in span.tokens})
    places = [[tokens.index(token) for token in span.tokens] for span in spans]
    total = torch.zeros(len(spans), *size, dtype=torch.float64)
    of_layer = {"daam": _daam_maps, "ovam": _ovam_maps}.get(str(preset), _share_maps)
    for done, layer in enumerate(layers if spans else (), start=1):
        total += of_layer(trace, layer, choice | {key_axis(layer): tokens}, places, size).cpu()
        if progress is not None:
            progress(done, len(layers))
    return total if preset == "ovam" else total / len(layers)


def _share_maps(
    trace: Trace, layer: Layer, choice: dict[str, Any], places: list[list[int]], size: tuple[int, int]
) -> Float[Tensor, "word height width"]:
    """Mean over steps, heads and each word's tokens of one layer, at latent size."""
    shares = trace.probabilities(layer=layer, mean=("step", "head"), **choice)
    of_words = torch.stack([shares[:, of_word].mean(-1) for of_word in places])
    return resize_maps(of_words.view(-1, *layer.grid), size)


def _daam_maps(
    trace: Trace, layer: Layer, choice: dict[str, Any], places: list[list[int]], size: tuple[int, int]
) -> Float[Tensor, "word height width"]:
    """DAAM's rule for one layer: sum over steps, bicubic, clamp, then mean over heads and tokens."""
    mean = trace.probabilities(layer=layer, mean="step", **choice)
    steps = _steps_in(trace, layer, choice)
    summed = (mean * steps).movedim(-1, -2)  # heads, where not one was chosen, then tokens
    maps = []
    for of_word in places:
        of_tokens = summed[..., of_word, :].reshape(-1, *layer.grid)  # heads and tokens side by side
        maps.append(resize_maps(of_tokens, size, mode="bicubic").clamp(min=0).mean(0))
    return torch.stack(maps)


def _ovam_maps(
    trace: Trace, layer: Layer, choice: dict[str, Any], places: list[list[int]], size: tuple[int, int]
) -> Float[Tensor, "word height width"]:
    """OVAM's rule for one layer: sum over steps and heads, bilinear, then mean over tokens."""
    heads = len(pick_number("head", choice["head"], range(layer.heads)).positions)
    return _share_maps(trace, layer, choice, places, size) * (heads * _steps_in(trace, layer, choice))


def _steps_in(trace: Trace, layer: Layer, choice: dict[str, Any]) -> int:
    """How many of the chosen steps have the layer and the branch."""
    captured = [step.index for step in trace.steps]
    asked = [captured[at] for at in pick_number("step", choice["step"], captured).positions]
    there = trace.steps_with(layer, choice["branch"], choice["image"])
    return len([step for step in asked if step in there])


def _reduced_maps(
    trace: Trace, name: str, spans: Sequence[TokenSpan], image: int, settled: dict[str, Any]
) -> Float[Tensor, "word height width"]:
    """Mean over layers and each word's tokens of maps that were reduced over steps, at latent size."""
    if chosen := [choice for choice, value in settled.items() if value is not None]:
        raise ParameterError(f"{', '.join(chosen)} can't be chosen for reduced maps: leave it out")
    maps = list(trace.reduced_maps(name, "cross").counted(image))
    size = trace.run.latent_size_hw or max((grid for grid, _, _ in maps), key=math.prod)
    total = torch.zeros(len(spans), *size, dtype=torch.float64)
    for grid, layers, shares in maps:
        for number, span in enumerate(spans):
            total[number] += layers * _at_size(shares[:, list(span.tokens)].mean(-1), grid, size).cpu()
    return total / sum(layers for _, layers, _ in maps)


def _at_size(
    shares: Float[Tensor, query], grid: Grid, size: tuple[int, int]
) -> Float[Tensor, "height width"]:
    return resize_maps(shares.reshape(*grid), size)
