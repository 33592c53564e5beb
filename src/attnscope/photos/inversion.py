"""DDIM inversion: the noise that a photo comes from, and the photo made again from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.photos.checking import check_invertible, check_pipeline, check_prompt
from attnscope.photos.counting import Progress, Stepped, counting, nothing
from attnscope.photos.latents import device_of, takes_frames
from attnscope.photos.null_text import INNER_STEPS, check_null_text, null_embeddings
from attnscope.photos.photo_pipeline import PhotoPipeline
from attnscope.photos.seen import SeenPhoto, seen_photo
from attnscope.pictures.reading import Picture
from attnscope.recording.planning.modules import model_of

STEPS, GUIDANCE_SCALE = 50, 7.5
"""Of the null-text paper's program."""


@dataclass(frozen=True, eq=False, repr=False)
class Inversion:
    """A photo's way to noise.

    Attributes:
        prompt: What the model read.
        latents: The photo's latent, and that after each step; the last one is noise. float32.
        timesteps: Of the steps, rising.
        photo: The photo at the size at which the model sees it.
        null_embeddings: What is to be read in place of no text where a picture is made with guidance, one for each step
            in the order of making, so with timesteps that fall; None without null-text optimisation.
        guidance_scale: Of the guidance that `null_embeddings` are for, 1 without them.
    """

    prompt: str
    latents: Float[Tensor, "latent channel height width"]
    timesteps: tuple[int, ...]
    photo: Image
    null_embeddings: Float[Tensor, "step token dim"] | None = None
    guidance_scale: float = 1.0

    @property
    def noise(self) -> Float[Tensor, "1 channel height width"]:
        """The last latent: with it as `latents=`, a pipeline whose scheduler is DDIM's makes the photo again."""
        return self.latents[-1:]

    def picture(
        self,
        pipe: Any,
        *,
        prompt: str | None = None,
        guidance_scale: float | None = None,
        progress: Progress | None = None,
    ) -> Image:
        """The picture that comes from the noise, by DDIM's steps; the pipeline is left as it was.

        Args:
            pipe: The pipeline that the photo was inverted with.
            prompt: What is read; by default what was read when the photo was inverted.
            guidance_scale: 1 is off. By default what `null_embeddings` are for, else 1.
            progress: As for `invert_photo`.

        Returns:
            At the size at which the model saw the photo.
        """
        check_invertible(pipe)
        with counting(pipe, len(self.timesteps), progress) as stepped:
            latents = self.made_again(ddim_making(pipe, len(self.timesteps)), prompt, guidance_scale, stepped)
        return decoded(pipe, latents[-1])

    def made_again(
        self,
        making: PhotoPipeline,
        prompt: str | None = None,
        guidance_scale: float | None = None,
        stepped: Stepped = nothing,
    ) -> list[Tensor]:
        """The latents from noise to the picture.

        Args:
            making: From `ddim_making`, with as many steps.
            prompt: As for `picture`.
            guidance_scale: As for `picture`.
            stepped: Called after each step.
        """
        scale = self.guidance_scale if guidance_scale is None else guidance_scale
        return making(
            self.prompt if prompt is None else prompt,
            self.noise,
            guidance_scale=None if scale == 1 else scale,
            null_embeddings=self.null_embeddings,
            stepped=stepped,
        )

    def __repr__(self) -> str:
        null = "" if self.null_embeddings is None else f", null text for guidance {self.guidance_scale:g}"
        return f"<Inversion of a photo of {self.prompt!r}, {len(self.timesteps)} steps{null}>"


@torch.inference_mode(False)
def invert_photo(
    pipe: Any,
    picture: Picture,
    prompt: str,
    *,
    num_inference_steps: int = STEPS,
    null_text: bool = False,
    guidance_scale: float = GUIDANCE_SCALE,
    crop: bool = False,
    progress: Progress | None = None,
) -> Inversion:
    """The noise from which a model makes a photo, by DDIM's steps in reverse, without guidance.

    Args:
        pipe: A text-to-image pipeline with a U-Net built like Stable Diffusion v1, v2 or XL. It is left as it was.
        picture: As for `attnscope.read_photo`.
        prompt: What the photo shows.
        num_inference_steps: How many steps; more are truer.
        null_text: Find embeddings in place of no text, with which guidance leads back to the photo: 2 to 11 more
            calls of the model a step, with gradients. At most 100 steps.
        guidance_scale: Of that guidance.
        crop: As for `attnscope.read_photo`.
        progress: Called as progress(done, total) after each call of the model. Default: the pipeline's own bar.

    Returns:
        All latents, and how to make the photo again.

    Raises:
        ModelError: The pipeline can't take a photo, or its model can't be inverted.
        ImageError: The picture can't be read.
        ParameterError: A number is outside its range.

    Cost: VAE encode and one call of the model a step, on a single row.
    Source: Song et al. 2021 (DDIM), and Mokady et al. 2023 (null-text), whose program it follows: noise is predicted
        at the timestep that a step leads to. Differs: float32 latents whatever the model's type, the photo's aspect
        ratio, the VAE's mode, predictions of v, and SDXL.

    >>> import attnscope
    >>> from attnscope.demo.scenes import scene
    >>> pipe = attnscope.load_pipeline("demo")
    >>> pipe.set_progress_bar_config(disable=True)
    >>> inversion = attnscope.invert_photo(pipe, scene(3).pil_image, scene(3).caption, num_inference_steps=10)
    >>> inversion.picture(pipe).size
    (256, 256)
    """
    check_inversion(pipe, prompt, num_inference_steps)
    if null_text:
        check_null_text(num_inference_steps, guidance_scale)
    photo = seen_photo(pipe, picture, crop=crop)
    parts = num_inference_steps * (1 + INNER_STEPS * null_text)
    with counting(pipe, parts, progress) as stepped:
        inversion = inversion_of(ddim_rising(pipe, num_inference_steps), photo, prompt, stepped)
        return with_null_text(inversion, pipe, guidance_scale, stepped) if null_text else inversion


