"""A photo read with a prompt: a trace like that of a picture that the model made."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from attnscope.errors import KeywordError, ParameterError, nearest
from attnscope.photos.checking import check_pipeline, check_prompt
from attnscope.photos.counting import Progress, counting
from attnscope.photos.inversion import (
    GUIDANCE_SCALE,
    STEPS,
    check_inversion,
    ddim_making,
    ddim_rising,
    inversion_of,
    with_null_text,
)
from attnscope.photos.latents import check_timestep, noised
from attnscope.photos.null_text import INNER_STEPS, check_null_text
from attnscope.photos.one_pass import photo_trace
from attnscope.photos.photo_pipeline import COND, UNCOND
from attnscope.photos.seen import SeenPhoto, seen_photo, show
from attnscope.pictures.reading import Picture
from attnscope.recording.capture import capture
from attnscope.trace.trace import Trace

TIMESTEP = 300
"""Of the one pass; docs/photos.md has the measurement."""
_KEPT = (
    *("block", "blocks", "kind", "step", "steps", "branch", "value"),
    *("dtype", "where", "folder", "keep", "qk", "budget", "open_words"),
)
"""The choices of a capture that can be made here; what rows and words are is known."""


@torch.inference_mode(False)
def read_photo(
    pipe: Any,
    picture: Picture,
    prompt: str,
    *,
    timestep: int | None = None,
    noise_seed: int | None = None,
    invert: bool = False,
    null_text: bool = False,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    crop: bool = False,
    progress: Progress | None = None,
    **kept: Any,
) -> Trace:
    """What a model attends to in a photo, read with a prompt: a trace like that of a picture that it made.

    One pass of the model over the photo's latent by default. With `invert=True` the steps of DDIM inversion, from the
    photo to the noise that it comes from: timesteps rise from step to step. With `null_text=True` the steps that make
    the photo again from that noise, with guidance that null-text optimisation leads back to the photo: timesteps fall,
    and there are the branches uncond and cond.

    Args:
        pipe: A text-to-image pipeline of diffusers: with a U-Net built like Stable Diffusion v1, v2 or XL or, for one
            pass, with a transformer, which sees the photo in one step of its own pipeline. It is left as it was.
        picture: A path, a PIL image, an array or tensor (height, width, 3), or whatever else
            `attnscope.pictures.reading.load_picture` takes. Its aspect ratio is kept.
        prompt: What the photo shows; the words of the trace. '' for none. What the model's text encoder has no room
            for is cut off, and its words are then not found.
        timestep: Of the one pass, 0 (almost clean) to 999; 300 by default.
        noise_seed: Adds the noise of that timestep, of flow matching where the model was trained so. None adds none.
        invert: Read the steps of DDIM inversion.
        null_text: Read the steps that make the photo again with guidance.
        num_inference_steps: Of inversion; 50 by default.
        guidance_scale: Of the guidance, for null_text; 7.5 by default.
        crop: Take the photo's middle square.
        progress: Called as progress(done, total) during inversion. Default: the pipeline's own bar.
        **kept: What is recorded and where it is kept, as for `attnscope.capture`: blocks, kind, steps, branch, value,
            dtype, where, folder, keep, qk, budget, open_words.

    Returns:
        A trace whose picture is the photo, upright, at its own size or with 40 million pixels.

    Raises:
        ImageError: The picture can't be read.
        ModelError: The pipeline can't take a photo, or its model can't be inverted.
        ParameterError: A number is outside its range, or choices don't go together.
        CaptureError: The model can't be captured, as for `attnscope.capture`.

    Cost: VAE encode and one pass; with invert a pass for each step; for null_text see `attnscope.invert_photo`. Q and K
    of a step take what they take of a picture's run.

    >>> import attnscope
    >>> from attnscope.demo.scenes import scene
    >>> pipe = attnscope.load_pipeline("demo")
    >>> trace = attnscope.read_photo(pipe, scene(3).pil_image, scene(3).caption)
    >>> trace.picture.size, len(trace.steps)
    ((256, 256), 1)
    """
    if unknown := [name for name in kept if name not in _KEPT]:
        known = [name for name in inspect.signature(read_photo).parameters if name != "kept"]
        raise KeywordError(
            f"read_photo() has no {unknown[0]!r}; the nearest: {nearest(unknown[0], [*known, *_KEPT])}"
        )
    check_pipeline(pipe)
    check_prompt(prompt)
    if not (invert or null_text):
        at = TIMESTEP if timestep is None else timestep
        _refuse("of inversion", num_inference_steps=num_inference_steps, guidance_scale=guidance_scale)
        check_timestep(pipe, at)
        photo = seen_photo(pipe, picture, crop=crop)
        latent = photo.latent if noise_seed is None else noised(pipe, photo.latent, at, noise_seed)
        kept = {"kind": None, "where": "cpu", **kept}
        return photo_trace(pipe, latent, prompt, timestep=at, picture=photo.picture, **kept)
    _refuse("of the one pass, without invert and null_text", timestep=timestep, noise_seed=noise_seed)
    many = STEPS if num_inference_steps is None else num_inference_steps
    check_inversion(pipe, prompt, many)
    if null_text:
        scale = GUIDANCE_SCALE if guidance_scale is None else guidance_scale
        check_null_text(many, scale)
        return _read_making_again(
            pipe, seen_photo(pipe, picture, crop=crop), prompt, many, scale, progress, kept
        )
    _refuse("of null_text", guidance_scale=guidance_scale)
    return _read_inverting(pipe, seen_photo(pipe, picture, crop=crop), prompt, many, progress, kept)


def _refuse(whose: str, **choices: Any) -> None:
    if chosen := [name for name, value in choices.items() if value is not None]:
        raise ParameterError(f"{chosen[0]} is a choice {whose}: leave it out")


def _read_inverting(
    pipe: Any,
    photo: SeenPhoto,
    prompt: str,
    steps: int,
    progress: Progress | None,
    kept: dict[str, Any],
) -> Trace:
    rising = ddim_rising(pipe, steps)
    with (
        counting(pipe, steps, progress) as stepped,
        capture(rising, branches=(COND,), **kept) as trace,
    ):
        rising(prompt, photo.latent, stepped=stepped)
        show(trace, photo.picture)
    return trace


def _read_making_again(
    pipe: Any,
    photo: SeenPhoto,
    prompt: str,
    steps: int,
    scale: float,
    progress: Progress | None,
    kept: dict[str, Any],
) -> Trace:
    making = ddim_making(pipe, steps)
    recording = capture(making, branches=(UNCOND, COND), **kept)  # what it refuses it refuses before the work
    with counting(pipe, steps * (INNER_STEPS + 2), progress) as stepped:
        inversion = inversion_of(ddim_rising(pipe, steps), photo, prompt, stepped)
        inversion = with_null_text(inversion, pipe, scale, stepped)
        with recording as trace:
            inversion.made_again(making, stepped=stepped)
            show(trace, photo.picture)
    return trace
