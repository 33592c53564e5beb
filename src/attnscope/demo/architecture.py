"""The demo model's parts: the layout of Stable Diffusion v1, small enough to train on a laptop.

Sixteen transformer blocks, self- and cross-attention with eight heads in each, an 8x VAE, 77 tokens. At 256x256
pixels the grids are 32, 16, 8 and 4, where SD v1 has 64, 32, 16 and 8 at 512x512.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from attnscope.demo.scenes import WORDS
from attnscope.demo.vocabulary import CONTEXT_TOKENS, write_tokenizer

PICTURE_PX = 256
LATENT_PX = 8
"""Side of the square of pixels that one latent position stands for."""
TEXT_WIDTH = 64
HEADS = 8

SHARPER = 2.0
"""Query and key weights start this many times larger than usual, so that attention has contrasts to learn."""


def new_tokenizer() -> CLIPTokenizer:
    """The tokenizer of the picture-book world."""
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder), WORDS)
        return CLIPTokenizer.from_pretrained(folder)


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """CLIP's text transformer with one layer; 0.1 M parameters.

    Args:
        tokenizer: From `new_tokenizer`. It gives the size of the vocabulary and the special tokens.
    """
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=1,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def new_vae() -> AutoencoderKL:
    """Stable Diffusion's autoencoder without attention; 0.8 M parameters. Training makes its latents white."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 48, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=PICTURE_PX,
        scaling_factor=1.0,
    )


def new_unet() -> UNet2DConditionModel:
    """SD v1's U-Net with 32 to 96 channels in place of 320 to 1280; 5.5 M parameters."""
    unet = UNet2DConditionModel(
        sample_size=PICTURE_PX // LATENT_PX,
        block_out_channels=(32, 64, 96, 96),
        layers_per_block=2,
        attention_head_dim=HEADS,  # diffusers' old name for the number of heads, as in SD v1's own config
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=8,
    )
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if name.endswith(("to_q.weight", "to_k.weight")):
                weight *= SHARPER
    return unet


def new_scheduler() -> DDIMScheduler:
    """SD's noise schedule; the network predicts v (Salimans & Ho 2022)."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def untrained_pipeline(seed: int = 0) -> StableDiffusionPipeline:
    """The whole pipeline with random weights: training starts here, and evaluation compares with it.

    Args:
        seed: Seed of the weights. torch's own random state stays as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = new_tokenizer()
        return StableDiffusionPipeline(
            vae=new_vae(),
            text_encoder=new_text_encoder(tokenizer),
            tokenizer=tokenizer,
            unet=new_unet(),
            scheduler=new_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
