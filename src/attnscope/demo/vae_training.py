"""Train the autoencoder: colours of things first, then edges; then make its latents white."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from jaxtyping import Float, UInt8
from torch import Tensor

from attnscope.demo.truth import Truth

CROP_PX = 96
THING_WEIGHT = 2.0
"""Extra weight of pixels that show a thing: plain error confuses blue with teal and yellow with orange."""
LOW_PASS_WEIGHT = 2.0
EDGE_WEIGHT = 0.5
KL_WEIGHT = 2e-4
COLOUR_WEIGHT = 1.0
COLOUR_GAIN = 4.0
"""Three latent channels are drawn towards this many times the cell's mean colour. Without that, so small and so
briefly trained an autoencoder finds light and one axis of colour, and paints grass and sea alike."""
LATENT_NOISE = 0.05
"""Noise added to latents in training, as a share of their deviation: the U-Net's latents are not exact either."""


@dataclass(frozen=True)
class Pictures:
    """A pool of drawn pictures.

    Attributes:
        pixels: sRGB, 0..255.
        things: Share of things in each cell of 8 pixels, 0..255.
    """

    pixels: UInt8[Tensor, "n 3 side side"]
    things: UInt8[Tensor, "n h w"]


def gather(truths: Iterator[Truth]) -> Pictures:
    """Stack drawn scenes into a pool.

    Args:
        truths: The scenes.
    """
    drawn = [(torch.from_numpy(t.pixels).permute(2, 0, 1), torch.from_numpy(t.things)) for t in truths]
    return Pictures(
        torch.stack([pixels for pixels, _ in drawn]), torch.stack([things for _, things in drawn])
    )


def crops(
    pool: Pictures, batch: int, device: torch.device
) -> tuple[Float[Tensor, "b 3 p p"], Float[Tensor, "b 1 p p"]]:
    """Random crops in -1..1, and each pixel's weight. Every third batch is whole pictures at half size.

    Args:
        pool: The pictures.
        batch: How many crops.
        device: Where to put them.
    """
    index = torch.randint(len(pool.pixels), (batch,))
    pixels = pool.pixels[index].to(device).float() / 127.5 - 1
    cell_px = pixels.shape[-1] // pool.things.shape[-1]
    things = pool.things[index, None].to(device).float() / 255
    things = things.repeat_interleave(cell_px, -1).repeat_interleave(cell_px, -2)
    if torch.rand(()) < 1 / 3:
        pixels, things = F.avg_pool2d(pixels, 2), F.avg_pool2d(things, 2)
    else:
        top, left = torch.randint(pixels.shape[-1] - CROP_PX + 1, (2,)).tolist()
        area = (..., slice(top, top + CROP_PX), slice(left, left + CROP_PX))
        pixels, things = pixels[area], things[area]
    if torch.rand(()) < 0.5:
        pixels, things = pixels.flip(-1), things.flip(-1)
    return pixels, 1 + THING_WEIGHT * things


def reconstruction_loss(decoded: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Error of pixels (weighted, absolute and squared), of blurred colours, and of differences between neighbours.

    Args:
        decoded: What the autoencoder made, -1..1.
        wanted: The pictures, -1..1.
        weight: Weight of each pixel.
    """
    error = decoded - wanted
    pixel = (weight * (error.abs() + error.square())).mean() / weight.mean()
    low_pass = (F.avg_pool2d(weight, 8) * F.avg_pool2d(error, 8).abs()).mean() / weight.mean()
    edge = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return pixel + LOW_PASS_WEIGHT * low_pass + EDGE_WEIGHT * edge


def vae_loss(vae: AutoencoderKL, pixels: Tensor, weight: Tensor) -> Tensor:
    """Loss of one batch. Latents are drawn from the posterior and shaken a little.

    Args:
        vae: The autoencoder.
        pixels: The pictures, -1..1.
        weight: Weight of each pixel.
    """
    posterior = vae.encode(pixels).latent_dist
    latents = posterior.sample()
    latents = latents + LATENT_NOISE * latents.std().detach() * torch.randn_like(latents)
    decoded = vae.decode(latents).sample
    kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
    colour = F.avg_pool2d(pixels, pixels.shape[-1] // latents.shape[-1])
    colour_error = (posterior.mean[:, :3] / COLOUR_GAIN - colour).square().mean()
    return reconstruction_loss(decoded, pixels, weight) + KL_WEIGHT * kl + COLOUR_WEIGHT * colour_error


def decoder_loss(vae: AutoencoderKL, pixels: Tensor, weight: Tensor) -> Tensor:
    """Loss of one batch for the decoder alone, on slightly shaken latents.

    Args:
        vae: The autoencoder.
        pixels: The pictures, -1..1.
        weight: Weight of each pixel.
    """
    with torch.no_grad():
        latents = vae.encode(pixels).latent_dist.mode()
        latents = latents + LATENT_NOISE * latents.std() * torch.randn_like(latents)
    return reconstruction_loss(vae.decode(latents).sample, pixels, weight)


@torch.no_grad()
def whiten(vae: AutoencoderKL, latents: Float[Tensor, "n channel h w"]) -> None:
    """Give each latent channel mean 0 and deviation 1, by changing the 1x1 convolutions on both sides of the latents.

    Args:
        vae: The autoencoder, which is changed.
        latents: Latents to measure.
    """
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    before, after = vae.quant_conv, vae.post_quant_conv
    channels = len(mean)
    before.weight[:channels] /= std[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - mean) / std
    before.bias[channels:] -= 2 * std.log()
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight *= std[None, :, None, None]


@torch.no_grad()
def encode(
    vae: AutoencoderKL, pixels: UInt8[Tensor, "n 3 side side"], batch: int = 32
) -> Float[Tensor, "n channel h w"]:
    """The mean latents of pictures, on the CPU.

    Args:
        vae: The autoencoder.
        pixels: sRGB, 0..255.
        batch: Pictures at a time.
    """
    parts = [
        vae.encode(p.to(vae.device).float() / 127.5 - 1).latent_dist.mean.cpu() for p in pixels.split(batch)
    ]
    return torch.cat(parts) * vae.config.scaling_factor
