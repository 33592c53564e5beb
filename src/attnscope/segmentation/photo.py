"""From a photo to the evidence of its segments: one pass of the model over its clean latent, without guidance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attnscope.atlas.families import UNET
from attnscope.diffseg.labels import word_maps
from attnscope.errors import ModelError
from attnscope.photos.checking import check_pipeline
from attnscope.photos.latents import input_size, noised, photo_latent, photo_tensor
from attnscope.photos.one_pass import photo_trace
from attnscope.pictures.decoded import Decoded
from attnscope.pictures.reading import Picture, decoded_picture
from attnscope.pictures.strips import LARGE_PIXELS
from attnscope.recording.planning.modules import choose_layers, layers_not_recorded, model_of
from attnscope.records import Kind
from attnscope.records.layers import SizeHW
from attnscope.segmentation.evidence import aggregated_attention, cross_attention
from attnscope.segmentation.features import Features, features_of
from attnscope.segmentation.methods import diffcut
from attnscope.segmentation.result import Evidence
from attnscope.segmentation.words import BETWEEN, NamedSpan, groups_that_fit, named_spans, named_words
from attnscope.trace.tokens import tokenize
from attnscope.trace.trace import Trace

MAPS = (
    "see where words are in it, `trace = attnscope.read_photo(pipe, picture, 'a cat', kind='cross')` and "
    "`attnscope.heat_map(trace, 'cat')`"
)
TIMESTEP = 300
"""Of the pass; Tian et al. 2024, implementation details."""


def evidence_of_photo(
    picture: Picture,
    pipe: Any,
    *,
    words: tuple[str, ...] = (),
    prompt: str | None = None,
    preset: str = "paper",
    weights: Mapping[SizeHW, float] | None = None,
    crop: bool | None = None,
    timestep: int | None = None,
    noise_seed: int | None = None,
    features: str | None = None,
) -> Evidence:
    """What the segments of a photo are made of.

    Args:
        picture: A path, a PIL image or an array.
        pipe: A text-to-image pipeline.
        words: Words that may name segments.
        prompt: The text in which they stand; by default the words themselves, joined by commas.
        preset: "reference" takes everything from the one pass with the prompt, as the authors' program does.
        weights: As for `attnscope.diffseg.aggregate`.
        crop: Take the middle square; by default only with preset="reference".
        timestep: Of the pass; 300 by default.
        noise_seed: Adds the noise of that timestep.
        features: Path of the module whose output are the features, from a pass at DiffCut's timestep with its noise
            where no others are chosen; None for none.

    Raises:
        ModelError: The pipeline can't take a photo.
        ImageError: The picture can't be read.
        WordError: The prompt lacks a word.

    Cost: VAE encode and one pass, with words one more for each text that the model reads at once, and one for features
    where they are of another timestep than attention.
    """
    check_pipeline(pipe)
    check_places(pipe)
    reference = preset == "reference"
    readings = list(_readings(pipe, words, prompt, preset))
    crop, at = reference if crop is None else crop, TIMESTEP if timestep is None else timestep
    decode = partial(_decoded, picture, crop)
    photo = decode()
    image_hw = photo.size_hw
    seen_hw = input_size(pipe, image_hw, crop=crop)
    is_large = image_hw[0] * image_hw[1] > LARGE_PIXELS and not hasattr(picture, "read")
    image = (
        None if is_large else photo.whole()
    )  # the model sees it small; what is written of it decodes it again
    pixels = photo_tensor(photo if reference else image or photo, seen_hw, smooth=not reference)
    del photo
    clean = photo_latent(pipe, pixels)
    latent = clean if noise_seed is None else noised(pipe, clean, at, noise_seed)
    both: Kind | None = (
        None if reference and words else "self"
    )  # the authors' program takes all from one pass
    look = None if features is None else _look(features, timestep, noise_seed)
    shared = look is not None and look[1:] == (at, noise_seed)
    kept: dict[str, Any] = {"outputs": [features]} if shared else {}
    own = photo_trace(
        pipe, latent, readings[0].text if reference and words else "", timestep=at, kind=both, **kept
    )
    aggregated = aggregated_attention(own, weights=weights)
    seen_features = None if look is None else _features(pipe, clean, look, own if shared else None)
    maps = []
    for reading in readings:
        read = own if reference else photo_trace(pipe, latent, reading.text, timestep=at, kind="cross")
        spans = reading.spans or named_words(read, reading.words, 0, "cond", preset)
        tokens = [span.tokens for span in spans]
        maps.append(word_maps(cross_attention(read, preset), tokens, seen_hw))
    origin = {
        "timestep": at,
        "noise_seed": noise_seed,
        "crop": crop,
        "input_size": {"height": seen_hw[0], "width": seen_hw[1]},
        "prompt": " | ".join(reading.text for reading in readings),
        **({} if look is None else {"features": look._asdict()}),
    }
    return Evidence(
        aggregated,
        image_hw,
        image,
        words,
        torch.cat(maps) if maps else None,
        origin,
        getattr(pipe, "name_or_path", None),
        decode if is_large else None,
        seen_features,
    )


class _Look(NamedTuple):
    """What features are of: the output of a module in a pass at a timestep, with noise."""

    module: str
    timestep: int
    noise_seed: int


def _look(module: str, timestep: int | None, noise_seed: int | None) -> _Look:
    return _Look(
        module,
        diffcut.TIMESTEP if timestep is None else timestep,
        diffcut.NOISE_SEED if noise_seed is None else noise_seed,
    )


def _features(pipe: Any, clean: Tensor, look: _Look, own: Trace | None) -> Features:
    """Features of the pass that is there, or of one of their own."""
    if own is None:
        latent = noised(pipe, clean, look.timestep, look.noise_seed)
        kept: dict[str, Any] = {"outputs": [look.module], "kind": "self", "timestep": look.timestep}
        own = photo_trace(pipe, latent, "", **kept)
    return features_of(own, look.module)


def check_places(pipe: Any) -> None:
    """Refuse a model whose image does not attend to itself by probabilities, of which segments are made.

    Args:
        pipe: A diffusers pipeline.

    Raises:
        ModelError: It is such a model.
    """
    family, model = model_of(pipe)
    if not any("self" in tapped.kinds("self") for tapped in choose_layers(family, model, None, None)):
        raise ModelError(
            f"a {type(pipe).__name__} can't segment pictures, since its model has no self-attention of the "
            f"image with probabilities ({'; '.join(layers_not_recorded(family, model))}): {MAPS}"
        )


def _decoded(picture: Picture, crop: bool) -> Decoded:
    photo = decoded_picture(picture)
    return photo.middle_square() if crop else photo


class _Reading(NamedTuple):
    """A text for the model to read, the words in it, and their tokens where they are known before it is read."""

    text: str
    words: tuple[str, ...]
    spans: Sequence[NamedSpan] = ()


def _readings(pipe: Any, words: tuple[str, ...], prompt: str | None, preset: str) -> Iterator[_Reading]:
    """The texts that the model reads for the words' sake: the prompt, or the words, in several texts if need be."""
    if not words:
        return
    if model_of(pipe)[0] is not UNET:  # its encoders read far more, and the trace knows what they read
        yield _Reading(prompt or BETWEEN.join(words), words)
        return
    if prompt or preset == "reference":
        groups, between = [words], " "
    else:
        groups, between = groups_that_fit(pipe.tokenizer, words), BETWEEN
    for group in groups:
        read = group if prompt else tuple(as_read(pipe, word) for word in group)
        text_read = as_read(pipe, prompt) if prompt else between.join(read)
        spans = named_spans(text_read, tokenize(pipe.tokenizer, text_read).tokens, read, preset)
        yield _Reading(prompt or between.join(group), group, spans)


def as_read(pipe: Any, text: str) -> str:
    """A text with textual inversion's names written out, as the pipeline tokenizes it.

    Args:
        pipe: A diffusers pipeline.
        text: The text.
    """
    convert = getattr(pipe, "maybe_convert_prompt", None)
    return text if convert is None else convert(text, pipe.tokenizer)