def check_inversion(pipe: Any, prompt: Any, num_inference_steps: Any) -> None:
    """Refuse what can't be inverted.

    Args:
        pipe: As for `invert_photo`.
        prompt: As for `invert_photo`.
        num_inference_steps: As for `invert_photo`.

    Raises:
        ModelError: The pipeline can't take a photo, or its model can't be inverted.
        ParameterError: The prompt is no text, or there can't be so many steps.
    """
    check_pipeline(pipe)
    check_invertible(pipe)
    check_prompt(prompt)
    most = pipe.scheduler.config["num_train_timesteps"] - pipe.scheduler.config.get("steps_offset", 0)
    is_number = isinstance(num_inference_steps, int) and not isinstance(num_inference_steps, bool)
    if not is_number or not 1 <= num_inference_steps <= most:
        raise ParameterError(
            f"num_inference_steps is {num_inference_steps!r}; expected a number from 1 to {most}"
        )


def inversion_of(
    rising: PhotoPipeline, photo: SeenPhoto, prompt: str, stepped: Stepped = nothing
) -> Inversion:
    """The inversion of a photo.

    Args:
        rising: From `ddim_rising`.
        photo: The photo.
        prompt: What it shows.
        stepped: Called after each step.
    """
    latents = rising(prompt, photo.latent, stepped=stepped)
    return Inversion(prompt, torch.cat(latents), tuple(rising.scheduler.timesteps.tolist()), photo.input)


def with_null_text(inversion: Inversion, pipe: Any, guidance_scale: float, stepped: Stepped) -> Inversion:
    """The same with null-text embeddings.

    Args:
        inversion: Without them.
        pipe: What it was made with.
        guidance_scale: Of the guidance that they are for.
        stepped: Called after each inner step.
    """
    making = ddim_making(pipe, len(inversion.timesteps))
    null = null_embeddings(making, inversion.latents, inversion.prompt, guidance_scale, stepped)
    return replace(inversion, null_embeddings=null, guidance_scale=guidance_scale)


def ddim_rising(pipe: Any, steps: int) -> PhotoPipeline:
    """Goes from a picture to noise.

    Args:
        pipe: A pipeline that can be inverted.
        steps: How many.
    """
    from diffusers import DDIMInverseScheduler

    return _ddim(DDIMInverseScheduler, pipe, steps)


def ddim_making(pipe: Any, steps: int) -> PhotoPipeline:
    """Goes from noise to a picture, by the same steps.

    Args:
        pipe: A pipeline that can be inverted.
        steps: How many.
    """
    from diffusers import DDIMScheduler

    return _ddim(DDIMScheduler, pipe, steps)


def _ddim(scheduler_class: Any, pipe: Any, steps: int) -> PhotoPipeline:
    """A scheduler of the pipeline's own noise levels; latents are not clipped, whatever a class does by default."""
    config = pipe.scheduler.config
    changes: dict[str, Any] = {"clip_sample": False}
    if config.get("timestep_spacing") == "linspace":  # DDIM's steps would not end where the next ones begin
        changes["timestep_spacing"] = "leading"
    scheduler = scheduler_class.from_config(config, **changes)
    scheduler.set_timesteps(steps)
    return PhotoPipeline(pipe, scheduler)


@torch.no_grad()
def decoded(pipe: Any, latent: Tensor) -> Image:
    """The picture of a latent.

    Args:
        pipe: A pipeline.
        latent: Without noise.
    """
    vae, scaled = pipe.vae, model_of(pipe)[0].latents.scaled
    of_zero, of_one = (scaled(vae, each) for each in (torch.zeros_like(latent), torch.ones_like(latent)))
    unscaled = (latent - of_zero) / (of_one - of_zero)  # scaling is a straight line
    overflows = vae.dtype is torch.float16 and vae.config.get("force_upcast", False)
    if overflows:
        vae.to(torch.float32)  # as the pipeline itself does, and back: no number is lost by it
    try:
        is_of_videos = takes_frames(vae)
        given = unscaled.to(device_of(pipe), vae.dtype)
        decoded = vae.decode(given.unsqueeze(2) if is_of_videos else given, return_dict=False)[0]
    finally:
        if overflows:
            vae.to(torch.float16)
    return pipe.image_processor.postprocess(decoded.squeeze(2) if is_of_videos else decoded)[0]
