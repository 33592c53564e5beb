"""A photo seen by a transformer: one step of its own pipeline, whose model gets the photo's latent in place of noise.

The pipeline makes everything else that its model asks for: text embeddings, pooled ones, masks, positions, guidance.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from attnscope.errors import ModelError
from attnscope.recording.calling.twin import twin_of
from attnscope.recording.capture import capture
from attnscope.recording.planning.modules import model_of
from attnscope.records import Kind
from attnscope.segmentation.latents import check_timestep
from attnscope.trace.trace import Trace

INSTEAD = (
    "generate a picture and segment its trace, `with attnscope.capture(pipe) as trace: pipe(...)` and "
    "`attnscope.segment(trace)`"
)


def check_transformer(pipe: Any) -> None:
    """Refuse a pipeline whose transformer can't be shown a photo.

    Args:
        pipe: A diffusers pipeline.

    Raises:
        ModelError: It makes videos, needs a picture of its own, or its latents are laid out in a way that is not known.
    """
    takes, config = inspect.signature(pipe.__call__).parameters, pipe.vae.config
    if "num_frames" in takes:
        raise _refusal(pipe, "it makes videos")
    if "prompt" not in takes or takes.get("image", takes["prompt"]).default is inspect.Parameter.empty:
        raise _refusal(pipe, "it asks for more than a prompt")
    if config.get("scaling_factor") is None or config.get("latents_mean") is not None:
        raise _refusal(pipe, f"how its {type(pipe.vae).__name__} scales a latent is not known")


def photo_step(pipe: Any, latent: Tensor, prompt: str, *, timestep: int, kind: Kind | None) -> Trace:
    """The attention of one step; the pipeline is left as it was.

    Args:
        pipe: A pipeline with a transformer.
        latent: What the model sees, as the VAE has it.
        prompt: What it reads.
        timestep: What it is told.
        kind: "self", "cross", or None for both.

    Raises:
        ModelError: The model takes latents in a layout that is not known, or for more than a photo.
    """
    check_timestep(pipe, timestep)
    family, model = model_of(pipe)
    twin = twin_of(pipe)
    twin.scheduler.set_timesteps = _always(twin.scheduler, timestep)
    shown = model.register_forward_pre_hook(
        _showing(pipe, model, family.arguments[0], latent), with_kwargs=True
    )
    try:
        with torch.no_grad(), capture(twin, kind=kind, where="device") as trace:
            twin(prompt, **_one_step(pipe, latent))
    finally:
        shown.remove()
    return trace


def _one_step(pipe: Any, latent: Tensor) -> dict[str, Any]:
    """The smallest call at the latent's size, with a single row: without guidance, unless that is embedded."""
    takes = inspect.signature(pipe.__call__).parameters
    px = 2 ** (len(pipe.vae.config["block_out_channels"]) - 1)
    height, width = (side * px for side in latent.shape[-2:])
    given: dict[str, Any] = {
        "height": height,
        "width": width,
        "num_inference_steps": 1,
        "output_type": "latent",
        "use_resolution_binning": False,
        "clean_caption": False,
        "generator": torch.Generator().manual_seed(0),
    }
    if "true_cfg_scale" not in takes:
        given["guidance_scale"] = 1.0
    return {name: value for name, value in given.items() if name in takes}


def _always(scheduler: Any, timestep: int) -> Callable[..., None]:
    """A scheduler's set_timesteps that leaves one timestep, whatever it is asked for."""
    original = scheduler.set_timesteps

    @wraps(original)
    def set_timesteps(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        scheduler.timesteps = torch.full_like(scheduler.timesteps[:1], timestep)

    return set_timesteps


def _showing(pipe: Any, model: nn.Module, name: str, latent: Tensor) -> Callable[..., Any]:
    """A hook that puts the photo where the model would get noise."""
    signature = inspect.signature(model.forward)

    def show(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        call = signature.bind(*args, **kwargs)
        call.arguments[name] = _laid_out(pipe, latent, call.arguments[name])
        return call.args, call.kwargs

    return show


def _laid_out(pipe: Any, latent: Tensor, noise: Any) -> Tensor:
    """The latent as the model gets one: as it is, or packed by its pipeline, 2x2 positions to a token."""
    if isinstance(noise, Tensor):
        if noise.shape == latent.shape:
            return latent.to(noise)
        pack = getattr(pipe, "_pack_latents", None)
        if pack is not None and len(inspect.signature(pack).parameters) == 1 + latent.ndim:
            packed = pack(latent, *latent.shape)
            if packed.shape == noise.shape:
                return packed.to(noise)
    shape = tuple(noise.shape) if isinstance(noise, Tensor) else type(noise).__name__
    raise _refusal(pipe, f"its model takes {shape} where the VAE gives {tuple(latent.shape)}")


def _refusal(pipe: Any, why: str) -> ModelError:
    return ModelError(f"a {type(pipe).__name__} can't be shown a photo, {why}: {INSTEAD}")
