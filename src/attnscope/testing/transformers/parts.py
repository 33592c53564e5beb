"""Text encoders, tokenizers and autoencoders of tiny pipelines."""

from __future__ import annotations

from typing import Any

import torch

from attnscope.testing.tiny_models import KEYS, WORDS, sharpen

WIDE = 16
"""Channels of a text encoder."""
T5_KEYS = 12
HEADS, HEAD_DIM = 2, 8
LATENT_CHANNELS = 4


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


def tiny_vae(channels: int = LATENT_CHANNELS, **changes: Any) -> Any:
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


def shifted_vae() -> Any:
    """An autoencoder with a shift, as Stable Diffusion 3 and Flux have."""
    return tiny_vae(shift_factor=0.0609, scaling_factor=1.5305)


def sharp(transformer: Any) -> Any:
    """Weights that a fresh model has as zeros made random, and attention far from even.

    Args:
        transformer: Changed in place.
    """
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.count_nonzero() == 0:
                parameter.normal_(std=0.2)
        for name, parameter in transformer.named_parameters():
            if name.endswith(("norm_q.weight", "norm_added_q.weight")):
                parameter.mul_(4)
    sharpen(transformer)
    return transformer


def quiet(pipe: Any) -> Any:
    """A pipeline without a progress bar.

    Args:
        pipe: Changed in place.
    """
    pipe.set_progress_bar_config(disable=True)
    return pipe
