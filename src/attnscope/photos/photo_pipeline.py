"""A pipeline's U-Net, called with a photo's latent, by an object that a capture can watch as it watches a pipeline."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnscope.photos.conditioning import Conditions, conditions, without_picture_prompts
from attnscope.photos.counting import Stepped, nothing
from attnscope.photos.latents import device_of

_PARTS = (
    "unet",
    "vae",
    "tokenizer",
    "tokenizer_2",
    "text_encoder",
    "text_encoder_2",
    "name_or_path",
    "vae_scale_factor",
    "maybe_convert_prompt",
)
"""What a capture asks a pipeline for."""
UNCOND, COND = "uncond", "cond"


class PhotoPipeline:
    """Calls the U-Net of another pipeline, which it leaves as it was, along a scheduler's timesteps.

    A capture of it hears what `encode_prompt` encodes and sees the U-Net run in `__call__`, so its trace knows the
    prompt's words, the timesteps and the guidance.

    Args:
        pipe: A pipeline with a U-Net that can take a photo.
        scheduler: Makes the next latent of what the U-Net predicts, its timesteps set. None: no next latent is made.
    """

    def __init__(self, pipe: Any, scheduler: Any = None) -> None:
        self._pipe, self.scheduler = pipe, scheduler
        self.unet: Any
        vars(self).update({name: getattr(pipe, name) for name in _PARTS if hasattr(pipe, name)})

    def encode_prompt(
        self, prompt: str, latent: Tensor, *, guided: bool
    ) -> tuple[Tensor, Tensor | None, Conditions, Conditions | None]:
        """The embeddings of a prompt, those of no text, and all that the U-Net is told for each.

        Args:
            prompt: What the model reads.
            latent: What it sees.
            guided: Whether no text is encoded, too; otherwise there is None of it.
        """
        cond, *others = conditions(self._pipe, prompt, latent, device_of(self._pipe), guided=guided)
        uncond = others[0] if others else None
        return cond.embeddings, uncond.embeddings if uncond is not None else None, cond, uncond

    @torch.no_grad()
    def __call__(
        self,
        prompt: str,
        latent: Tensor,
        timesteps: Tensor | None = None,
        *,
        guidance_scale: float | None = None,
        null_embeddings: Tensor | None = None,
        stepped: Stepped = nothing,
    ) -> list[Tensor]:
        """The latent, and that after each step, float32.

        Args:
            prompt: What the model reads.
            latent: What it sees first.
            timesteps: Of its calls; the scheduler's by default.
            guidance_scale: Of guidance by no text. None: the prompt alone, a single row.
            null_embeddings: What is read in place of no text, (step, token, channel).
            stepped: Called after each step.
        """
        timesteps = self.scheduler.timesteps if timesteps is None else timesteps
        latents = [latent.to(device_of(self._pipe), torch.float32)]
        with without_picture_prompts(self.unet) as pictures:
            *_, cond, uncond = self.encode_prompt(prompt, latent, guided=guidance_scale is not None)
            for number, timestep in enumerate(timesteps):
                if uncond is not None and null_embeddings is not None:
                    uncond = uncond.with_text(null_embeddings[number : number + 1])
                read = cond if uncond is None else uncond.beside(cond)
                predicted = self.predicted(latents[-1], timestep, read, pictures)
                if guidance_scale is not None:
                    without, with_prompt = predicted.chunk(2)
                    predicted = guided(without, with_prompt, guidance_scale)
                if self.scheduler is not None:
                    latents.append(self.next_latent(predicted, timestep, latents[-1]))
                stepped()
        return latents

    def predicted(
        self, latent: Tensor, timestep: Tensor, read: Conditions, pictures: dict[str, Any]
    ) -> Tensor:
        """What the U-Net predicts, float32, a row for each row of the conditions.

        Args:
            latent: One latent.
            timestep: As the U-Net gets it.
            read: What it reads.
            pictures: What it is told of pictures, from `without_picture_prompts`.
        """
        rows = latent.expand(len(read.embeddings), -1, -1, -1).to(self.unet.dtype)
        told = {**read.added, **pictures}
        output = self.unet(
            rows, timestep, encoder_hidden_states=read.embeddings, added_cond_kwargs=told, return_dict=False
        )
        return output[0].float()

    def next_latent(self, predicted: Tensor, timestep: Tensor, latent: Tensor) -> Tensor:
        """The latent after a step.

        Args:
            predicted: By the U-Net, or by guidance.
            timestep: Of the step.
            latent: Before it.
        """
        return self.scheduler.step(predicted, int(timestep), latent, return_dict=False)[0]


def guided(uncond: Tensor, cond: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance.

    Args:
        uncond: Predicted without text.
        cond: Predicted with the prompt.
        scale: 1 is the prompt's prediction alone.
    """
    return uncond + scale * (cond - uncond)
