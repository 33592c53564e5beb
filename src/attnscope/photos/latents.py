"""A photo as a latent: the size at which a model sees it, its pixels, the VAE's numbers, the noise of a timestep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from attnscope.atlas.families import Transformer
from attnscope.errors import ModelError, ParameterError
from attnscope.pictures.decoded import Decoded
from attnscope.pictures.sizes import fitted_size, resized
from attnscope.recording.calling.picture_size import pixels_per_latent
from attnscope.recording.planning.modules import model_of
from attnscope.records.layers import SizeHW


def input_size(pipe: Any, photo_hw: tuple[int, int], *, crop: bool) -> tuple[int, int]:
    """(height, width) in pixels at which the model sees a photo: its own area, the photo's aspect ratio.

    Args:
        pipe: A diffusers pipeline.
        photo_hw: Of the photo, in pixels.
        crop: Whether the photo is a square at the model's own size.
    """
    latent_px = pixels_per_latent(pipe) or vae_px(pipe)  # Bria counts a token as a place
    family, model = model_of(pipe)
    config: Any = model.config
    if isinstance(family, Transformer):
        sample, multiple = family.native_latent(config), family.patch(config)
    else:
        sample, multiple = config["sample_size"], 2 ** (len(config["block_out_channels"]) - 1)
    if sample is None:
        raise ModelError(
            f"the configuration of {type(model).__name__} does not name the size that the model was made for"
        )
    native_px = int(sample if isinstance(sample, int) else min(sample)) * latent_px
    fitted = (native_px, native_px)
    if not crop:
        fitted = fitted_size(photo_hw, native_px=native_px, multiple_px=latent_px * multiple)
    if isinstance(family, Transformer) and family.most_places is not None:
        return _within(fitted, family.most_places(config), latent_px * multiple)
    return fitted


def _within(size_hw: SizeHW, places: int, place_px: int) -> SizeHW:
    """A size whose longer side has no more places than some number, of nearly the same aspect ratio."""
    smaller = min(places * place_px / max(size_hw), 1)
    height, width = (max(round(side * smaller / place_px), 1) * place_px for side in size_hw)
    return height, width


def photo_tensor(
    image: Image.Image | Decoded, at_size_hw: tuple[int, int], *, smooth: bool = True
) -> Float[Tensor, "1 3 h w"]:
    """The photo in -1..1, resized.

    Args:
        image: The photo in RGB, or decoded.
        at_size_hw: Height and width in pixels.
        smooth: False takes the authors' bilinear resize without anti-aliasing.
    """
    if not smooth:
        photo = image if isinstance(image, Decoded) else Decoded(image, "the photo")
        source: Any = photo.sampled(at_size_hw)
    else:
        source = image.resized(at_size_hw) if isinstance(image, Decoded) else resized(image, at_size_hw)
    return torch.from_numpy(np.array(source, dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


@torch.no_grad()
def photo_latent(pipe: Any, pixels: Float[Tensor, "1 3 height width"]) -> Float[Tensor, "1 channel h w"]:
    """The mode of the VAE's posterior, scaled as the model's pipelines do; nothing is random.

    Args:
        pipe: A diffusers pipeline.
        pixels: In -1..1.

    Raises:
        ModelError: The VAE overflows in its type, or does not say how it scales.
    """
    vae, (family, _) = pipe.vae, model_of(pipe)
    latent = family.latents.scaled(vae, _encoded(vae, pixels.to(device_of(pipe), vae.dtype)))
    if not latent.isfinite().all():
        raise ModelError(
            f"the VAE of {type(pipe).__name__} overflows in {vae.dtype}, as that of SDXL does in float16: "
            "`pipe.vae.to(torch.float32)`, or load the model with dtype='bfloat16'"
        )
    return latent


def _encoded(vae: Any, pixels: Tensor) -> Tensor:
    """What an autoencoder gives for a picture; one of videos takes it as a frame."""
    is_of_videos = takes_frames(vae)
    given = vae.encode(pixels.unsqueeze(2) if is_of_videos else pixels)[0]
    latent = given if isinstance(given, Tensor) else given.mode()
    return latent.squeeze(2) if is_of_videos else latent


def takes_frames(vae: Any) -> bool:
    """Whether an autoencoder is one of videos, whose tensors have an axis of frames after the channels.

    Args:
        vae: The autoencoder.
    """
    return any(weight.ndim == 5 for weight in vae.parameters())


def noised(pipe: Any, latent: Tensor, timestep: int, seed: int) -> Tensor:
    """The latent as the scheduler's forward process has it at a timestep.

    Args:
        pipe: A diffusers pipeline.
        latent: Clean.
        timestep: From 0 (almost clean) to the scheduler's last.
        seed: Of the noise.
    """
    check_timestep(pipe, timestep)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(latent.shape, generator=generator).to(latent)
    if is_flow(pipe.scheduler):
        sigma = timestep / pipe.scheduler.config["num_train_timesteps"]
        return (1 - sigma) * latent + sigma * noise
    keep = pipe.scheduler.alphas_cumprod[timestep].to(latent)
    return keep.sqrt() * latent + (1 - keep).sqrt() * noise


def is_flow(scheduler: Any) -> bool:
    """Whether pictures are mixed with noise along a line, as flow matching does.

    Args:
        scheduler: A pipeline's.
    """
    config: Mapping[str, Any] = scheduler.config
    return (
        not hasattr(scheduler, "alphas_cumprod")
        or bool(config.get("use_flow_sigmas"))
        or config.get("prediction_type") == "flow_prediction"
    )


def check_timestep(pipe: Any, timestep: int) -> None:
    """Refuse a timestep that the model was not trained on.

    Args:
        pipe: A diffusers pipeline.
        timestep: Of the pass.

    Raises:
        ParameterError: It is outside the range.
        ModelError: The model is told something else than a timestep.
    """
    config: Mapping[str, Any] = pipe.scheduler.config
    of_noise = (config.get("timestep_type"), config.get("prediction_type")) == ("continuous", "v_prediction")
    if of_noise or config.get("sigma_data") is not None:
        raise ModelError(
            f"a {type(pipe).__name__} can't read a photo, since its {type(pipe.scheduler).__name__} tells "
            "the model how much noise there is, not the timestep: generate a picture and segment its trace, "
            "`with attnscope.capture(pipe) as trace: pipe(...)` and `attnscope.segment(trace)`"
        )
    steps = config["num_train_timesteps"]
    is_number = isinstance(timestep, (int, np.integer)) and not isinstance(timestep, bool)
    if not is_number or not 0 <= timestep < steps:
        raise ParameterError(
            f"timestep is {timestep!r}; this model was trained on 0..{steps - 1} (0 is almost clean)"
        )


def vae_px(pipe: Any) -> int:
    """Pixels a side that one position of the VAE's latent covers.

    Args:
        pipe: A diffusers pipeline.

    Raises:
        ModelError: The VAE does not say it.
    """
    vae = pipe.vae
    if (told := getattr(vae, "spatial_compression_ratio", None)) is not None:
        return told
    if not (levels := vae.config.get("block_out_channels")):
        raise ModelError(
            f"it is unknown how many pixels a latent place of its {type(vae).__name__} covers: put the "
            "autoencoder that the model was trained with into pipe.vae"
        )
    return 2 ** (len(levels) - 1)


def device_of(pipe: Any) -> torch.device:
    """Where a pipeline runs, also one whose parts are offloaded.

    Args:
        pipe: A diffusers pipeline.
    """
    model: Any = model_of(pipe)[1]
    return getattr(pipe, "_execution_device", None) or model.device
