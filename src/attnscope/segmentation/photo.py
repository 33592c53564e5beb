"""From a photo to the evidence of its segments: one U-Net pass over its clean latent, without guidance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from attnscope.diffseg.labels import word_maps
from attnscope.errors import ModelError, ParameterError
from attnscope.pictures.decoded import Decoded
from attnscope.pictures.reading import Picture, decoded_picture
from attnscope.pictures.sizes import fitted_size, resized, size_hw
from attnscope.pictures.strips import LARGE_PIXELS
from attnscope.recording.capture import capture
from attnscope.recording.modules import model_of
from attnscope.records import Kind
from attnscope.records.layers import SizeHW
from attnscope.segmentation.conditioning import asks_for_more, conditions, without_picture_prompts
from attnscope.segmentation.evidence import aggregated_attention, cross_attention
from attnscope.segmentation.result import Evidence
from attnscope.segmentation.words import BETWEEN, NamedSpan, groups_that_fit, named_spans
from attnscope.trace.tokens import tokenize
from attnscope.trace.trace import Trace

NEEDED = ("vae", "unet", "tokenizer", "text_encoder", "encode_prompt")


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
) -> Evidence:
    """What the segments of a photo are made of.

    Args:
        picture: A path, a PIL image or an array.
        pipe: A pipeline built like SD v1 or v2.
        words: Words that may name segments.
        prompt: The text in which they stand; by default the words themselves, joined by commas.
        preset: "reference" takes everything from the one pass with the prompt, as the authors' program does.
        weights: As for `attnscope.diffseg.aggregate`.
        crop: Take the middle square; by default only with preset="reference".
        timestep: Of the pass; 300 by default.
        noise_seed: Adds the noise of that timestep.

    Raises:
        ModelError: The pipeline can't take a photo.
        ImageError: The picture can't be read.
        WordError: The prompt lacks a word.

    Cost: VAE encode and one U-Net pass, with words one more for each text that the model reads at once.
    """
    check_pipeline(pipe)
    reference = preset == "reference"
    readings = list(_readings(pipe, words, prompt, preset))
    crop, at = reference if crop is None else crop, TIMESTEP if timestep is None else timestep
    decode = partial(_decoded, picture, crop)
    photo = decode()
    image_hw = photo.size_hw
    seen_hw = input_size(pipe, image_hw, crop=crop)
    is_large = image_hw[0] * image_hw[1] > LARGE_PIXELS and not hasattr(picture, "read")
    image = None if is_large and not reference else photo.whole()
    pixels = photo_tensor(image or photo.resized(seen_hw), seen_hw, smooth=not reference)
    del photo
    if is_large:
        image = None  # the model sees it small; what is written of it decodes it again
    latent = photo_latent(pipe, pixels)
    if noise_seed is not None:
        latent = noised(pipe, latent, at, noise_seed)
    both: Kind | None = (
        None if reference and words else "self"
    )  # the authors' program takes all from one pass
    own = photo_trace(pipe, latent, readings[0].text if reference and words else "", timestep=at, kind=both)
    aggregated = aggregated_attention(own, weights=weights)
    maps = []
    for reading in readings:
        read = own if reference else photo_trace(pipe, latent, reading.text, timestep=at, kind="cross")
        tokens = [span.tokens for span in reading.spans]
        maps.append(word_maps(cross_attention(read, preset), tokens, seen_hw))
    origin = {
        "timestep": at,
        "noise_seed": noise_seed,
        "crop": crop,
        "input_size": {"height": seen_hw[0], "width": seen_hw[1]},
        "prompt": " | ".join(reading.text for reading in readings),
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
    )


def _decoded(picture: Picture, crop: bool) -> Decoded:
    photo = decoded_picture(picture)
    return photo.middle_square() if crop else photo


class _Reading(NamedTuple):
    """A text for the model to read, and the words in it."""

    text: str
    spans: Sequence[NamedSpan]


def _readings(pipe: Any, words: tuple[str, ...], prompt: str | None, preset: str) -> Iterator[_Reading]:
    """The texts that the model reads for the words' sake: the prompt, or the words, in several texts if need be."""
    if not words:
        return
    if prompt or preset == "reference":
        groups, between = [words], " "
    else:
        groups, between = groups_that_fit(pipe.tokenizer, words), BETWEEN
    for group in groups:
        read = group if prompt else tuple(as_read(pipe, word) for word in group)
        text_read = as_read(pipe, prompt) if prompt else between.join(read)
        spans = named_spans(text_read, tokenize(pipe.tokenizer, text_read).tokens, read, preset)
        yield _Reading(prompt or between.join(group), spans)


def as_read(pipe: Any, text: str) -> str:
    """A text with textual inversion's names written out, as the pipeline tokenizes it.

    Args:
        pipe: A diffusers pipeline.
        text: The text.
    """
    convert = getattr(pipe, "maybe_convert_prompt", None)
    return text if convert is None else convert(text, pipe.tokenizer)


