"""The words that segments can be named by, and where they stand in a prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attnscope.diffseg.labels import reference_tokens
from attnscope.errors import ParameterError
from attnscope.records import Token
from attnscope.trace.tokens import find_span


def asked_words(labels: Sequence[str] | None) -> tuple[str, ...]:
    if labels is None:
        return ()
    words = (labels,) if isinstance(labels, str) else tuple(labels)
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise ParameterError(f"labels are {labels!r}; expected words, such as ['circle', 'grass']")
    return tuple(dict.fromkeys(words))


def word_spans(
    prompt: str, tokens: tuple[Token, ...], words: tuple[str, ...], preset: str
) -> list[Sequence[int]]:
    """The tokens of each word; of 'red house, house' the second word is the second house."""
    if preset == "reference":
        return list(reference_tokens(prompt, words))
    listed = prompt == ", ".join(words)
    earlier = [", ".join(words[:number]).lower() for number in range(len(words))]
    return [
        find_span(prompt, tokens, word, occurrence=_count(before, word) if listed else 0).tokens
        for word, before in zip(words, earlier, strict=True)
    ]


def _count(text: str, word: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(word.lower())}(?!\w)", text))
