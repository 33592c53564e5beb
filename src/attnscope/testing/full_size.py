"""The U-Nets of Stable Diffusion v1, v2 and XL at full size with random weights, made in seconds."""

from __future__ import annotations

from typing import Any

import torch

from attnscope.atlas.known import UNETS


def full_size_unet(
    name: str, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, **changes
):
    """A U-Net of Stable Diffusion at full size, with random weights that are the same each time.

    Args:
        name: 'sd1', 'sd2-base', 'sd2', 'sdxl' or any other name of a U-Net.
        device: Where it is made. On 'meta' it has shapes only.
        dtype: Type of the weights.
        **changes: Options of diffusers' UNet2DConditionModel to change.
    """
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**{**UNETS[name], **changes}).eval().to(dtype)
    if torch.device(device).type == "meta":
        return unet
    unet.to_empty(device=device)
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for path, parameter in unet.named_parameters():
            fill(path, parameter, generator)
    return unet


def fill(path: str, parameter: torch.Tensor, generator: torch.Generator) -> None:
    """Fill a weight so that variance is kept from layer to layer. Queries are large, so attention is far from even.

    Args:
        path: The parameter's name.
        parameter: The weight, filled in place.
        generator: Source of the random numbers.
    """
    if parameter.ndim < 2:
        parameter.fill_(1.0 if path.endswith("weight") else 0.0)
        return
    spread = parameter[0].numel() ** -0.5 * (4 if path.endswith("to_q.weight") else 1)
    parameter.uniform_(-1.7 * spread, 1.7 * spread, generator=generator)


def inputs(unet, *, height: int, width: int, rows: int = 1, tokens: int = 77) -> tuple[Any, ...]:
    """Arguments for one call of a U-Net: sample, timestep and text, and what SDXL needs besides.

    Args:
        unet: From `full_size_unet`.
        height: Height of the latent.
        width: Width of the latent.
        rows: Rows of the batch.
        tokens: Text tokens.
    """
    weights = next(unet.parameters())
    config, on = unet.config, {"device": weights.device, "dtype": weights.dtype}
    generator = None if weights.is_meta else torch.Generator(weights.device).manual_seed(1)
    sample = torch.randn(rows, config.in_channels, height, width, generator=generator, **on)
    text = torch.randn(rows, tokens, config.cross_attention_dim, generator=generator, **on)
    if config.addition_embed_type is None:
        return sample, 300, text
    pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    more = {"text_embeds": torch.ones(rows, pooled, **on), "time_ids": torch.ones(rows, 6, **on)}
    return sample, 300, text, None, None, None, None, more
