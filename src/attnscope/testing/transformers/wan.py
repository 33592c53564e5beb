"""A tiny Wan, also with a picture and of two models, and a tiny SkyReels V2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from attnscope.testing.transformers.parts import (
    HEADS,
    LATENT_CHANNELS,
    WIDE,
    quiet,
    sharp,
    tiny_t5_encoder,
    tiny_t5_tokenizer,
)

_TIME = {"text_dim": 2 * WIDE, "freq_dim": 8, "ffn_dim": 16, "num_layers": 2, "rope_max_seq_len": 32}


def tiny_wan(folder: Path, **changes: Any) -> Any:
    """A WanPipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' WanTransformer3DModel to change.
    """
    from diffusers import WanPipeline

    return quiet(WanPipeline(transformer=_transformer("WanTransformer3DModel", changes), **_others()))


def tiny_wan_of_two(folder: Path) -> Any:
    """A WanPipeline with another model for the later steps, as Wan 2.2 has.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
    """
    from diffusers import WanPipeline

    first, second = (_transformer("WanTransformer3DModel", {"num_layers": count}) for count in (2, 3))
    return quiet(WanPipeline(transformer=first, transformer_2=second, boundary_ratio=0.9, **_others()))


def tiny_wan_with_picture(folder: Path) -> Any:
    """A WanImageToVideoPipeline, whose cross-attention is over a picture's tokens, too.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
    """
    from diffusers import WanImageToVideoPipeline
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    vision = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    transformer = _transformer(
        "WanTransformer3DModel",
        {"in_channels": 2 * LATENT_CHANNELS + 4, "image_dim": 8, "added_kv_proj_dim": HEADS * WIDE},
    )
    torch.manual_seed(0)
    sizes = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    pipe = WanImageToVideoPipeline(
        transformer=transformer,
        image_encoder=CLIPVisionModel(vision).eval(),
        image_processor=CLIPImageProcessor(**sizes),
        **_others(),
    )
    return quiet(pipe)


def tiny_skyreels2(folder: Path, **changes: Any) -> Any:
    """A SkyReelsV2Pipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' SkyReelsV2Transformer3DModel to change.
    """
    from diffusers import SkyReelsV2Pipeline

    others = _others()
    return quiet(
        SkyReelsV2Pipeline(transformer=_transformer("SkyReelsV2Transformer3DModel", changes), **others)
    )


def _transformer(kind: str, changes: dict[str, Any]) -> Any:
    import diffusers

    settings = {
        "num_attention_heads": HEADS, "attention_head_dim": WIDE, "in_channels": LATENT_CHANNELS,
        "out_channels": LATENT_CHANNELS, **_TIME,
    }  # fmt: skip
    torch.manual_seed(0)
    return sharp(getattr(diffusers, kind)(**{**settings, **changes}).eval())


def _others() -> dict[str, Any]:
    from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler

    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=4, z_dim=LATENT_CHANNELS, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
        latents_mean=[0.0] * LATENT_CHANNELS, latents_std=[1.0] * LATENT_CHANNELS,
    )  # fmt: skip
    return {
        "vae": vae.eval(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "text_encoder": tiny_t5_encoder(2 * WIDE, "UMT5"),
        "tokenizer": tiny_t5_tokenizer(),
    }
