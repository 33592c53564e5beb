"""Tiny random components that pipelines are put together from. Pictures are 64x96 and latents 8x12, so that what is
turned by mistake is seen."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from PIL import Image
from torch import nn
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from attnscope.testing.tiny_models import KEYS, sharpen, tiny_tokenizer

HEIGHT, WIDTH = 64, 96
WIDE = 16  # channels of every embedding
RANK = 2  # of LoRAs


@functools.cache
def tokenizer() -> Any:
    """CLIP's, with a vocabulary in which the words of the prompts are one token each."""
    with tempfile.TemporaryDirectory() as folder:
        return tiny_tokenizer(Path(folder))


def text_encoder(*, projection: bool = False, wide: int = WIDE, layers: int = 2, **changes: Any) -> Any:
    """CLIP's text encoder.

    Args:
        projection: With the projection to a common space, as SDXL's second one has it.
        wide: Channels.
        layers: Layers.
        **changes: Options of CLIPTextConfig to change.
    """
    known = tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(known), hidden_size=wide, intermediate_size=32, num_hidden_layers=layers, num_attention_heads=2,
        max_position_embeddings=KEYS, bos_token_id=known.bos_token_id, eos_token_id=known.eos_token_id,
        pad_token_id=known.pad_token_id, projection_dim=wide, **changes,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def vae(**changes: Any) -> Any:
    """A VAE of 8 pixels a place.

    Args:
        **changes: Options of AutoencoderKL to change.
    """
    settings = {
        "block_out_channels": (4, 8, 8, 8), "norm_num_groups": 2, "latent_channels": 4, "sample_size": 64,
        "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    }  # fmt: skip
    return AutoencoderKL(**{**settings, **changes}).eval()


SMALL: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": WIDE,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}


def unet(**changes: Any) -> Any:
    """Stable Diffusion's U-Net with two levels, four blocks and queries that are far from even.

    Args:
        **changes: Options of UNet2DConditionModel to change.
    """
    return sharp(UNet2DConditionModel(**{**SMALL, **changes}))


def sharp(model: Any) -> Any:
    """A model whose attention is far from even, ready to run.

    Args:
        model: A denoising model.
    """
    sharpen(model)
    return model.eval()


def controlnet(kind: Any = ControlNetModel, **changes: Any) -> Any:
    """A ControlNet for `unet`.

    Args:
        kind: Its class.
        **changes: Its options to change.
    """
    settings = {key: SMALL[key] for key in SMALL if key not in ("sample_size", "up_block_types")}
    return kind(**{**settings, "conditioning_embedding_out_channels": (4, 8, 8, 8), **changes}).eval()


def image_encoder(*, wide: int = WIDE, size: int = 32, patch: int = 8) -> Any:
    """CLIP's image encoder.

    Args:
        wide: Channels of what it gives.
        size: Height and width of its pictures.
        patch: Height and width of a patch.
    """
    config = CLIPVisionConfig(
        hidden_size=WIDE, projection_dim=wide, intermediate_size=32, num_attention_heads=2, num_hidden_layers=2,
        image_size=size, patch_size=patch,
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config).eval()


def image_processor(size: int = 32) -> Any:
    """What cuts pictures for `image_encoder`.

    Args:
        size: Height and width.
    """
    return CLIPImageProcessor(crop_size={"height": size, "width": size}, size={"shortest_edge": size})


def scheduler(kind: Any = DDIMScheduler, **changes: Any) -> Any:
    """A scheduler with Stable Diffusion's noise.

    Args:
        kind: Its class.
        **changes: Its options to change.
    """
    return kind(**{"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, **changes})


def stable_diffusion(kind: Any, **changes: Any) -> Any:
    """A pipeline of the Stable Diffusion family.

    Args:
        kind: Its class.
        **changes: Components to change or to add.
    """
    components = {
        "vae": vae,
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "unet": unet,
        "scheduler": scheduler,
    }
    made = {name: make() for name, make in components.items() if name not in changes}
    return kind(**made, **{"safety_checker": None, "feature_extractor": None, **changes})


def bare(kind: Any, **changes: Any) -> Any:
    """As `stable_diffusion`, for pipelines without a safety checker and a feature extractor.

    Args:
        kind: The pipeline's class.
        **changes: Components to change or to add.
    """
    components = {
        "vae": vae,
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "unet": unet,
        "scheduler": scheduler,
    }
    made = {name: make() for name, make in components.items() if name not in changes}
    return kind(**made, **changes)


class LoraLinear(nn.Linear):
    """A layer and two small matrices beside it, whose own weight stays in sight, as in PEFT's layers."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__(base.in_features, base.out_features, base.bias is not None)
        self.load_state_dict(base.state_dict())
        self.down = nn.Linear(base.in_features, RANK, bias=False)
        self.up = nn.Linear(RANK, base.out_features, bias=False)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return super().forward(x) + self.up(self.down(x))


def add_lora(model: nn.Module) -> None:
    """Low-rank layers beside all projections to queries and keys.

    Args:
        model: A denoising model, which is changed.
    """
    torch.manual_seed(0)
    for module in list(model.modules()):
        for name in ("to_q", "to_k", "add_q_proj", "add_k_proj"):
            if isinstance(base := getattr(module, name, None), nn.Linear):
                setattr(module, name, LoraLinear(base).to(base.weight))


SDXL_UNET: dict[str, Any] = {
    "cross_attention_dim": 2 * WIDE,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": WIDE + 6 * 8,
    "use_linear_projection": True,
    "transformer_layers_per_block": (1, 2),
}


def stable_diffusion_xl(kind: Any, *, unet_options: Any = None, **changes: Any) -> Any:
    """A pipeline of the SDXL family.

    Args:
        kind: Its class.
        unet_options: Options of its U-Net to change.
        **changes: Components to change or to add.
    """
    made = {
        "vae": vae(), "text_encoder": text_encoder(), "text_encoder_2": text_encoder(projection=True),
        "tokenizer": tokenizer(), "tokenizer_2": tokenizer(), "scheduler": scheduler(),
        "unet": unet(**{**SDXL_UNET, **(unet_options or {})}),
    }  # fmt: skip
    return kind(**{**made, **changes})


def generator(seed: int = 0) -> Any:
    """A fresh generator of one seed."""
    return torch.Generator().manual_seed(seed)


def picture(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> Image.Image:
    """A picture of coloured patches."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.NEAREST)


def mask(height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    """White on the left half of a picture."""
    pixels = np.zeros((height, width), dtype=np.uint8)
    pixels[:, : width // 2] = 255
    return Image.fromarray(pixels)


def pixels(made: Any) -> Any:
    """The first of what a pipeline gives back: pictures, frames, sound."""
    return made[0] if isinstance(made, (tuple, list)) else made.to_tuple()[0]
