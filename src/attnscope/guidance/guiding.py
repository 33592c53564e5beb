"""A pipeline's run whose latents follow the gradient of a loss of attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.atlas.families import UNET
from attnscope.errors import ModelError, ParameterError
from attnscope.photos.conditioning import asks_for_more, conditions, without_picture_prompts
from attnscope.photos.latents import device_of
from attnscope.recording.capture import capture
from attnscope.recording.planning.modules import model_of
from attnscope.records import Kind
from attnscope.trace.trace import Trace

Loss = Callable[[Trace], Tensor]
"""From the attention of one step, one row of the prompt, to a number that is to become smaller."""
Latent = Float[Tensor, "1 channel h w"]


@dataclass(frozen=True)
class Guided:
    """What a guided run made.

    Attributes:
        images: Its pictures, or latents.
        losses: For each picture the loss before each update, by the number of the step.
    """

    images: Any
    losses: list[dict[int, list[float]]] = field(default_factory=list)


def guide(
    pipe: Any,
    loss: Loss | Sequence[Loss],
    *,
    prompt: str | Sequence[str],
    step_sizes: float | Sequence[float] = 20.0,
    steps: Sequence[int] | None = None,
    targets: Mapping[int, float] | None = None,
    most_tries: int = 20,
    kind: Kind | None = "cross",
    **call: Any,
) -> Guided:
    """Generate pictures while latents follow the gradient of a loss, before each step.

    Args:
        pipe: A text-to-image pipeline with a U-Net: Stable Diffusion v1, v2, XL.
        loss: From the trace of one step to a scalar; or one for each prompt.
        prompt: One or several; the picture of each is guided by itself.
        step_sizes: What the gradient is multiplied with: one number, or one for each step.
        steps: Numbers of the steps that are guided, from 0. All by default.
        targets: By the number of a step, how small the loss must be there: the update is repeated until it is.
        most_tries: How often an update is repeated.
        kind: The kind of attention that the loss looks at; None for all.
        **call: For the pipeline: num_inference_steps, generator, latents, height, width, output_type ...

    Raises:
        ModelError: The model asks for more than a prompt and a latent.
        ParameterError: Numbers of losses and prompts differ, or a step size or a step makes no sense.

    Cost: of each guided step a forward and a backward pass of each picture, for each try.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> pipe.set_progress_bar_config(disable=True)
    >>> def more_house(trace):
    ...     return -attnscope.heat_map(trace, "house").tensor.max()
    >>> guided = guide(pipe, more_house, prompt="a red house", num_inference_steps=2, steps=[0])
    >>> len(guided.losses[0][0])
    1
    """
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    losses = [loss] * len(prompts) if callable(loss) else list(loss)
    if len(losses) != len(prompts):
        raise ParameterError(
            f"there are {len(losses)} losses for {len(prompts)} prompts: expected one for each"
        )
    if call.get("num_images_per_prompt", 1) != 1:
        raise ParameterError(
            "num_images_per_prompt: each prompt gives one picture here; repeat the prompt for more"
        )
    count = int(call.setdefault("num_inference_steps", 50))
    sizes = list(step_sizes) if isinstance(step_sizes, Sequence) else [step_sizes] * count
    guided = set(range(count) if steps is None else steps)
    if len(sizes) < count or not all(isinstance(step, int) and 0 <= step < count for step in guided):
        raise ParameterError(
            f"{len(sizes)} step sizes and steps {sorted(guided)} for a run of {count} steps: expected a size for each "
            "and numbers from 0"
        )
    walk = _Walk(pipe, prompts, losses, kind, sizes, dict(targets or {}), most_tries, guided)
    return walk.run(call)


def loss_and_gradient(
    pipe: Any, loss: Loss, latent: Latent, timestep: Any, *, prompt: str, kind: Kind | None = "cross"
) -> tuple[Tensor, Latent]:
    """The loss of one latent, and its gradient by the latent.

    Args:
        pipe: As for `guide`.
        loss: As there.
        latent: What the model sees, before the scheduler scales it.
        timestep: What it is told.
        prompt: What it reads, without guidance.
        kind: As there.

    Raises:
        ModelError: As for `guide`.
        ParameterError: The loss is no scalar, or has no gradient.
    """
    _check(pipe)
    with torch.enable_grad():
        seen = latent.detach().clone().requires_grad_(True)
        value = _loss(pipe, loss, seen, timestep, prompt, kind)
        (gradient,) = torch.autograd.grad(value, [seen])
    return value.detach(), gradient


def _loss(pipe: Any, loss: Loss, latent: Latent, timestep: Any, prompt: str, kind: Kind | None) -> Tensor:
    device, unet = device_of(pipe), pipe.unet
    with torch.no_grad():
        (told,) = conditions(pipe, prompt, latent, device)
    scaled = pipe.scheduler.scale_model_input(latent.to(device, unet.dtype), timestep)
    how: dict[str, Any] = {"kind": kind, "branches": ("cond",), "prompt": prompt, "grad": True}
    with without_picture_prompts(unet) as pictures, capture(pipe, **how) as trace:
        added = {**told.added, **pictures}
        unet(scaled, timestep, encoder_hidden_states=told.embeddings, added_cond_kwargs=added)
    value = loss(trace)
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
        what = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        graph = "" if not isinstance(value, Tensor) or value.requires_grad else " without a gradient"
        raise ParameterError(
            f"the loss gave {what}{graph}; expected a scalar computed from the trace, by trace.probabilities(...) or "
            "heat_map(...).tensor"
        )
    return value.reshape(())


def _check(pipe: Any) -> None:
    family, model = model_of(pipe)
    vae = getattr(pipe, "vae", None)
    if family is not UNET or model is pipe or vae is None or not hasattr(pipe, "encode_prompt"):
        raise ModelError(
            f"{type(pipe).__name__} can't be guided: expected a text-to-image pipeline with a U-Net"
        )
    if (lacking := asks_for_more(pipe.unet.config, vae.config.latent_channels)) is not None:
        raise ModelError(f"{type(pipe).__name__} can't be guided: its U-Net {lacking}")


@dataclass
class _Walk:
    """One guided run: latents before each step, updated.

    Attributes:
        pipe: The pipeline.
        prompts: One a picture.
        losses: One a picture.
        kind: The kind of attention that is recorded.
        sizes: Of each step.
        targets: By step.
        most_tries: Of one step.
        guided: Numbers of the steps.
    """

    pipe: Any
    prompts: list[str]
    losses: list[Loss]
    kind: Kind | None
    sizes: list[float]
    targets: dict[int, float]
    most_tries: int
    guided: set[int]

    def run(self, call: dict[str, Any]) -> Guided:
        """Generate the pictures.

        Args:
            call: For the pipeline.
        """
        _check(self.pipe)
        self._seen: list[dict[int, list[float]]] = [{} for _ in self.prompts]
        users = call.pop("callback_on_step_end", None)

        def end_step(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            timesteps = pipeline.scheduler.timesteps
            if step + 1 < len(timesteps):
                tensors["latents"] = self._updated(tensors["latents"], step + 1, timesteps[step + 1])
            return tensors if users is None else users(pipeline, step, timestep, tensors)

        call["latents"] = self._first_latents(call)
        images = self.pipe(self.prompts, callback_on_step_end=end_step, **call).images
        return Guided(images, self._seen)

    def _first_latents(self, call: dict[str, Any]) -> Tensor:
        """The noise, updated for the first step; the pipeline scales it again."""
        pipe, native = self.pipe, self.pipe.unet.config.sample_size
        scale = pipe.vae_scale_factor
        size = [call.get(name) or native * scale for name in ("height", "width")]
        device = device_of(pipe)
        pipe.scheduler.set_timesteps(call["num_inference_steps"], device=device)
        dtype = pipe.unet.dtype
        channels = pipe.unet.config.in_channels
        noise = pipe.prepare_latents(
            len(self.prompts),
            channels,
            *size,
            dtype,
            device,
            call.pop("generator", None),
            call.pop("latents", None),
        )
        return self._updated(noise, 0, pipe.scheduler.timesteps[0]) / pipe.scheduler.init_noise_sigma

    def _updated(self, latents: Tensor, step: int, timestep: Any) -> Tensor:
        if step not in self.guided:
            return latents
        return torch.cat(
            [self._one(image, latent, step, timestep) for image, latent in enumerate(latents.split(1))]
        )

    def _one(self, image: int, latent: Tensor, step: int, timestep: Any) -> Tensor:
        """One picture's latent, updated once, and before that until its loss is small enough."""

        def look() -> tuple[Tensor, Tensor]:
            value, gradient = loss_and_gradient(
                self.pipe, self.losses[image], latent, timestep, prompt=self.prompts[image], kind=self.kind
            )
            self._seen[image].setdefault(step, []).append(float(value))
            return value, gradient

        value, gradient = look()
        target = self.targets.get(step, math.inf)
        for _ in range(self.most_tries if value > target else 0):
            latent, was_small = latent - self.sizes[step] * gradient, value <= target
            value, gradient = look()
            if was_small:
                break
        return latent - self.sizes[step] * gradient
