"""Scenes as the U-Net sees them in training: latents, token ids and masks, in memory and used a few times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from transformers import CLIPTokenizer

from attnscope.demo.scenes.palette import COLOURS
from attnscope.demo.truth import Truth
from attnscope.demo.vae_training import encode

MOST_WORDS = 10
"""Meaningful words in the longest captions; any further ones are not supervised."""


@dataclass(frozen=True)
class LatentPool:
    """Scenes for training, as parallel tensors.

    Attributes:
        latents: Mean latents.
        tokens: Token ids of the captions.
        parts: Share of each part in each latent cell, 0..255.
        things: Share of all things together, 0..255.
        words: (token position, part) of each word, filled up with -1.
    """

    latents: Float[Tensor, "n channel h w"]
    tokens: Int[Tensor, "n token"]
    parts: UInt8[Tensor, "n part h w"]
    things: UInt8[Tensor, "n h w"]
    words: Int[Tensor, "n word 2"]

    def __len__(self) -> int:
        return len(self.latents)

    def __getitem__(self, index: Int[Tensor, b]) -> LatentPool:
        chosen = (self.latents, self.tokens, self.parts, self.things, self.words)
        return LatentPool(*(tensor[index] for tensor in chosen))

    def to(self, device: torch.device) -> LatentPool:
        """The pool on another device.

        Args:
            device: The device.
        """
        chosen = (self.latents, self.tokens, self.parts, self.things, self.words)
        return LatentPool(*(tensor.to(device) for tensor in chosen))

    def batches(self, size: int, times: int) -> Iterator[LatentPool]:
        """Go through all scenes several times, each time in another order; incomplete batches are left out.

        Args:
            size: Scenes in a batch.
            times: How many times.
        """
        for _ in range(times):
            order = torch.randperm(len(self))
            yield from (self[order[i : i + size]] for i in range(0, len(self) - size + 1, size))


def fill(truths: Iterator[Truth], vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> LatentPool:
    """Encode drawn scenes.

    Args:
        truths: The scenes.
        vae: The autoencoder.
        tokenizer: The tokenizer.

    Cost: one encoder pass a scene, and about 3 kB (16x16) or 12 kB (32x32) of memory.
    """
    latents, tokens, parts, things, words = [], [], [], [], []
    for group in _groups(truths, 64):
        pixels = torch.stack([torch.from_numpy(t.pixels).permute(2, 0, 1) for t in group])
        latents.append(encode(vae, pixels))
        tokens.append(token_ids(tokenizer, [t.caption for t in group]))
        parts += [torch.from_numpy(t.parts) for t in group]
        things += [torch.from_numpy(t.things) for t in group]
        words += [_word_rows(tokenizer, t) for t in group]
    return LatentPool(
        torch.cat(latents), torch.cat(tokens), torch.stack(parts), torch.stack(things), torch.stack(words)
    )


@dataclass(frozen=True)
class CaptionIds:
    """Token ids that training puts in the place of others.

    Attributes:
        empty: The empty caption.
        colours: Every colour.
    """

    empty: Int[Tensor, token]
    colours: Int[Tensor, colour]

    @classmethod
    def of(cls, tokenizer: CLIPTokenizer, device: torch.device) -> CaptionIds:
        """The ids of a tokenizer.

        Args:
            tokenizer: The tokenizer.
            device: Where to put them.
        """
        return cls(
            token_ids(tokenizer, [""])[0].to(device), token_ids(tokenizer, list(COLOURS))[:, 1].to(device)
        )


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Int[Tensor, "n token"]:
    """Ids padded to the tokenizer's length, as StableDiffusionPipeline makes them.

    Args:
        tokenizer: The tokenizer.
        texts: One for each row.
    """
    encoded = tokenizer(texts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True)
    return torch.tensor(encoded["input_ids"])


def _word_rows(tokenizer: CLIPTokenizer, truth: Truth) -> Int[Tensor, "word 2"]:
    """Token position and part of each word; every word of the world is one token."""
    rows = torch.full((MOST_WORDS, 2), -1)
    for row, (start, _, part) in zip(rows, truth.words, strict=False):
        row[0] = len(tokenizer(truth.caption[:start])["input_ids"]) - 1
        row[1] = part
    return rows


def _groups(truths: Iterator[Truth], size: int) -> Iterator[list[Truth]]:
    group: list[Truth] = []
    for item in truths:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
