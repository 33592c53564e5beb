"""The words that segments can be named by, and where they stand in a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from attnscope.diffseg.labels import reference_tokens
from attnscope.errors import ParameterError, WordError
from attnscope.records import Token
from attnscope.trace.characters import characters
from attnscope.trace.reading import read_prompt
from attnscope.trace.texts import read_text
from attnscope.trace.tokens import tokenize
from attnscope.trace.trace import Trace
from attnscope.trace.words import find_span

BETWEEN = ", "
"""What stands between words that are their own prompt."""


class NamedSpan(NamedTuple):
    """A word that may name segments, and the numbers of its tokens."""

    name: str
    tokens: Sequence[int]


def asked_words(labels: str | Sequence[str] | None) -> tuple[str, ...]:
    """The words that a user asks for, each once: tree and TREE are one.

    Args:
        labels: Words, or a text of words with commas between; None for none.

    Raises:
        ParameterError: They are no words.

    >>> asked_words("boat, sea, Boat")
    ('boat', 'sea')
    """
    if labels is None:
        return ()
    words = labels.split(",") if isinstance(labels, str) else list(labels)
    if isinstance(labels, str):
        words = [word for word in words if word.strip()]
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise ParameterError(f"labels are {labels!r}; expected words, such as ['circle', 'grass']")
    first: dict[tuple[str, ...], str] = {}
    for word in words:
        first.setdefault(tuple(character.alike for character in characters(word.strip())), word.strip())
    return tuple(first.values())


def groups_that_fit(tokenizer: Any, words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Words in as few groups as can each be read at once, about as many in each.

    Args:
        tokenizer: Of the model.
        words: In order.
    """
    for count in range(1, len(words) + 1):
        groups = list(_parted(words, count))
        if count == len(words) or not any(
            tokenize(tokenizer, BETWEEN.join(group)).is_cut for group in groups
        ):
            return groups
    return []


def _parted(words: tuple[str, ...], count: int) -> Iterator[tuple[str, ...]]:
    for number in range(count):
        yield words[number * len(words) // count : (number + 1) * len(words) // count]


def named_words(
    trace: Trace, words: tuple[str, ...], image: int, branch: str, preset: str
) -> tuple[NamedSpan, ...]:
    """The tokens of words in the text that a branch of a trace reads.

    Args:
        trace: Of one pass.
        words: Words that stand in it.
        image: Number of the image in the batch.
        branch: Guidance branch.
        preset: "reference" takes the authors' token numbers.

    Raises:
        WordError: The text lacks a word, or is unknown.
    """
    if not words:
        return ()
    read = read_text(trace.run, branch, image)
    read.known_words()
    return named_spans(read.text or "", read.tokens, words, preset)


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
    if prompt == BETWEEN.join(words):
        return tuple(_listed(prompt, tokens, words))
    return tuple(NamedSpan(word, find_span(prompt, tokens, word).tokens) for word in words)


def _listed(prompt: str, tokens: tuple[Token, ...], words: tuple[str, ...]) -> Iterator[NamedSpan]:
    """Words that are their own prompt, each at its place in it."""
    read, start = read_prompt(prompt, tokens), 0
    for word in words:
        end = start + len(word)
        if lost := read.lost((start, end)):
            raise WordError(
                f"{word!r} {lost}: the model reads {len(tokens)} tokens; ask for fewer or shorter words"
            )
        yield NamedSpan(word, read.tokens_of(start, end))
        start = end + len(BETWEEN)
