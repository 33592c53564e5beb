"""The U-Nets of Stable Diffusion v1 and v2 at full size with random weights, made in seconds."""

from __future__ import annotations

import torch

from attnscope.atlas.known import UNETS


def full_size_unet(name: str, *, device: str = "cpu", **changes):
    """name: 'sd1', 'sd2-base' or 'sd2'. On the device 'meta' it has shapes only."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**{**UNETS[name], **changes}).eval()
    if device == "meta":
        return unet
    unet.to_empty(device=device)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for path, parameter in unet.named_parameters():
            fill(path, parameter, generator)
    return unet


def fill(path: str, parameter: torch.Tensor, generator: torch.Generator) -> None:
    """Variance is kept from layer to layer; queries are large, so that attention is far from even."""
    if parameter.ndim < 2:
        parameter.fill_(1.0 if path.endswith("weight") else 0.0)
        return
    spread = parameter[0].numel() ** -0.5 * (4 if path.endswith("to_q.weight") else 1)
    parameter.uniform_(-1.7 * spread, 1.7 * spread, generator=generator)


def inputs(unet, *, height: int, width: int, rows: int = 1, tokens: int = 77):
    """(sample, timestep, text) for one call; height and width of the latent."""
    device = next(unet.parameters()).device
    generator = None if device.type == "meta" else torch.Generator().manual_seed(1)
    sample = torch.randn(rows, unet.config.in_channels, height, width, device=device, generator=generator)
    text = torch.randn(rows, tokens, unet.config.cross_attention_dim, device=device, generator=generator)
    return sample, 300, text
