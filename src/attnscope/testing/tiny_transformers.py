"""Random transformers of diffusers' own classes in whole pipelines, a second each: no weights on disk, no download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from attnscope.testing.tiny_models import KEYS, WORDS, sharpen, tiny_tokenizer

WIDE = 16
"""Channels of a text encoder."""
T5_KEYS = 12
HEADS, HEAD_DIM = 2, 8
_LATENT_CHANNELS = 4


def tiny_t5_tokenizer(keys: int = T5_KEYS) -> Any:
    """T5's tokenizer with a vocabulary of a few words and letters.

    Args:
        keys: Tokens that it pads a prompt to where a pipeline names no number.
    """
    from transformers import T5Tokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0)]
    words = [("▁" + word, -1.0) for word in WORDS]
    letters = [(letter, -9.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    return T5Tokenizer(vocab=special + words + letters, extra_ids=0, model_max_length=keys)


def tiny_t5_encoder(wide: int = WIDE) -> Any:
    """T5's encoder.

    Args:
        wide: Its channels.
    """
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=64, d_model=wide, d_ff=16, d_kv=8, num_heads=2, num_layers=1, decoder_start_token_id=0
    )
    return T5EncoderModel(config).eval()


def tiny_clip_encoder(tokenizer: Any, *, projection: bool = False) -> Any:
    """CLIP's text encoder.

    Args:
        tokenizer: Its tokenizer.
        projection: Whether it projects its pooled output.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDE, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        projection_dim=WIDE, max_position_embeddings=KEYS, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def tiny_vae(channels: int = _LATENT_CHANNELS, **changes: Any) -> Any:
    """An autoencoder of 8 pixels to a latent place.

    Args:
        channels: Of the latent.
        **changes: Options of diffusers' AutoencoderKL to change.
    """
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    settings = {
        "block_out_channels": (4, 8, 8, 8), "norm_num_groups": 2, "latent_channels": channels, "sample_size": 128,
        "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    }  # fmt: skip
    return AutoencoderKL(**{**settings, **changes}).eval()


def tiny_sd3(folder: Path, **changes: Any) -> Any:
    """A StableDiffusion3Pipeline with three blocks, the second with an attention of the image to itself (as in 3.5).

    Args:
        folder: Where the tokenizer's files are written.
        **changes: Options of diffusers' SD3Transformer2DModel to change.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    clip = tiny_tokenizer(folder / "tokenizer")
    settings = {
        "sample_size": 16, "patch_size": 2, "in_channels": 4, "num_layers": 3, "num_attention_heads": HEADS,
        "attention_head_dim": HEAD_DIM, "joint_attention_dim": 2 * WIDE, "caption_projection_dim": HEADS * HEAD_DIM,
        "pooled_projection_dim": 2 * WIDE, "out_channels": 4, "pos_embed_max_size": 32, "dual_attention_layers": (1,),
        "qk_norm": "rms_norm",
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(**{**settings, **changes}).eval()
    pipe = StableDiffusion3Pipeline(
        transformer=_sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=_shifted_vae(),
        text_encoder=tiny_clip_encoder(clip, projection=True), tokenizer=clip,
        text_encoder_2=tiny_clip_encoder(clip, projection=True), tokenizer_2=clip,
        text_encoder_3=tiny_t5_encoder(2 * WIDE), tokenizer_3=tiny_t5_tokenizer(),
    )  # fmt: skip
    return _quiet(pipe)


def tiny_flux(folder: Path, **changes: Any) -> Any:
    """A FluxPipeline with two double and two single blocks.

    Args:
        folder: Where the tokenizer's files are written.
        **changes: Options of diffusers' FluxTransformer2DModel to change.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    clip = tiny_tokenizer(folder / "tokenizer")
    settings = {
        "patch_size": 1, "in_channels": 4 * _LATENT_CHANNELS, "num_layers": 2, "num_single_layers": 2,
        "attention_head_dim": HEAD_DIM, "num_attention_heads": HEADS, "joint_attention_dim": 2 * WIDE,
        "pooled_projection_dim": WIDE, "axes_dims_rope": (2, 2, 4), "guidance_embeds": False,
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(**{**settings, **changes}).eval()
    pipe = FluxPipeline(
        transformer=_sharp(transformer), scheduler=FlowMatchEulerDiscreteScheduler(), vae=_shifted_vae(),
        text_encoder=tiny_clip_encoder(clip), tokenizer=clip,
        text_encoder_2=tiny_t5_encoder(2 * WIDE), tokenizer_2=tiny_t5_tokenizer(),
    )  # fmt: skip
    return _quiet(pipe)


def tiny_pixart(folder: Path, **changes: Any) -> Any:
    """A PixArtAlphaPipeline with two blocks.

    Args:
        folder: Not used; other pipelines write their tokenizer there.
        **changes: Options of diffusers' PixArtTransformer2DModel to change.
    """
    from diffusers import DDIMScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel

    settings = {
        "sample_size": 16, "num_layers": 2, "patch_size": 2, "attention_head_dim": HEAD_DIM,
        "num_attention_heads": HEADS, "caption_channels": 2 * WIDE, "in_channels": 4, "cross_attention_dim": 16,
        "out_channels": 8, "attention_bias": True, "activation_fn": "gelu-approximate", "num_embeds_ada_norm": 1000,
        "norm_type": "ada_norm_single", "norm_elementwise_affine": False, "norm_eps": 1e-6,
        "use_additional_conditions": False,
    }  # fmt: skip
    torch.manual_seed(0)
    transformer = PixArtTransformer2DModel(**{**settings, **changes}).eval()
    pipe = PixArtAlphaPipeline(
        transformer=_sharp(transformer), scheduler=DDIMScheduler(), vae=tiny_vae(),
        text_encoder=tiny_t5_encoder(2 * WIDE), tokenizer=tiny_t5_tokenizer(),
    )  # fmt: skip
    return _quiet(pipe)


def _shifted_vae() -> Any:
    return tiny_vae(shift_factor=0.0609, scaling_factor=1.5305)


def _sharp(transformer: Any) -> Any:
    """Weights that a fresh model has as zeros made random, and attention far from even."""
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.count_nonzero() == 0:
                parameter.normal_(std=0.2)
        for name, parameter in transformer.named_parameters():
            if name.endswith(("norm_q.weight", "norm_added_q.weight")):
                parameter.mul_(6)
    sharpen(transformer)
    return transformer


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe
