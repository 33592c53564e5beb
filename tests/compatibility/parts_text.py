"""Tokenizers and text encoders that are not CLIP's."""

from __future__ import annotations

import functools
from typing import Any

from transformers import T5Config, T5EncoderModel, T5Tokenizer, XLMRobertaTokenizer

from attnscope.testing.tiny_models import KEYS, WORDS
from compatibility.parts import WIDE


def _pieces() -> list[tuple[str, float]]:
    words = [("▁" + word, -1.0) for word in WORDS]
    letters = [(letter, -9.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    return words + letters


@functools.cache
def t5_tokenizer() -> Any:
    """T5's, where each word of the prompts is one token and the first is number 0."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0)]
    return T5Tokenizer(vocab=special + _pieces(), extra_ids=0, model_max_length=KEYS)


@functools.cache
def roberta_tokenizer() -> Any:
    """XLM-RoBERTa's, where each word of the prompts is one token and the first is number 1."""
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0)]
    return XLMRobertaTokenizer(vocab=[*special, *_pieces(), ("<mask>", 0.0)], model_max_length=KEYS)


def t5_encoder(wide: int = WIDE) -> Any:
    """T5's encoder.

    Args:
        wide: Channels.
    """
    config = T5Config(
        vocab_size=len(t5_tokenizer()) + 1, d_model=wide, d_ff=16, d_kv=8, num_heads=2, num_layers=1,
        decoder_start_token_id=0,
    )  # fmt: skip
    return T5EncoderModel(config).eval()
