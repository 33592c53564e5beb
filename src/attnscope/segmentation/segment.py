"""A photo, or a trace, to its segments: zero-shot, from the model's own attention (DiffSeg)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from attnscope.diffseg.aggregation import SizeHW, aggregate
from attnscope.diffseg.labels import word_maps
from attnscope.diffseg.merging import ANCHORS, PASSES
from attnscope.errors import ParameterError
from attnscope.pictures.reading import Picture, load_picture
from attnscope.pictures.sizes import middle_square, size_hw
from attnscope.segmentation.evidence import aggregated_attention, cross_attention, step_numbers
from attnscope.segmentation.photo import (
    check_pipeline,
    input_size,
    noised,
    photo_latent,
    photo_tensor,
    photo_trace,
)
from attnscope.segmentation.recipe import recipe_for
from attnscope.segmentation.result import Segmentation, segmentation
from attnscope.segmentation.words import asked_words, word_spans
from attnscope.trace.tokens import tokenize
from attnscope.trace.trace import Trace

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
    recipe = recipe_for(getattr(pipe, "name_or_path", None), thresholds, passes, **changes)
    check_pipeline(pipe)
    words = asked_words(labels)
    text = prompt or (" " if preset == "reference" else ", ").join(words)
    spans = word_spans(text, tokenize(pipe.tokenizer, text), words, preset) if words else []
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
    recipe = recipe_for(model, thresholds, passes, **recipe_changes)
    words = asked_words(labels)
    spans = word_spans(trace.prompt(image), trace.tokens(image), words, recipe.preset)
    choice: dict[str, Any] = {"step": step_numbers(trace, steps), "branch": branch, "image": image}
    origin = {"steps": choice["step"], "branch": branch, "image": image, "prompt": trace.prompt(image)}
    if reduced is None:
        aggregated = aggregated_attention(trace, weights=weights, **choice)
    else:
        kept = trace.reduced_maps(reduced, "self")
        aggregated = aggregate(
            ((maps, tuple(grid)) for grid, _, maps in kept.counted(image)), weights=weights
        )
        origin |= {"steps": list(kept.steps), "branch": kept.order.branch, "reduced": reduced}
    shown = trace.picture_of(image) if picture is None else picture
    drawn = None if shown is None else load_picture(shown)
    out_hw = size_hw(drawn) if drawn else trace.run.image_size_hw or _eightfold(aggregated)
    maps = word_maps(cross_attention(trace, recipe.preset, **choice), spans, out_hw) if words else None
    return segmentation(aggregated, out_hw, recipe, drawn, words, maps, origin)


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


def _eightfold(aggregated: Tensor) -> SizeHW:
    return aggregated.shape[0] * 8, aggregated.shape[1] * 8
