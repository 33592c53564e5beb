"""A random Stable Diffusion laid out as SD v1, made in a second: no weights on disk, no download."""

from __future__ import annotations

import json
from pathlib import Path

import torch

WORDS = ["a", "red", "cat", "star", "on", "grass", "and", "the"]  # anything else is split into letters
KEYS = 77


def tiny_tokenizer(folder: Path):
    """CLIP's tokenizer with a vocabulary of bytes and a few words.

    Args:
        folder: Where its two files are written.
    """
    from transformers import CLIPTokenizer

    letters = _byte_letters()
    merges = [merge for word in WORDS for merge in _merges(word)]
    merges = list(dict.fromkeys(merges))
    vocabulary = [
        *letters,
        *(letter + "</w>" for letter in letters),
        *("".join(merge.split()) for merge in merges),
    ]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    ids = {token: number for number, token in enumerate(dict.fromkeys(vocabulary))}
    (folder / "vocab.json").write_text(json.dumps(ids))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=KEYS)


def tiny_unet(**changes):
    """A U-Net with 16 blocks, 8 heads and the grids 16, 8, 4 and 2, whose attention is far from even.

    Args:
        **changes: Options of diffusers' UNet2DConditionModel to change.
    """
    from diffusers import UNet2DConditionModel

    settings = {
        "sample_size": 16, "block_out_channels": (16, 32, 32, 32), "norm_num_groups": 4, "layers_per_block": 2,
        "attention_head_dim": 8, "cross_attention_dim": 16,
    }  # fmt: skip
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**{**settings, **changes}).eval()
    sharpen(unet)
    return unet


def sharpen(unet) -> None:
    """Scale queries up in place: a fresh network attends almost evenly, which would hide mistakes.

    Args:
        unet: The U-Net.
    """
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if name.endswith("to_q.weight"):
                parameter.mul_(12)


def tiny_pipeline(folder: Path):
    """A StableDiffusionPipeline of 128x128 pixels in float32, with random weights.

    Args:
        folder: Where the tokenizer's files are written.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = tiny_tokenizer(folder / "tokenizer")
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=KEYS, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(4, 8, 8, 8), norm_num_groups=2, latent_channels=4, sample_size=128,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    pipe = StableDiffusionPipeline(
        vae=vae.eval(), text_encoder=CLIPTextModel(text).eval(), tokenizer=tokenizer, unet=tiny_unet(),
        scheduler=DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _merges(word: str) -> list[str]:
    parts = [*word[:-1], word[-1] + "</w>"]
    merges = []
    while len(parts) > 1:
        merges.append(f"{parts[0]} {parts[1]}")
        parts = [parts[0] + parts[1], *parts[2:]]
    return merges


def _byte_letters() -> list[str]:
    """The printable stand-ins of the 256 bytes in byte-level vocabularies (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {b: chr(256 + n) for n, b in enumerate(hidden)}
    return [letters[byte] for byte in [*printable, *hidden]]
