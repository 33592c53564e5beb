"""One U-Net pass over a photo: its clean latent, one timestep, one prompt, no guidance."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from attnscope.errors import ModelError, ParameterError
from attnscope.pictures.sizes import fitted_size, resized, size_hw
from attnscope.recording.capture import capture
from attnscope.records import Kind
from attnscope.trace.trace import Trace

NEEDED = ("vae", "unet", "tokenizer", "text_encoder", "encode_prompt")


def check_pipeline(pipe: Any) -> None:
    """Raise ModelError unless the pipeline can take a photo: SD v1 or v2, or one built like them."""
    missing = [name for name in NEEDED if getattr(pipe, name, None) is None]
    if missing:
        raise ModelError(
            f"{type(pipe).__name__} has no {', '.join(missing)}; to segment a photo give a Stable Diffusion "
            "pipeline, such as attnscope.load_pipeline('demo')"
        )
    config = pipe.unet.config
    if config.get("addition_embed_type") is not None or config.get("class_embed_type") is not None:
        raise ModelError(
            f"the U-Net of {type(pipe).__name__} asks for more than a prompt (addition_embed_type "
            f"{config.get('addition_embed_type')!r}, class_embed_type {config.get('class_embed_type')!r}); "
            "photos can be segmented with models built like Stable Diffusion v1 and v2"
        )
    latent_channels = pipe.vae.config.latent_channels
    if config["in_channels"] != latent_channels:
        raise ModelError(
            f"the U-Net takes {config['in_channels']} channels and the VAE gives {latent_channels} (an "
            "inpainting model?); to segment a photo give the text-to-image model"
        )


def input_size(pipe: Any, photo_hw: tuple[int, int], *, crop: bool) -> tuple[int, int]:
    """(height, width) in pixels at which the model sees a photo: its own area, the photo's aspect ratio."""
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
    """The photo in -1..1, resized; smooth=False is the authors' bilinear resize without anti-aliasing."""
    source = resized(image, at_size_hw) if smooth else image
    pixels = torch.from_numpy(np.array(source, dtype=np.float32)).permute(2, 0, 1)[None]
    if size_hw(source) != at_size_hw:
        pixels = interpolate(pixels, size=at_size_hw, mode="bilinear", align_corners=False)
    return pixels / 127.5 - 1


@torch.no_grad()
def photo_latent(pipe: Any, pixels: Float[Tensor, "1 3 height width"]) -> Float[Tensor, "1 channel h w"]:
    """The mode of the VAE's posterior, shifted and scaled as the U-Net expects; nothing is random."""
    vae = pipe.vae
    moments = vae.encode(pixels.to(_device(pipe), vae.dtype))
    shift = vae.config.get("shift_factor") or 0.0
    return (moments.latent_dist.mode() - shift) * vae.config["scaling_factor"]


def noised(pipe: Any, latent: Tensor, timestep: int, seed: int) -> Tensor:
    """The latent as the scheduler's forward process has it at timestep, with noise of a seed."""
    _check_timestep(pipe, timestep)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(latent.shape, generator=generator).to(latent)
    keep = pipe.scheduler.alphas_cumprod[timestep].to(latent)
    return keep.sqrt() * latent + (1 - keep).sqrt() * noise


@torch.no_grad()
def photo_trace(pipe: Any, latent: Tensor, prompt: str, *, timestep: int, kind: Kind | None) -> Trace:
    """The attention of one pass; the pipeline is left as it was, its scheduler unused."""
    _check_timestep(pipe, timestep)
    device, unet = _device(pipe), pipe.unet
    embeddings = pipe.encode_prompt(prompt, device, 1, False)[0].to(unet.dtype)
    with capture(unet, kind=kind, where="device") as trace:
        unet(
            latent.to(device, unet.dtype),
            torch.tensor(timestep, device=device),
            encoder_hidden_states=embeddings,
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
