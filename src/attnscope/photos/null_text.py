"""Null-text optimisation: what to read in place of no text, so that guidance leads back to a photo.

Source: Mokady et al. 2023, and the authors' program.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.photos.conditioning import Conditions, without_picture_prompts
from attnscope.photos.counting import Stepped
from attnscope.photos.photo_pipeline import PhotoPipeline, guided

INNER_STEPS = 10
LEARNING_RATE, LAST_STEPS = 0.01, 100
"""Adam's rate in step i is LEARNING_RATE * (1 - i / LAST_STEPS)."""
CLOSE, CLOSE_GROWTH = 1e-5, 2e-5
"""Mean square of the latents' difference in step i below which it is close enough: CLOSE + i * CLOSE_GROWTH."""


def check_null_text(steps: int, guidance_scale: Any) -> None:
    """Refuse what can't be optimised.

    Args:
        steps: How many.
        guidance_scale: Of the guidance.

    Raises:
        ParameterError: There are too many steps, or nothing is guided.
    """
    if steps > LAST_STEPS:
        raise ParameterError(
            f"num_inference_steps is {steps}; null_text takes at most {LAST_STEPS}, where its learning rate "
            "reaches 0"
        )
    is_number = isinstance(guidance_scale, (int, float)) and math.isfinite(guidance_scale)
    if not is_number or guidance_scale == 1:
        raise ParameterError(
            f"guidance_scale is {guidance_scale!r}; expected a number other than 1, where there is no "
            "guidance for null_text to correct"
        )


@torch.no_grad()
def null_embeddings(
    making: PhotoPipeline,
    latents: Float[Tensor, "latent channel height width"],
    prompt: str,
    guidance_scale: float,
    stepped: Stepped,
) -> Float[Tensor, "step token dim"]:
    """What to read in place of no text, one a step in the order of making, float32.

    Args:
        making: Goes from noise to a picture.
        latents: Of the inversion, from the photo to noise.
        prompt: What the photo shows.
        guidance_scale: Of the guidance.
        stepped: Called `INNER_STEPS` times for each step.

    Cost: 2 to 11 calls of the U-Net a step, with gradients to the text, on single rows; and one on two rows.
    Source: Mokady et al. 2023, algorithm 1; numbers of the authors' program. Differs: float32 and a loss summed before
        its gradient is taken, so that it does not vanish in a half-precision model.
    """
    found = []
    latent = latents[-1:]
    with without_picture_prompts(making.unet) as pictures:
        *_, cond, null = making.encode_prompt(prompt, latent, guided=True)
        assert null is not None
        text = null.embeddings.float()
        for step, timestep in enumerate(making.scheduler.timesteps):
            to = latents[len(latents) - step - 2][None]
            way = _Way(making, pictures, timestep, latent, to, cond, null, guidance_scale)
            text = way.text_that_leads_there(text, step, stepped)
            found.append(text)
            latent = way.on(text)
    return torch.cat(found)


class _Way:
    """One step from a latent to the inversion's latent before it."""

    def __init__(
        self,
        making: PhotoPipeline,
        pictures: dict[str, Any],
        timestep: Tensor,
        latent: Tensor,
        to: Tensor,
        cond: Conditions,
        null: Conditions,
        scale: float,
    ) -> None:
        self._making, self._pictures, self._timestep = making, pictures, timestep
        self._latent, self._to, self._cond, self._null, self._scale = latent, to, cond, null, scale

    def _predicted(self, read: Conditions) -> Tensor:
        return self._making.predicted(self._latent, self._timestep, read, self._pictures)

    def _next(self, uncond: Tensor, cond: Tensor) -> Tensor:
        return self._making.next_latent(guided(uncond, cond, self._scale), self._timestep, self._latent)

    def on(self, text: Tensor) -> Tensor:
        """The next latent."""
        uncond, cond = self._predicted(self._null.with_text(text).beside(self._cond)).chunk(2)
        return self._next(uncond, cond)

    def text_that_leads_there(self, text: Tensor, step: int, stepped: Stepped) -> Tensor:
        """The text embedding, moved by Adam until the next latent is close to the inversion's."""
        text = text.clone()
        adam = torch.optim.Adam([text], lr=LEARNING_RATE * (1 - step / LAST_STEPS))
        cond = self._predicted(self._cond)
        left = INNER_STEPS
        while left:
            with torch.enable_grad():
                asked = text.requires_grad_()
                squares = (self._next(self._predicted(self._null.with_text(asked)), cond) - self._to) ** 2
                (gradient,) = torch.autograd.grad(squares.sum(), asked)
            text.grad = gradient / squares.numel()
            adam.step()
            left -= 1
            stepped()
            if squares.mean() < CLOSE + step * CLOSE_GROWTH:
                break
        for _ in range(left):
            stepped()
        return text.detach()
