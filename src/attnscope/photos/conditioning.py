"""What the U-Net is given beside a photo's latent: the prompt, the sizes that SDXL asks for, no picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attnscope.photos.latents import vae_px

AESTHETIC_SCORE = 6.0
"""What the refiner of Stable Diffusion XL is told by default."""
BESIDE = {
    1: "the depth map of a depth model",
    3: "the small picture of an upscaler",
    4: "the picture that InstructPix2Pix edits, or an upscaler's",
    5: "the mask and the masked picture of an inpainting model",
}
"""What a U-Net takes beside the noisy latent, by the number of its further channels."""


def asks_for_more(config: Mapping[str, Any], latent_channels: int) -> str | None:
    """What a U-Net needs that a photo and a prompt do not give, None if they are enough.

    Args:
        config: The U-Net's configuration.
        latent_channels: Channels of the VAE's latent.
    """
    more = config["in_channels"] - latent_channels
    if more:
        what = f", {BESIDE[more]}" if more in BESIDE else ""
        return f"takes {config['in_channels']} channels where the VAE gives {latent_channels}{what}"
    if config.get("class_embed_type") is not None or config.get("num_class_embeds"):
        return (
            f"asks for class labels (class_embed_type {config.get('class_embed_type')!r}, num_class_embeds "
            f"{config.get('num_class_embeds')!r}), such as an upscaler's noise level or unCLIP's picture"
        )
    if config.get("addition_embed_type") not in (None, "text", "text_time"):
        return f"asks for more than a prompt (addition_embed_type {config['addition_embed_type']!r})"
    if config.get("encoder_hid_dim_type") not in (None, "text_proj", "ip_image_proj"):
        return f"asks for more than a prompt (encoder_hid_dim_type {config['encoder_hid_dim_type']!r})"
    return None


class Conditions(NamedTuple):
    """What a U-Net is told.

    Attributes:
        embeddings: Of the text, (row, token, channel).
        added: What SDXL is told besides, with as many rows.
    """

    embeddings: Tensor
    added: dict[str, Tensor]

    def with_text(self, embeddings: Tensor) -> Conditions:
        """The same with other text embeddings.

        Args:
            embeddings: The others, of any type.
        """
        return self._replace(embeddings=embeddings.to(self.embeddings))

    def beside(self, other: Conditions) -> Conditions:
        """These rows, and after them another's.

        Args:
            other: The other.
        """
        added = {name: torch.cat([value, other.added[name]]) for name, value in self.added.items()}
        return Conditions(torch.cat([self.embeddings, other.embeddings]), added)


def conditions(
    pipe: Any, prompt: str, latent: Tensor, device: torch.device, *, guided: bool = False
) -> list[Conditions]:
    """What the U-Net is told of a prompt and, for guidance, what it is told without one, as the pipeline has it.

    Args:
        pipe: A pipeline built like Stable Diffusion v1, v2 or XL.
        prompt: What the model reads.
        latent: What it sees.
        device: Where it runs.
        guided: Whether the second is wanted.
    """
    encoded = pipe.encode_prompt(
        prompt=prompt, device=device, num_images_per_prompt=1, do_classifier_free_guidance=guided
    )
    texts = encoded[: 2 if guided else 1]
    unet_dtype = pipe.unet.dtype
    if pipe.unet.config.get("addition_embed_type") != "text_time":
        return [Conditions(text.to(unet_dtype), {}) for text in texts]
    pooled = [each.to(unet_dtype) for each in encoded[2 : 2 + len(texts)]]
    return [
        Conditions(
            text.to(unet_dtype), {"text_embeds": of_text, "time_ids": _time_ids(pipe, of_text, latent)}
        )
        for text, of_text in zip(texts, pooled, strict=True)
    ]


def _time_ids(pipe: Any, pooled: Tensor, latent: Tensor) -> Tensor:
    """Original size, crop and target size in pixels: the photo as it is seen, uncropped. A refiner gets a score."""
    size = [side * vae_px(pipe) for side in latent.shape[-2:]]
    config = pipe.unet.config
    count = (config["projection_class_embeddings_input_dim"] - pooled.shape[-1]) // config[
        "addition_time_embed_dim"
    ]
    told = [*size, 0, 0, AESTHETIC_SCORE] if count == 5 else [*size, 0, 0, *size]
    return torch.tensor([told], dtype=pooled.dtype, device=pooled.device)


@contextmanager
def without_picture_prompts(unet: Any) -> Iterator[dict[str, Any]]:
    """The U-Net as it is without its IP-Adapters, which are put back when the block is left.

    Their scales are 0, as after `pipe.set_ip_adapter_scale(0)`, so their pictures are not read: zeros stand in.

    Args:
        unet: The U-Net.

    Yields:
        What it has to be told of pictures.
    """
    adapters: list[Any] = [p for p in unet.attn_processors.values() if hasattr(p, "to_k_ip")]
    if not adapters:
        yield {}
        return
    before = [(adapter, adapter.scale) for adapter in adapters]
    projection, unet.encoder_hid_proj = unet.encoder_hid_proj, nn.Identity()
    count = len(before[0][1])
    for adapter in adapters:
        adapter.scale = [0.0] * count
    try:
        yield {"image_embeds": [torch.zeros(1, 1, 1, 1)] * count}
    finally:
        unet.encoder_hid_proj = projection
        for adapter, scale in before:
            adapter.scale = scale
