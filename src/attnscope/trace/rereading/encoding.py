"""A text's tokens, and the states that the run's own text encoders make of them, without padding.

Which of an encoder's layers a run read (the last with its norm; one before, by clip_skip; SDXL's last but one) is in
no trace, so there are states of all of them here, and fitting.py finds the right ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError, WordError
from attnscope.records import Token
from attnscope.trace.tokens import MOST_TOKENS, tokenize

CAUSAL = ("CLIPTextModel", "CLIPTextModelWithProjection")
"""Encoders in which no token sees those after it."""
States = Float[Tensor, "token state"]


class Reader(NamedTuple):
    """A tokenizer and the text encoder that reads its tokens."""

    tokenizer: Any
    encoder: Any


class Encoded(NamedTuple):
    """A text as encoders read it.

    Attributes:
        text: As it was tokenized: names of textual inversion are written out.
        tokens: Its tokens with start and end, without padding.
        states: States that a run may have read, of each such layer.
        dtype: What the encoders compute in.
    """

    text: str
    tokens: tuple[Token, ...]
    states: tuple[States, ...]
    dtype: torch.dtype


def readers_of(pipe: Any, tokenizer: Any, text_encoder: Any) -> list[Reader]:
    """Tokenizers and text encoders, of a pipeline or as they were given.

    Args:
        pipe: A pipeline, or None.
        tokenizer: One, or several in the pipeline's order, or None.
        text_encoder: As many.

    Raises:
        ParameterError: Neither a pipeline nor both others are given, or they are no encoders of which this is known.
    """
    if (tokenizer is None) != (text_encoder is None) or (pipe is None) == (tokenizer is None):
        raise ParameterError(
            "words that are not in the prompt are encoded anew: give the run's pipeline, pipe=pipe, or both tokenizer= "
            "and text_encoder=; lists of two for SDXL"
        )
    if pipe is not None:
        names = ("", "_2", "_3")
        tokenizer = [getattr(pipe, f"tokenizer{name}", None) for name in names]
        text_encoder = [getattr(pipe, f"text_encoder{name}", None) for name in names]
    pairs = zip(_several(tokenizer), _several(text_encoder), strict=False)
    readers = [Reader(*pair) for pair in pairs if pair[1] is not None]
    if pipe is not None and not readers:
        raise ParameterError(
            f"{type(pipe).__name__} has no known text encoder; words that are not in the prompt are read "
            "with CLIP's: give tokenizer= and text_encoder="
        )
    if not readers or len(_several(tokenizer)) != len(_several(text_encoder)):
        raise ParameterError(
            "tokenizer= and text_encoder=: expected as many of one as of the other, in the pipeline's order"
        )
    for reader in readers:
        if type(reader.encoder).__name__ not in CAUSAL or reader.tokenizer is None:
            raise ParameterError(
                f"the text encoder is a {type(reader.encoder).__name__}; words that are not in the prompt are read "
                f"with CLIP's ({', '.join(CAUSAL)}) and its tokenizer: put the words into the prompt of a run"
            )
    return readers


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def encode(text: str, readers: Sequence[Reader]) -> Encoded:
    """A text's tokens and states.

    Args:
        text: Any text.
        readers: As from `readers_of`.

    Raises:
        WordError: The text is empty, or longer than the encoders read.
        ParameterError: It is no text, or the tokenizers split the text into different numbers of tokens.

    Cost: one run of the text encoders.
    """
    if not isinstance(text, str):
        raise ParameterError(
            f"a text to read is needed, such as 'a photo of a dog'; got a {type(text).__name__}"
        )
    written = [_written(text, reader.tokenizer) for reader in readers]
    tokens = [_tokens(one, reader) for one, reader in zip(written, readers, strict=True)]
    counts = {len(of_reader) for of_reader, _ in tokens}
    if len(counts) > 1:
        raise ParameterError(
            f"{text!r} has {' and '.join(map(str, sorted(counts)))} tokens for the tokenizers, which share keys: "
            "give all of them the same added words"
        )
    states = [_hidden(reader, ids) for reader, (_, ids) in zip(readers, tokens, strict=True)]
    return Encoded(written[0], tokens[0][0], tuple(_candidates(readers, states)), readers[0].encoder.dtype)


def _written(text: str, tokenizer: Any) -> str:
    """Textual inversion writes a name of several vectors as "toy toy_1"."""
    added = getattr(tokenizer, "added_tokens_encoder", {})
    for name in dict.fromkeys(tokenizer.tokenize(text)) if added else ():
        pieces = [name]
        while f"{name}_{len(pieces)}" in added:
            pieces.append(f"{name}_{len(pieces)}")
        if (whole := " ".join(pieces)) not in text:
            text = text.replace(name, whole)
    return text


def _tokens(text: str, reader: Reader) -> tuple[tuple[Token, ...], tuple[int, ...]]:
    """Tokens and their numbers in the vocabulary, start and end included."""
    most = reader.encoder.config.max_position_embeddings
    if not text.strip():
        raise WordError("the text is empty, so it has no words: give a word or a phrase")
    whole = tokenize(reader.tokenizer, text, min(MOST_TOKENS, max(most, 4 * len(text.encode()) + 2)))
    tokens = tuple(token for token in whole.tokens if token.role != "padding")
    if len(tokens) > most:
        raise WordError(
            f"{text[:60]!r}... has {len(tokens)} tokens with start and end; the text encoder reads {most}: shorten it"
        )
    return tokens, whole.ids[: len(tokens)]


def _hidden(reader: Reader, ids: Sequence[int]) -> tuple[Tensor, ...]:
    """States of every layer, the embeddings' first, then the last one's with its norm."""
    encoder = reader.encoder
    numbers = torch.tensor([list(ids)], device=encoder.device)
    with torch.no_grad():
        given = encoder(numbers, output_hidden_states=True)
    return (*given.hidden_states, given.last_hidden_state)


def _candidates(readers: Sequence[Reader], states: Sequence[tuple[Tensor, ...]]) -> Iterator[States]:
    """What pipelines make of the layers' states: one encoder's, or those of all side by side."""
    if len(readers) == 1:
        yield states[0][-1][0]
        norm = _final_norm(readers[0].encoder)
        for of_layer in reversed(states[0][:-2]):  # clip_skip=1, 2 ...
            with torch.no_grad():
                yield norm(of_layer)[0]
    depth = min(len(of_reader) for of_reader in states) - 1
    for back in range(2, depth + 2):  # the last layer without its norm, the last but one ...
        yield torch.cat([of_reader[-back][0].to(states[0][-1]) for of_reader in states], dim=-1)


def _final_norm(encoder: Any) -> Any:
    inside = getattr(encoder, "text_model", encoder)
    return getattr(inside, "final_layer_norm", None) or inside.text_model.final_layer_norm
