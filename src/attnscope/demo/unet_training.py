"""One training step of U-Net and text encoder: v-prediction, with attention held to the scene's masks.

Some scenes come without noise, and some of those with a caption whose colours have changed places: a thing's
word has to find the thing then, not its colour. Neither counts in the denoising loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attnscope.demo.attention_losses import cross_loss, self_loss, taping
from attnscope.demo.latent_pool import CaptionIds, LatentPool

CROSS_WEIGHT = 0.15
SELF_WEIGHT = 1.5
THING_WEIGHT = 1.5
"""Extra weight of latent cells that show a thing."""
NO_CAPTION_SHARE = 0.1
CLEAN_SHARE = 0.2
"""Share of scenes seen without noise, as DiffSeg shows pictures to the network; half of them without caption."""
CLEAN_TIMESTEPS = (200, 401)
RECOLOURED_SHARE = 0.7
"""Share of the scenes without noise and with caption."""


@dataclass(frozen=True)
class Losses:
    """The losses of one step.

    Attributes:
        total: What is minimised.
        denoising: Unweighted, as the next two.
        self_attention: See `attention_losses.self_loss`.
        cross_attention: See `attention_losses.cross_loss`.
    """

    total: Tensor
    denoising: Tensor
    self_attention: Tensor
    cross_attention: Tensor


@dataclass(frozen=True)
class Noised:
    """A batch as the network gets it.

    Attributes:
        sample: Latents with their noise.
        timestep: One for each scene.
        target: The velocity to predict.
        told: Scenes whose caption is shown.
        clean: Scenes without noise.
        recoloured: Scenes whose caption names wrong colours.
    """

    sample: Float[Tensor, "batch channel h w"]
    timestep: Int[Tensor, batch]
    target: Float[Tensor, "batch channel h w"]
    told: Bool[Tensor, batch]
    clean: Bool[Tensor, batch]
    recoloured: Bool[Tensor, batch]


def noised(latents: Float[Tensor, "batch channel h w"], scheduler: DDIMScheduler) -> Noised:
    """Add noise at stratified timesteps, one stratum a scene. A share of the batch stays clean, around timestep 300.

    Args:
        latents: The batch.
        scheduler: Gives noise and velocity.
    """
    count, device = len(latents), latents.device
    steps = scheduler.config.num_train_timesteps
    strata = torch.randperm(count, device=device) + torch.rand(count, device=device)
    timestep = (strata / count * steps).long().clamp(max=steps - 1)
    clean = torch.rand(count, device=device) < CLEAN_SHARE
    timestep = torch.where(clean, torch.randint(*CLEAN_TIMESTEPS, (count,), device=device), timestep)
    noise = torch.randn_like(latents)
    mixed = scheduler.add_noise(latents, noise, timestep)
    told = torch.rand(count, device=device) >= torch.where(clean, 0.5, NO_CAPTION_SHARE)
    target = scheduler.get_velocity(latents, noise, timestep)
    recoloured = clean & told & (torch.rand(count, device=device) < RECOLOURED_SHARE)
    sample = torch.where(clean[:, None, None, None], latents, mixed)
    return Noised(sample, timestep, target, told, clean, recoloured)


def recolour(
    tokens: Int[Tensor, "batch token"], colours: Int[Tensor, colour], chosen: Bool[Tensor, batch]
) -> Int[Tensor, "batch token"]:
    """Let the colours of some captions change places. Where that changes nothing, another colour is drawn.

    Args:
        tokens: The captions, on the CPU: it goes row by row, and a GPU would be waited for at each.
        colours: Token ids of all colours.
        chosen: Which captions to change.
    """
    tokens = tokens.clone()
    for row in torch.nonzero(chosen).flatten().tolist():
        places = torch.nonzero(torch.isin(tokens[row], colours)).flatten()
        named = tokens[row, places]
        number = (named[:, None] == colours).int().argmax(1)
        others = number + torch.randint(1, len(colours), named.shape, device=tokens.device)
        tokens[row, places] = torch.where(
            named.roll(1) == named, colours[others % len(colours)], named.roll(1)
        )
    return tokens


def losses(pipe: StableDiffusionPipeline, batch: LatentPool, ids: CaptionIds, *, supervised: bool) -> Losses:
    """The losses of a batch.

    Args:
        pipe: The pipeline in training.
        batch: The batch.
        ids: Token ids that replace others.
        supervised: Count the attention losses in the total.
    """
    noisy = noised(batch.latents, pipe.scheduler)
    recoloured = recolour(batch.tokens.cpu(), ids.colours.cpu(), noisy.recoloured.cpu()).to(
        batch.tokens.device
    )
    tokens = torch.where(noisy.told[:, None], recoloured, ids.empty)
    text = pipe.text_encoder(tokens).last_hidden_state
    parts = batch.parts.float() / batch.parts.sum(1, keepdim=True).clamp(min=1)
    with taping(pipe.unet, parts) as tape:
        predicted = pipe.unet(noisy.sample, noisy.timestep, encoder_hidden_states=text).sample
    weight = (1 + THING_WEIGHT * batch.things[:, None].float() / 255) * (~noisy.clean[:, None, None, None])
    denoising = (weight * (predicted - noisy.target).square()).mean() / weight.mean().clamp(min=1e-3)
    trust = signal(noisy, pipe.scheduler)
    on_self = self_loss(tape, trust)
    on_cross = cross_loss(tape, _meant(batch.words, tokens, batch.tokens), trust)
    total = denoising + (SELF_WEIGHT * on_self + CROSS_WEIGHT * on_cross if supervised else 0)
    return Losses(total, denoising.detach(), on_self.detach(), on_cross.detach())


def signal(noisy: Noised, scheduler: DDIMScheduler) -> Float[Tensor, batch]:
    """How far a noisy latent can be believed: sqrt(alpha-bar), and 1 for clean ones. Noise has no segments.

    Args:
        noisy: The batch as the network gets it.
        scheduler: Gives alpha-bar.
    """
    alphas = scheduler.alphas_cumprod.to(noisy.timestep.device)[noisy.timestep]
    return torch.where(noisy.clean, 1.0, alphas.sqrt())


def _meant(
    words: Int[Tensor, "batch word 2"], shown: Int[Tensor, "batch token"], true: Int[Tensor, "batch token"]
) -> Int[Tensor, "n 3"]:
    """(row, token position, part) of the words that the shown caption has in common with the true one."""
    at = words[..., 0].clamp(min=0)
    row, place = torch.nonzero((words[..., 0] >= 0) & (shown == true).gather(1, at), as_tuple=True)
    return torch.cat([row[:, None], words[row, place]], dim=1)
