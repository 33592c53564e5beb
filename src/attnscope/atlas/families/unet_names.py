"""U-Nets that are known by name. Their options are those of the released unet/config.json that decide attention."""

from __future__ import annotations

from collections.abc import Mapping

from attnscope.atlas.families.planning import Config, Known

_SD1: Config = {
    "sample_size": 64,
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
_SD2_BASE: Config = {**_SD1, "attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024}
_SD2: Config = {**_SD2_BASE, "sample_size": 96}
_SDXL: Config = {
    "sample_size": 128,
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2],
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": [*["CrossAttnUpBlock2D"] * 2, "UpBlock2D"],
    "block_out_channels": [320, 640, 1280],
    "layers_per_block": 2,
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_SDXL_REFINER: Config = {
    **_SDXL,
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 2, "UpBlock2D"],
    "block_out_channels": [384, 768, 1536, 1536],
    "transformer_layers_per_block": 4,
    "attention_head_dim": [6, 12, 24, 24],
    "cross_attention_dim": 1280,
    "projection_class_embeddings_input_dim": 2560,
}
_SDXL_TURBO: Config = {**_SDXL, "sample_size": 64}


def _of_owners(*names: str) -> tuple[str, ...]:
    """Ids of a Stable Diffusion v2, under the living owner and the one that it was published by."""
    return tuple(f"{owner}/{name}" for owner in ("sd2-community", "stabilityai") for name in names)


KNOWN: Mapping[str, Known] = {
    "sd1": Known(
        _SD1,
        (
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            "runwayml/stable-diffusion-v1-5",
            *(f"CompVis/stable-diffusion-v1-{number}" for number in (1, 2, 3, 4)),
        ),
    ),
    "sd2-base": Known(_SD2_BASE, _of_owners("stable-diffusion-2-1-base", "stable-diffusion-2-base")),
    "sd2": Known(_SD2, _of_owners("stable-diffusion-2-1", "stable-diffusion-2")),
    "sdxl": Known(_SDXL, ("stabilityai/stable-diffusion-xl-base-1.0",)),
    "sdxl-refiner": Known(_SDXL_REFINER, ("stabilityai/stable-diffusion-xl-refiner-1.0",)),
    "sdxl-turbo": Known(_SDXL_TURBO, ("stabilityai/sdxl-turbo",)),
}
