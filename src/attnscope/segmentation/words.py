"""The words that segments can be named by, and where they stand in a prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from attnscope.diffseg.labels import reference_tokens
from attnscope.errors import ParameterError
from attnscope.records import Token
from attnscope.trace.words import find_span


class NamedSpan(NamedTuple):
    """A word that may name segments, and the numbers of its tokens."""

    name: str
    tokens: Sequence[int]


def asked_words(labels: Sequence[str] | None) -> tuple[str, ...]:
    """The words that a user asks for, each once.

    Args:
        labels: Words, or one word; None for none.

    Raises:
        ParameterError: They are no words.
    """
    if labels is None:
        return ()
    words = (labels,) if isinstance(labels, str) else tuple(labels)
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise ParameterError(f"labels are {labels!r}; expected words, such as ['circle', 'grass']")
    return tuple(dict.fromkeys(words))


def named_spans(
    prompt: str, tokens: tuple[Token, ...], words: tuple[str, ...], preset: str
) -> tuple[NamedSpan, ...]:
    """The tokens of each word; in "red house, house" the second word is the second house.

    Args:
        prompt: The text that the model reads.
        tokens: Its tokens.
        words: Words that stand in it.
        preset: "reference" takes the authors' token numbers.

    Raises:
        WordError: The prompt lacks a word.
    """
    if preset == "reference":
        return tuple(map(NamedSpan, words, reference_tokens(prompt, words)))
    listed = prompt == ", ".join(words)
    earlier = [", ".join(words[:number]).lower() for number in range(len(words))]
    spans = (
        find_span(prompt, tokens, word, occurrence=_count(before, word) if listed else 0)
        for word, before in zip(words, earlier, strict=True)
    )
    return tuple(NamedSpan(word, span.tokens) for word, span in zip(words, spans, strict=True))


def _count(text: str, word: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(word.lower())}(?!\w)", text))
