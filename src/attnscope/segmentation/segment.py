"""Zero-shot segmentation of photos and generated pictures from the model's own attention (DiffSeg)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from attnscope.atlas.known import DEMO_FOLDER, DEMO_MERGE_THRESHOLD
from attnscope.diffseg.aggregation import ScaleSums, SizeHW, aggregate
from attnscope.diffseg.labels import reference_tokens, word_maps
from attnscope.diffseg.merging import ANCHORS, PAPER_THRESHOLD, PASSES, PRESETS
from attnscope.errors import ParameterError, nearest
from attnscope.pictures.reading import Picture, load_picture
from attnscope.pictures.sizes import middle_square, size_hw
from attnscope.records import Token
from attnscope.segmentation.photo import (
    check_pipeline,
    input_size,
    noised,
    photo_latent,
    photo_tensor,
    photo_trace,
)
from attnscope.segmentation.result import Recipe, Segmentation, per_pass, segmentation
from attnscope.trace.selection import pick_number
from attnscope.trace.tokens import find_span, tokenize
from attnscope.trace.trace import Trace

__all__ = ["Recipe", "Segmentation", "segment", "segment_many", "segment_trace"]

TIMESTEP = 300  # paper, implementation details


def segment(
    picture: Picture | Trace,
    pipe: Any = None,
    *,
    labels: Sequence[str] | None = None,
    prompt: str | None = None,
    thresholds: float | Sequence[float] | None = None,
    passes: int = PASSES,
    anchors: int | tuple[int, int] = ANCHORS,
    weights: Mapping[SizeHW, float] | None = None,
    refine: bool = False,
    unite: bool = True,
    preset: str = "paper",
    crop: bool | None = None,
    timestep: int | None = None,
    noise_seed: int | None = None,
) -> Segmentation:
    """The segments of a photo, found without training by the self-attention of one U-Net pass over it.

    picture: a path, a PIL image, an array (height, width, 3); or a trace, which needs no pipe
    (`segment_trace` has the choices for it).
    pipe: a diffusers pipeline with vae, unet, tokenizer and text_encoder, built like SD v1 or v2.
    labels: words of which each segment gets the one it attends to most. prompt: the text in which they
    stand, for their pass through the model; the words themselves, joined by commas, by default.
    unite: segments with the same word become one.
    thresholds: tau in nats, one number or one per pass; by default what the model recommends, else 1.1 as in
    the paper. Larger gives fewer segments. The result's recipe says which was used.
    passes: how often a single number is applied.
    anchors, preset: see `attnscope.diffseg.merge`. weights: see `attnscope.diffseg.aggregate`.
    refine: k-means after merging (pip install 'attnscope[refine]').
    crop: take the middle square at the model's size, as the paper does; labels then cover that square
    only. By default the aspect ratio is kept, and with preset="reference" the square is taken.
    timestep: of the pass, 0..999; 300 by default.
    noise_seed: adds the noise of that timestep; the paper and the default add none.

    preset="reference" repeats the authors' program: float16 first pass, square crop, bilinear resize without
    smoothing, self- and cross-attention from the pass with the prompt, their token numbers and layer factors.

    Returns labels at the photo's own size, upright as its EXIF says. The same photo gives the same labels.
    Raises ImageError, ModelError, ParameterError, WordError; MissingExtraError for refine.
    Cost: VAE encode and one U-Net pass (two with labels), 0.4 s of merging at 64x64 on two cores; memory for
    Q and K of 16 layers and four 64 MiB maps at 64x64. The pipeline is left as it was.
    Source: Tian et al., "Diffuse, Attend, and Segment", CVPR 2024; differs: aspect ratio kept, any size,
    labels from words that are given.

    >>> import attnscope
    >>> from attnscope.demo.scenes import scene
    >>> pipe = attnscope.load_pipeline("demo")
    >>> attnscope.segment(scene(3).pil_image, pipe).labels.shape
    (256, 256)
    """
    changes: dict[str, Any] = {"preset": preset, "anchors": anchors, "refine": refine, "unite": unite}
    if isinstance(picture, Trace):
        _refuse_for_a_trace(prompt=prompt, crop=crop, timestep=timestep, noise_seed=noise_seed)
        return segment_trace(
            picture,
            labels=labels,
            thresholds=thresholds,
            passes=passes,
            weights=weights,
            pipe=pipe,
            **changes,
        )
    recipe = _recipe(getattr(pipe, "name_or_path", None), thresholds, passes, **changes)
    check_pipeline(pipe)
    words = _words(labels)
    text = prompt or (" " if preset == "reference" else ", ").join(words)
    spans = _spans(text, tokenize(pipe.tokenizer, text), words, preset) if words else []
    image, crop = load_picture(picture), preset == "reference" if crop is None else crop
    image = middle_square(image) if crop else image
    seen_hw = input_size(pipe, size_hw(image), crop=crop)
    latent = photo_latent(pipe, photo_tensor(image, seen_hw, smooth=preset != "reference"))
    step = TIMESTEP if timestep is None else timestep
    if noise_seed is not None:
        latent = noised(pipe, latent, step, noise_seed)
    own, of_words = _passes(pipe, latent, text if words else None, step, one=preset == "reference")
    aggregated = aggregated_attention(own, weights=weights)
    maps = word_maps(cross_attention(of_words, preset), spans, seen_hw) if of_words is not None else None
    origin = {
        "timestep": step,
        "noise_seed": noise_seed,
        "crop": crop,
        "input_size": {"height": seen_hw[0], "width": seen_hw[1]},
        "prompt": text,
    }
    return segmentation(aggregated, size_hw(image), recipe, image, words, maps, origin)


def segment_many(
    pictures: Iterable[Picture],
    pipe: Any,
    *,
    progress: Callable[[int, int | None], None] | None = None,
    **settings: Any,
) -> Iterator[Segmentation]:
    """Segments of many photos, one after the other, as they are done.

    pictures: paths, PIL images or arrays. progress: called as progress(done, total) after each; total is None
    when pictures has no length. settings: as for `segment`.
    Raises what `segment` raises, at the photo that causes it.
    """
    total = len(pictures) if isinstance(pictures, Sequence) else None
    for done, picture in enumerate(pictures, start=1):
        found = segment(picture, pipe, **settings)
        if progress is not None:
            progress(done, total)
        yield found


def segment_trace(
    trace: Trace,
    *,
    steps: int | Sequence[int] | slice | None = None,
    branch: str = "cond",
    image: int = 0,
    labels: Sequence[str] | None = None,
    picture: Picture | None = None,
    thresholds: float | Sequence[float] | None = None,
    passes: int = PASSES,
    weights: Mapping[SizeHW, float] | None = None,
    pipe: Any = None,
    reduced: str | None = None,
    **recipe_changes: Any,
) -> Segmentation:
    """The segments of a generated picture, from the attention that made it.

    steps: step numbers (or a slice) whose attention is averaged; all captured steps by default.
    branch: guidance branch. image: which image of the batch.
    labels: words of the run's prompt. picture: what to draw on; the trace's own picture by default.
    reduced: name of self-attention maps that `capture(keep=...)` reduced over the run, taken in place of Q and K; which
    steps and branch went in was settled then.
    pipe: asked for its recommended threshold only, in case the trace does not know its model.
    thresholds, passes, weights, and preset, anchors, refine, unite: as for `segment`.

    Returns labels at the picture's size; without a picture at the size the run was asked for, else 8 pixels a
    position. Raises SelectionError for what the trace lacks, WordError for a word not in its prompt.
    Cost: head means of all captured self-attention layers and steps.
    """
    model = trace.run.model or getattr(pipe, "name_or_path", None)
    recipe = _recipe(model, thresholds, passes, **recipe_changes)
    words = _words(labels)
    spans = _spans(trace.prompt(image), trace.tokens(image), words, recipe.preset)
    choice: dict[str, Any] = {"step": _step_numbers(trace, steps), "branch": branch, "image": image}
    origin = {"steps": choice["step"], "branch": branch, "image": image, "prompt": trace.prompt(image)}
    if reduced is None:
        aggregated = aggregated_attention(trace, weights=weights, **choice)
    else:
        kept = trace.reduced_maps(reduced, "self")
        aggregated = aggregate(
            ((maps, tuple(grid)) for grid, _, maps in kept.counted(image)), weights=weights
        )
        origin |= {"steps": list(kept.steps), "branch": kept.order.branch, "reduced": reduced}
    drawn = load_picture(picture) if picture is not None else _own_picture(trace, image)
    out_hw = size_hw(drawn) if drawn else trace.run.image_size_hw or _eightfold(aggregated)
    maps = word_maps(cross_attention(trace, recipe.preset, **choice), spans, out_hw) if words else None
    return segmentation(aggregated, out_hw, recipe, drawn, words, maps, origin)


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
    choice = {"step": _step_numbers(trace, None), "branch": "cond", "image": 0, **choice}
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
    choice = {"step": _step_numbers(trace, None), "branch": "cond", "image": 0, **choice}
    layers = [layer for layer in trace.layers if layer.kind == "cross"]
    finest = max((layer.grid.size for layer in layers), default=0)
    for layer in layers:
        probs = trace.probabilities(block=layer.block, kind="cross", mean=("step", "head"), **choice)
        if preset == "reference":
            probs = probs / (3 if layer.grid.size == finest and layer.stage == "up" else 5)
        yield probs, (layer.grid.height, layer.grid.width)


def recommended_threshold(model: str | None) -> tuple[float, str]:
    """The threshold for the attention of a model, by its id or folder, and where it is from: 'model' or 'paper'."""
    if model == "demo" or (model and Path(model).resolve() == DEMO_FOLDER.resolve()):
        return DEMO_MERGE_THRESHOLD, "model"
    return PAPER_THRESHOLD, "paper"


def _passes(
    pipe: Any, latent: Tensor, text: str | None, timestep: int, *, one: bool
) -> tuple[Trace, Trace | None]:
    """The traces of self-attention and, for a text, of cross-attention: of one pass, or of a pass without text
    and one with it."""
    if text is None:
        return photo_trace(pipe, latent, "", timestep=timestep, kind="self"), None
    if one:
        both = photo_trace(pipe, latent, text, timestep=timestep, kind=None)
        return both, both
    own = photo_trace(pipe, latent, "", timestep=timestep, kind="self")
    return own, photo_trace(pipe, latent, text, timestep=timestep, kind="cross")


def _refuse_for_a_trace(**given: Any) -> None:
    if names := [name for name, value in given.items() if value is not None]:
        raise ParameterError(
            f"{', '.join(names)} can't be chosen for a trace: its attention was computed already. Leave it out, or "
            "give the picture and a pipeline"
        )


def _recipe(
    model: str | None, thresholds: float | Sequence[float] | None, passes: int, **changes: Any
) -> Recipe:
    if passes < 1:
        raise ParameterError(f"passes is {passes}; expected at least 1 (the paper takes {PASSES})")
    preset = changes.get("preset", "paper")
    if preset not in PRESETS:
        raise ParameterError(f"preset is {preset!r}; expected one of {nearest(str(preset), PRESETS)}")
    source = "given"
    if thresholds is None:
        thresholds, source = recommended_threshold(model)
    return Recipe(per_pass(thresholds, passes), source, **changes)


def _words(labels: Sequence[str] | None) -> tuple[str, ...]:
    if labels is None:
        return ()
    words = (labels,) if isinstance(labels, str) else tuple(labels)
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise ParameterError(f"labels are {labels!r}; expected words, such as ['circle', 'grass']")
    return tuple(dict.fromkeys(words))


def _spans(
    prompt: str, tokens: tuple[Token, ...], words: tuple[str, ...], preset: str
) -> list[Sequence[int]]:
    """The tokens of each word; of 'red house, house' the second word is the second house."""
    if preset == "reference":
        return list(reference_tokens(prompt, words))
    listed = prompt == ", ".join(words)
    earlier = [", ".join(words[:number]).lower() for number in range(len(words))]
    return [
        find_span(prompt, tokens, word, occurrence=_count(before, word) if listed else 0).tokens
        for word, before in zip(words, earlier, strict=True)
    ]


def _count(text: str, word: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(word.lower())}(?!\w)", text))


def _step_numbers(trace: Trace, steps: int | Sequence[int] | slice | None) -> list[int]:
    captured = [step.index for step in trace.steps]
    return [captured[position] for position in pick_number("step", steps, captured).positions]


def _own_picture(trace: Trace, image: int) -> Image.Image | None:
    return load_picture(trace.run.pictures[image]) if image < len(trace.run.pictures) else None


def _eightfold(aggregated: Tensor) -> SizeHW:
    return aggregated.shape[0] * 8, aggregated.shape[1] * 8
