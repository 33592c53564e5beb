"""Which tokens of one prompt stand for which of another, as prompt-to-prompt has it.

A table says what becomes of the columns of the source's P: its product with the table has the target's columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.records import Token
from attnscope.trace.tokens import tokenize

Table = Float[Tensor, "source_token token"]


class Alignment(NamedTuple):
    """What a target takes from a source.

    Attributes:
        table: What each target token takes from each token of the source.
        share: How much of a target token's column is that, 0..1; the rest is its own.
    """

    table: Table
    share: Float[Tensor, " token"]


def replaced(tokenizer: Any, source: str, target: str) -> Alignment:
    """Of two prompts with as many words: a changed word looks where the word in its place does.

    Where these have different numbers of tokens, each new token takes the same share of every old one.

    Args:
        tokenizer: Of the model's text encoder.
        source: The prompt that is edited.
        target: The new one.

    Raises:
        ParameterError: They have different numbers of words, between spaces.

    Source: Hertz et al. 2022, section 3.2, "Word Swap", and the authors' program.
    """
    words = [[match.span() for match in re.finditer(r"\S+", text)] for text in (source, target)]
    if len(words[0]) != len(words[1]):
        raise ParameterError(
            f"edit='replace' needs prompts with as many words; {source!r} has {len(words[0])} and {target!r} "
            f"{len(words[1])}: use edit='refine'"
        )
    tokens = [tokenize(tokenizer, text).tokens for text in (source, target)]
    keys = len(tokens[0])
    table, at, other = torch.zeros(keys, keys), 0, 0  # `at` in the source, `other` in the target
    for (start, end), (other_start, other_end) in zip(*words, strict=True):
        if source[start:end] == target[other_start:other_end]:
            continue
        old, new = _within(tokens[0], start, end), _within(tokens[1], other_start, other_end)
        if not old or not new:  # the word was cut off
            break
        same = old[0] - at
        table[range(at, at + same), range(other, other + same)] = 1
        if len(old) == len(new):
            table[old, new] = 1
        else:
            table[torch.tensor(old)[:, None], torch.tensor(new)] = 1 / len(new)
        at, other = old[-1] + 1, new[-1] + 1
    # past the last change the authors' program takes the target's own numbers; of a target that has become shorter the
    # last ones, which are padding, take nothing
    rest = range(other, min(keys, other + keys - at))
    table[rest, rest] = 1
    return Alignment(table, torch.ones(keys))


def refined(tokenizer: Any, source: str, target: str) -> Alignment:
    """Of any two prompts: tokens that both have look where they do in the source, new ones where they would anyway.

    Args:
        tokenizer: Of the model's text encoder.
        source: The prompt that is edited.
        target: The new one.

    Source: Hertz et al. 2022, section 3.2, "Adding a New Phrase"; Needleman and Wunsch 1970.
    """
    read = [tokenize(tokenizer, text) for text in (source, target)]
    keys = len(read[0].ids)
    lengths = [sum(token.role != "padding" for token in text.tokens) for text in read]
    ids = [text.ids[:length] for text, length in zip(read, lengths, strict=True)]
    table, share = torch.zeros(keys, keys), torch.ones(keys)
    for new, old in enumerate(_aligned(*ids)):
        if old is None:
            share[new] = 0
        else:
            table[old, new] = 1
    rest = range(lengths[1], keys)
    table[rest, rest] = 1
    return Alignment(table, share)


def unchanged(tokenizer: Any, source: str) -> Alignment:
    """Every token looks where the one with its number does.

    Args:
        tokenizer: Of the model's text encoder.
        source: The prompt.
    """
    keys = len(tokenize(tokenizer, source).ids)
    return Alignment(torch.eye(keys), torch.ones(keys))


def _within(tokens: Sequence[Token], start: int, end: int) -> list[int]:
    """Numbers of the tokens of a piece of text."""
    return [t.index for t in tokens if t.role == "text" and t.start_char < end and start < t.end_char]


def _aligned(source: Sequence[int], target: Sequence[int]) -> list[int | None]:
    """For each token of the target its place in the source, None for a new one.

    The best global alignment, where equal tokens count 1, unequal ones -1 and gaps nothing. Among equals a gap in the
    source is preferred, then one in the target.
    """
    best = torch.zeros(len(source) + 1, len(target) + 1, dtype=torch.int64)
    for i, old in enumerate(source, 1):
        for j, new in enumerate(target, 1):
            best[i, j] = max(best[i, j - 1], best[i - 1, j], best[i - 1, j - 1] + (1 if old == new else -1))
    places: list[int | None] = [None] * len(target)
    i, j = len(source), len(target)
    while j > 0:
        if i == 0 or best[i, j] == best[i, j - 1]:
            j -= 1
        elif best[i, j] == best[i - 1, j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            places[j] = i
    return places
