"""A photo, or a trace, to its segments: zero-shot, from the model's own attention (DiffSeg)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attnscope.diffseg.merging import ANCHORS, PASSES
from attnscope.files import is_folder
from attnscope.pictures.reading import Picture
from attnscope.records.layers import SizeHW
from attnscope.segmentation.evidence import evidence_of_trace
from attnscope.segmentation.features import kept_module, usual_module
from attnscope.segmentation.methods import diffcut, looks_at_features, recipe_for
from attnscope.segmentation.methods.diffseg import Thresholds
from attnscope.segmentation.photo import evidence_of_photo
from attnscope.segmentation.recipe import WEAK, Recipe
from attnscope.segmentation.result import Segmentation
from attnscope.segmentation.words import asked_words, named_words
from attnscope.spelling import both_spellings, refuse_choices
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.trace import Trace


@both_spellings("thresholds", "weights", "labels", "steps")
def segment(
    picture: Picture | TraceSource,
    pipe: Any = None,
    *,
    labels: str | Sequence[str] | None = None,
    prompt: str | None = None,
    method: str | Recipe = "diffseg",
    thresholds: Thresholds | None = None,
    passes: int = PASSES,
    anchors: int | tuple[int, int] = ANCHORS,
    weights: Mapping[SizeHW, float] | None = None,
    refine: bool = False,
    fit: bool = False,
    unite: bool = True,
    weak: float = WEAK,
    preset: str = "paper",
    crop: bool | None = None,
    timestep: int | None = None,
    noise_seed: int | None = None,
    steps: int | Sequence[int] | slice | None = None,
    branch: str | None = None,
    image: int | None = None,
    reduced: str | None = None,
    features: str | None = None,
    **choices: Any,
) -> Segmentation:
    """The segments of a picture, found without training by the self-attention of a diffusion model.

    A photo takes one pass of the model over it; a trace of a generated picture needs no model. The same picture gives
    the same labels.

    The paper's threshold and weights of scales are for Stable Diffusion v1, which has four grids. A transformer has one
    grid: the aggregate is the mean of its layers there, and weights change nothing. Of a joint attention the part from
    image to image is taken, and each place's map is scaled to sum 1, as what goes to the text says nothing of places.
    Choose thresholds for other models by looking at some pictures.

    Args:
        picture: A path, a PIL image, an array or tensor (height, width, 3), or whatever else
            `attnscope.pictures.reading.load_picture` takes; or a trace, or the folder of one.
        pipe: A text-to-image pipeline of diffusers: with a U-Net built like Stable Diffusion v1, v2 or XL, or with a
            transformer, which sees the photo in one step of its own pipeline. For a trace it is only asked for the
            threshold that it recommends, in case the trace does not know its model.
        labels: Words, or a text of words with commas between; each segment gets the one that it attends to most. For a
            trace they stand in the text that its branch reads. More than the model reads at once take several passes.
        prompt: For a photo: the text in which the words stand, for their pass through the model; by default the words
            themselves, joined by commas.
        method: "diffseg" merges maps that look at the same place; "ncut" cuts the picture where the least likeness of
            attention is lost, and finds the number of segments itself; "diffcut" does so by the likeness of features,
            the output of one module; "words" makes a segment of each label, and leaves the rest as background, without
            a name. Or a recipe of `attnscope.segmentation.methods`.
        thresholds: tau of "diffseg" in nats, one number or one a pass; larger gives fewer segments. "auto" finds one
            from the picture's own attention. By default what the model recommends, else 1.1 as in the paper. The
            result's recipe says which was used. passes, anchors, refine and preset are of "diffseg", too.
        passes: How often a single number is applied.
        anchors: See `attnscope.diffseg.merge`.
        weights: See `attnscope.diffseg.aggregate`.
        refine: k-means after merging (pip install "attnscope[refine]").
        fit: Draw segments to the picture's own edges with a guided filter (pip install "attnscope[segment]").
        unite: Make one segment of those with the same word.
        weak: A segment stays without a name where its best word's score is less: the attention that the word gets
            inside it, divided by what it gets in the picture on average. 0 names every segment, as
            preset="reference" always does.
        preset: "reference" repeats the authors' program: float16 first pass, square crop, bilinear resize without
            smoothing, self- and cross-attention from the pass with the prompt, their token numbers and factors. With
            words it is for U-Nets only.
        crop: For a photo: take the middle square at the model's size, as the paper does; labels then cover that square
            only. By default the aspect ratio is kept, and with preset="reference" the square is taken.
        timestep: For a photo: of the pass, 0 to 999; 300 by default, 50 for "diffcut".
        noise_seed: For a photo: adds the noise of that timestep, of flow matching where the model was trained so; the
            paper and the default add none. Features are always of a latent with noise, by default of seed 42.
        steps: For a trace: steps whose attention is averaged; all captured ones by default.
        branch: For a trace: guidance branch; "cond" by default.
        image: For a trace: number of the image in the batch; 0 by default.
        reduced: For a trace: name of self-attention maps that `capture(keep=...)` reduced over the run, in place of Q
            and K.
        features: Path of the module whose output "diffcut" looks at, by default the last self-attention of the last
            down block, and of a trace the only captured one, see `attnscope.capture(outputs=...)`. Beside another
            method it keeps them for `.again(method="diffcut")`; a photo may take one more pass for that, at "diffcut"'s
            timestep.
        choices: The method's own: for "ncut" power, sharpness, limit and most, see `attnscope.ncut.normalized_cut`; for
            "diffcut" the same but power; for "words" form, steps, entropy_weight and background, see
            `attnscope.segmentation.spreading`.

    Returns:
        Labels at the picture's own size; a photo upright as its EXIF says. For a trace without a picture at the size
        that the run was asked for, else 8 pixels a place.

    Raises:
        ImageError: The picture can't be read.
        ModelError: The pipeline can't take a photo.
        ParameterError: A number is outside its range, or a choice of photos is made for a trace, or the other way.
        SelectionError: The trace lacks something that was chosen.
        WordError: The prompt lacks a word.
        MissingExtraError: refine needs "attnscope[refine]"; fit and "words" need "attnscope[segment]".

    Cost: VAE encode and one pass (two with labels), 0.4 s of merging at 64x64 on two cores; memory for Q and K
    of 16 layers and four 64 MiB maps at 64x64. The pipeline is left as it was.
    Source: Tian et al., "Diffuse, Attend, and Segment", CVPR 2024; differs: aspect ratio kept, any size, labels from
    words that are given.

    >>> import attnscope
    >>> from attnscope.demo.scenes import scene
    >>> pipe = attnscope.load_pipeline("demo")
    >>> attnscope.segment(scene(3).pil_image, pipe).labels.shape
    (256, 256)
    """
    for_photo: dict[str, Any] = {
        "prompt": prompt,
        "crop": crop,
        "timestep": timestep,
        "noise_seed": noise_seed,
    }
    for_trace = {"steps": steps, "branch": branch, "image": image, "reduced": reduced}
    changes: dict[str, Any] = {
        "preset": preset,
        "anchors": anchors,
        "refine": refine,
        "fit": fit,
        "unite": unite,
        "weak": weak,
        **choices,
    }
    if isinstance(picture, str | Path) and is_folder(picture):
        picture = as_trace(picture)
    if isinstance(picture, Trace):
        refuse_choices(for_photo, "a trace: its attention was computed already")
        chosen: dict[str, Any] = {name: value for name, value in for_trace.items() if value is not None}
        return segment_trace(
            picture,
            pipe=pipe,
            labels=labels,
            method=method,
            thresholds=thresholds,
            passes=passes,
            weights=weights,
            features=features,
            **chosen,
            **changes,
        )
    refuse_choices(for_trace, "a photo: only a trace has it")
    model = getattr(pipe, "name_or_path", None)
    recipe = recipe_for(method, model, beside=_KEYWORDS, thresholds=thresholds, passes=passes, **changes)
    words = asked_words(labels)
    if looks_at_features(recipe):  # attention is then of the same pass
        own = {"timestep": diffcut.TIMESTEP, "noise_seed": diffcut.NOISE_SEED}
        for_photo |= {name: value for name, value in own.items() if for_photo[name] is None}
        features = features or usual_module(pipe)
    evidence = evidence_of_photo(
        picture, pipe, words=words, preset=preset, weights=weights, features=features, **for_photo
    )
    return evidence.segments(recipe)


def segment_many(
    pictures: Iterable[Picture],
    pipe: Any,
    *,
    progress: Callable[[int, int | None], None] | None = None,
    failed: Callable[[Picture, Exception], None] | None = None,
    **settings: Any,
) -> Iterator[Segmentation]:
    """Segments of many photos, one after the other, as they are done.

    For a folder that is to be interrupted, started again or shared among machines: `attnscope segment FOLDER`, or
    `attnscope.segmentation.folder_job.SegmentJob` with `attnscope.jobs.running.run`.

    Args:
        pictures: Paths, PIL images or arrays.
        pipe: As for `segment`.
        progress: Called as progress(done, total) after each; total is None when pictures has no length.
        failed: Called as failed(picture, error) for a photo that can't be segmented, such as a broken file. The others
            are then still done, and that one gives nothing. Without it the first such photo ends the batch.
        settings: As for `segment`.

    Raises what `segment` raises, at the photo that causes it, unless `failed` is given.

    >>> import attnscope
    >>> from attnscope.demo.scenes import scene
    >>> pipe, broken = attnscope.load_pipeline("demo"), {}
    >>> photos = ["missing.png", scene(3).pil_image]
    >>> [len(segmented) > 1 for segmented in attnscope.segment_many(photos, pipe, failed=broken.__setitem__)]
    [True]
    >>> broken
    {'missing.png': ImageError('no such file: missing.png')}
    """
    total = len(pictures) if isinstance(pictures, Sequence) else None
    for done, picture in enumerate(pictures, start=1):
        segmented = None
        try:
            segmented = segment(picture, pipe, **settings)
        except Exception as error:
            if failed is None:
                raise
            failed(picture, error)
        if progress is not None:
            progress(done, total)
        if segmented is not None:
            yield segmented


@both_spellings("steps", "thresholds", "weights", "labels")
def segment_trace(
    trace: TraceSource,
    *,
    steps: int | Sequence[int] | slice | None = None,
    branch: str = "cond",
    image: int = 0,
    labels: str | Sequence[str] | None = None,
    picture: Picture | None = None,
    method: str | Recipe = "diffseg",
    thresholds: Thresholds | None = None,
    passes: int = PASSES,
    weights: Mapping[SizeHW, float] | None = None,
    pipe: Any = None,
    reduced: str | None = None,
    features: str | None = None,
    **recipe_changes: Any,
) -> Segmentation:
    """The segments of a generated picture, from the attention that made it.

    Args:
        trace: Of one pass, or its folder.
        steps: Steps whose attention is averaged; all captured ones by default.
        branch: Guidance branch.
        image: Number of the image in the batch.
        labels: Words of the text that the branch reads.
        picture: What to draw on; the trace's own picture by default.
        method: As for `segment`.
        thresholds: As for `segment`.
        passes: As for `segment`.
        weights: As for `segment`.
        pipe: Asked for its recommended threshold only, in case the trace does not know its model.
        reduced: Name of self-attention maps that `capture(keep=...)` reduced over the run, in place of Q and K; which
            steps and branch went in was settled then.
        features: As for `segment`.
        recipe_changes: preset, anchors, refine, fit, unite, weak and the method's other choices, as for `segment`.

    Returns:
        Labels at the picture's size; without a picture at the size that the run was asked for, else 8 pixels a place.

    Raises:
        SelectionError: The trace lacks something that was chosen.
        WordError: The prompt lacks a word.

    Cost: head means of all captured self-attention layers and steps.
    """
    trace = as_trace(trace)
    model = trace.run.model or getattr(pipe, "name_or_path", None)
    recipe = recipe_for(
        method, model, beside=_KEYWORDS, thresholds=thresholds, passes=passes, **recipe_changes
    )
    preset = recipe_changes.get("preset", "paper")
    words = named_words(trace, asked_words(labels), image, branch, preset)
    if looks_at_features(recipe) or features is not None:
        features = kept_module(trace, features)
    evidence = evidence_of_trace(
        trace,
        steps=steps,
        branch=branch,
        image=image,
        words=words,
        picture=picture,
        weights=weights,
        reduced=reduced,
        preset=preset,
        features=features,
    )
    return evidence.segments(recipe)


_KEYWORDS = tuple(inspect.signature(segment).parameters)
"""Which one may be meant where a keyword is none of a recipe."""