def check_pipeline(pipe: Any) -> None:
    """Refuse a pipeline that can't take a photo; SD v1 and v2 can, and models built like them.

    Args:
        pipe: A diffusers pipeline.

    Raises:
        ModelError: A part is missing, or the model asks for more than a prompt.
    """
    missing = [name for name in NEEDED if getattr(pipe, name, None) is None]
    if missing:
        raise ModelError(
            f"{type(pipe).__name__} has no {', '.join(missing)}; to segment a photo give a Stable Diffusion "
            "pipeline, such as attnscope.load_pipeline('demo')"
        )
    model_of(pipe)
    if (lacking := asks_for_more(pipe.unet.config, pipe.vae.config.latent_channels)) is not None:
        raise ModelError(
            f"the U-Net of {type(pipe).__name__} {lacking}; photos can be segmented with text-to-image models built "
            "like Stable Diffusion v1, v2 and XL"
        )


def input_size(pipe: Any, photo_hw: tuple[int, int], *, crop: bool) -> tuple[int, int]:
    """(height, width) in pixels at which the model sees a photo: its own area, the photo's aspect ratio.

    Args:
        pipe: A diffusers pipeline.
        photo_hw: Of the photo, in pixels.
        crop: Whether the photo is a square at the model's own size.
    """
    latent_px = _latent_px(pipe)
    sample = pipe.unet.config["sample_size"]
    native_px = int(sample if isinstance(sample, int) else min(sample)) * latent_px
    if crop:
        return native_px, native_px
    halvings = 2 ** (len(pipe.unet.config["block_out_channels"]) - 1)
    return fitted_size(photo_hw, native_px=native_px, multiple_px=latent_px * halvings)


def photo_tensor(
    image: Image.Image, at_size_hw: tuple[int, int], *, smooth: bool = True
) -> Float[Tensor, "1 3 h w"]:
    """The photo in -1..1, resized.

    Args:
        image: The photo in RGB.
        at_size_hw: Height and width in pixels.
        smooth: False takes the authors' bilinear resize without anti-aliasing.
    """
    source = resized(image, at_size_hw) if smooth else image
    pixels = torch.from_numpy(np.array(source, dtype=np.float32)).permute(2, 0, 1)[None]
    if size_hw(source) != at_size_hw:
        pixels = interpolate(pixels, size=at_size_hw, mode="bilinear", align_corners=False)
    return pixels / 127.5 - 1


@torch.no_grad()
def photo_latent(pipe: Any, pixels: Float[Tensor, "1 3 height width"]) -> Float[Tensor, "1 channel h w"]:
    """The mode of the VAE's posterior, shifted and scaled as the U-Net expects; nothing is random.

    Args:
        pipe: A diffusers pipeline.
        pixels: In -1..1.

    Raises:
        ModelError: The VAE overflows in its type.
    """
    vae = pipe.vae
    moments = vae.encode(pixels.to(_device(pipe), vae.dtype))
    shift = vae.config.get("shift_factor") or 0.0
    latent = (moments.latent_dist.mode() - shift) * vae.config["scaling_factor"]
    if not latent.isfinite().all():
        raise ModelError(
            f"the VAE of {type(pipe).__name__} overflows in {vae.dtype}, as that of SDXL does in float16: "
            "`pipe.vae.to(torch.float32)`, or load the model with dtype='bfloat16'"
        )
    return latent


def noised(pipe: Any, latent: Tensor, timestep: int, seed: int) -> Tensor:
    """The latent as the scheduler's forward process has it at a timestep.

    Args:
        pipe: A diffusers pipeline.
        latent: Clean.
        timestep: From 0 (almost clean) to the scheduler's last.
        seed: Of the noise.
    """
    _check_timestep(pipe, timestep)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(latent.shape, generator=generator).to(latent)
    keep = pipe.scheduler.alphas_cumprod[timestep].to(latent)
    return keep.sqrt() * latent + (1 - keep).sqrt() * noise


@torch.no_grad()
def photo_trace(pipe: Any, latent: Tensor, prompt: str, *, timestep: int, kind: Kind | None) -> Trace:
    """The attention of one pass; the pipeline is left as it was, its scheduler unused.

    Args:
        pipe: A diffusers pipeline.
        latent: What the U-Net sees.
        prompt: What it reads.
        timestep: Of the pass.
        kind: "self", "cross", or None for both.
    """
    _check_timestep(pipe, timestep)
    device, unet = _device(pipe), pipe.unet
    embeddings, added = conditions(pipe, prompt, latent, device)
    with (
        without_picture_prompts(unet) as pictures,
        capture(unet, kind=kind, where="device", branches=("cond",)) as trace,
    ):
        unet(
            latent.to(device, unet.dtype),
            torch.tensor(timestep, device=device),
            encoder_hidden_states=embeddings,
            added_cond_kwargs={**added, **pictures},
        )
    return trace


def _check_timestep(pipe: Any, timestep: int) -> None:
    steps = pipe.scheduler.config["num_train_timesteps"]
    if not 0 <= timestep < steps:
        raise ParameterError(
            f"timestep is {timestep}; this model was trained on 0..{steps - 1} (0 is almost clean)"
        )


def _latent_px(pipe: Any) -> int:
    """Pixels a side that one latent position covers."""
    return 2 ** (len(pipe.vae.config["block_out_channels"]) - 1)


def _device(pipe: Any) -> torch.device:
    return getattr(pipe, "_execution_device", None) or pipe.unet.device  # the first knows about offloading
