"""A photo seen by a transformer: one step of its own pipeline, whose model gets the photo's latent in place of noise.

The pipeline makes everything else that its model asks for: text embeddings, pooled ones, masks, positions, guidance.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from attnscope.atlas.families import Family, unwrapped
from attnscope.errors import AttnscopeError, ModelError
from attnscope.photos.latents import check_timestep, vae_px
from attnscope.photos.seen import show
from attnscope.recording.calling.named_arguments import NamedArguments
from attnscope.recording.calling.twin import twin_of
from attnscope.recording.capture import capture
from attnscope.recording.planning.modules import model_of
from attnscope.records import Kind
from attnscope.trace.trace import Trace

INSTEAD = (
    "generate a picture and segment its trace, `with attnscope.capture(pipe) as trace: pipe(...)` and "
    "`attnscope.segment(trace)`"
)


def check_transformer(pipe: Any) -> None:
    """Refuse a pipeline whose transformer can't read a photo.

    Args:
        pipe: A diffusers pipeline.

    Raises:
        ModelError: It makes videos, needs a picture of its own, or its latents are laid out in a way that is not known.
    """
    takes = inspect.signature(pipe.__call__).parameters
    if "num_frames" in takes:
        raise _refusal(pipe, "it makes videos")
    needed = [name for name, option in takes.items() if option.default is inspect.Parameter.empty]
    if "prompt" not in takes or not {"prompt", "args", "kwargs"}.issuperset(needed):
        raise _refusal(pipe, "it asks for more than a prompt")


def photo_step(
    pipe: Any,
    latent: Tensor,
    prompt: str,
    *,
    timestep: int,
    kind: Kind | None,
    picture: Image | None = None,
    where: Any = "device",
    **kept: Any,
) -> Trace:
    """The attention of one step; the pipeline is left as it was.

    Args:
        pipe: A pipeline with a transformer.
        latent: What the model sees, as the VAE has it.
        prompt: What it reads.
        timestep: What it is told.
        kind: "self", "cross", or None for both.
        picture: The photo, for the trace to show.
        where: As for `attnscope.capture`.
        kept: Further choices of `attnscope.capture`.

    Raises:
        ModelError: The model takes latents in a layout that is not known, or for more than a photo.
    """
    check_timestep(pipe, timestep)
    family, model = model_of(pipe)
    twin = twin_of(pipe)
    twin.scheduler.set_timesteps = _always(twin.scheduler, timestep)
    shown = model.register_forward_pre_hook(_showing(pipe, model, family, latent), with_kwargs=True)
    try:
        with torch.no_grad(), capture(twin, kind=kind, where=where, **kept) as trace:
            twin(prompt=prompt, **_one_step(pipe, latent))
            show(trace, picture)
    except (ValueError, TypeError, AttributeError, AssertionError) as error:
        if isinstance(error, AttnscopeError):
            raise
        raise _refusal(
            pipe, f"its call with a prompt alone fails ({error or type(error).__name__})"
        ) from error
    finally:
        shown.remove()
    return trace


def _one_step(pipe: Any, latent: Tensor) -> dict[str, Any]:
    """The smallest call at the latent's size, with a single row: without guidance, unless that is embedded."""
    takes = inspect.signature(pipe.__call__).parameters
    height, width = (side * vae_px(pipe) for side in latent.shape[-2:])
    given: dict[str, Any] = {
        "height": height,
        "width": width,
        "num_inference_steps": 1,
        "output_type": "latent",
        "use_resolution_binning": False,
        "clean_caption": False,
        "enable_prompt_rewrite": False,
        "true_cfg_scale": 1.0,
        "pag_scale": 0.0,
        "max_area": height * width,
        "generator": torch.Generator().manual_seed(0),
    }
    if "guidance_scale" in takes:
        given["guidance_scale"] = _guidance(pipe, takes["guidance_scale"].default)
    return {name: value for name, value in given.items() if name in takes}


def _guidance(pipe: Any, default: float | None) -> float | None:
    """The scale that switches guidance off; where the model is told one, the pipeline's own."""
    family, model = model_of(pipe)
    config: Any = model.config
    if config.get("guidance_embeds"):
        return 1.0 if default is None else default
    return None if default is None else family.unguided


def _always(scheduler: Any, timestep: int) -> Callable[..., None]:
    """A scheduler's set_timesteps that leaves one timestep, whatever it is asked for."""
    original = scheduler.set_timesteps

    @wraps(original)
    def set_timesteps(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        scheduler.timesteps = torch.full_like(scheduler.timesteps[:1], timestep)

    return set_timesteps


def _showing(pipe: Any, model: nn.Module, family: Family, latent: Tensor) -> Callable[..., Any]:
    """A hook that puts the photo where the model would get noise."""
    named, name = NamedArguments(unwrapped(model), "forward", family.arguments), family.arguments[0]
    shown = family.latents.laid_out(pipe, latent)

    def show(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        return named.changed(args, kwargs, name, lambda noise: _in_place_of(noise, shown, pipe))

    return show


def _in_place_of(noise: Any, shown: Tensor | list[Tensor], pipe: Any) -> Any:
    """The photo, of the noise's type; both may be lists with a tensor a row."""
    if _shape(noise) != _shape(shown):
        raise _refusal(pipe, f"its model takes {_shape(noise)} where the photo gives {_shape(shown)}")
    if isinstance(shown, Tensor):
        return shown.to(noise)
    return [row.to(of_noise) for row, of_noise in zip(shown, noise, strict=True)]


def _shape(of_latent: Any) -> Any:
    return tuple(of_latent.shape) if isinstance(of_latent, Tensor) else [_shape(row) for row in of_latent]


def _refusal(pipe: Any, why: str) -> ModelError:
    return ModelError(f"a {type(pipe).__name__} can't read a photo, since {why}: {INSTEAD}")
