"""What becomes of a word on its way to the model: its tokens, what was cut off, whether the model was taught it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attnscope.atlas import DEMO_FOLDER
from attnscope.demo.scenes import WORDS
from attnscope.errors import ParameterError, WordError
from attnscope.records import Token, TokenSpan
from attnscope.trace.reading import Place, read_prompt
from attnscope.trace.texts import ReadText
from attnscope.trace.tokens import tokenize
from attnscope.trace.trace import Trace
from attnscope.trace.words import ROLES

_SHOW_NOTHING = """
a an the this that these those some any no its his her their my your our and or but nor so of in on at by to from with
without over under above below behind before after beside between near into onto upon through across around against
along off up down out for as like than is are was were be been being has have had does do there it he she they which
who whose where while very front top picture photo photograph image drawing painting
"""
FUNCTION_WORDS = frozenset(_SHOW_NOTHING.split())
"""English words that stand for nothing in a picture: at most they say where it is, or that it is one."""


@dataclass(frozen=True)
class ReadWord:
    """A word of the prompt as the model got it.

    Attributes:
        span: The word and its tokens, () where it was cut off.
        pieces: The texts of its tokens.
        lost: Why the model did not read it, or not all of it; '' where it did.
        known: Whether the model was taught the word; None where nobody knows.
        is_function: Whether it is a word such as "the" or "under", which shows nothing by itself.
    """

    span: TokenSpan
    pieces: tuple[str, ...]
    lost: str
    known: bool | None
    is_function: bool

    @property
    def word(self) -> str:
        """The word as it stands in the prompt."""
        return self.span.word

    @property
    def is_content(self) -> bool:
        """Whether it was read and may show something."""
        return bool(self.span.tokens) and not self.lost and not self.is_function


class Vocabulary:
    """Which words a model was taught, as far as anybody knows.

    Args:
        trace: A trace of the model; the demo model's words are known.
        pipe: Its pipeline, whose tokenizer may have a token for what it does not know.
    """

    def __init__(self, trace: Trace, pipe: Any = None) -> None:
        model = trace.run.model
        is_demo = model == "demo" or (model is not None and Path(model) == DEMO_FOLDER)
        self.words = frozenset(WORDS) if is_demo else None
        self._tokenizer = getattr(pipe, "tokenizer", None)

    def knows(self, text: str, tokens: tuple[Token, ...], span: TokenSpan) -> bool | None:
        """Whether a word, or each word of a phrase, is one that the model was taught; None where nobody knows.

        Args:
            text: The text that it stands in.
            tokens: The text's tokens.
            span: The word.
        """
        if self.words is not None:
            return all(word in self.words for word in span.word.casefold().split())
        return False if self._is_unknown(text, tokens, span) else None

    def _is_unknown(self, text: str, tokens: tuple[Token, ...], span: TokenSpan) -> bool:
        """Whether the tokenizer has put its token for what it does not know in a word's place, as T5's does."""
        unknown = getattr(self._tokenizer, "unk_token_id", None)
        if unknown is None or unknown == getattr(self._tokenizer, "eos_token_id", None):
            return False
        try:
            coded = tokenize(self._tokenizer, text, len(tokens))
        except ParameterError:
            return False
        return coded.tokens == tokens and any(coded.ids[token] == unknown for token in span.tokens)


def read_words(read: ReadText, vocabulary: Vocabulary) -> list[ReadWord]:
    """Every word of a text in order, also those that were cut off.

    Args:
        read: The text with its tokens.
        vocabulary: Which words the model was taught.

    Raises:
        WordError: The text's words are unknown.
    """
    spans = read.known_words()
    text = read.text or ""
    words = [_read_word(read, span, vocabulary) for span in spans]
    return words + [_lost_word(text, place, lost, vocabulary) for place, lost in _lost_places(read)]


def known_words(read: ReadText, vocabulary: Vocabulary) -> list[ReadWord]:
    """As `read_words`; none where the text's words are unknown, which token numbers don't need.

    Args:
        read: The text with its tokens.
        vocabulary: Which words the model was taught.
    """
    try:
        return read_words(read, vocabulary)
    except WordError:
        return []


def asked_word(read: ReadText, word: Any, occurrence: int, vocabulary: Vocabulary) -> ReadWord:
    """A word or phrase that somebody asks for; one that was cut off is an answer, too.

    Args:
        read: The text with its tokens.
        word: The word, the number of a token, or a span.
        occurrence: Which one of several, from 0.
        vocabulary: Which words the model was taught.

    Raises:
        WordError: The text lacks the word, or its words are unknown.
    """
    if isinstance(word, TokenSpan):
        return _read_word(read, word, vocabulary)
    if isinstance(word, (int, np.integer)) and not isinstance(word, bool):
        return _read_word(read, _numbered(read, int(word)), vocabulary)
    try:
        return _read_word(read, read.span(word, occurrence), vocabulary)
    except WordError:
        asked = read_prompt(read.text or "", read.tokens).matches(word) if isinstance(word, str) else []
        for place, lost in _lost_places(read):
            if any(place.start <= match.start and match.end <= place.end for match in asked):
                return _lost_word(read.text or "", place, lost, vocabulary)
        raise


def _numbered(read: ReadText, number: int) -> TokenSpan:
    if not read.tokens:
        return TokenSpan(f"[{number}]", 0, 0, (number,))
    if not 0 <= number < len(read.tokens):
        raise WordError(f"token {number}: the text has tokens 0 to {len(read.tokens) - 1}")
    token = read.tokens[number]
    return TokenSpan(token.text, token.start_char, token.end_char, (number,))


def _lost_places(read: ReadText) -> Iterator[tuple[Place, str]]:
    """Words that the model did not read, or not all of them, and why."""
    prompt = read_prompt(read.text or "", read.tokens)
    for place in prompt.places:
        if lost := prompt.lost(place):
            yield place, lost


def _read_word(read: ReadText, span: TokenSpan, vocabulary: Vocabulary) -> ReadWord:
    is_role = span.word.strip().lower() in ROLES
    is_first = is_role or (read.text or "")[span.start_char : span.end_char] == span.word
    text, tokens = (read.text or "", read.tokens) if is_first else (read.second, read.second_tokens)
    return ReadWord(
        span,
        tuple(tokens[at].text for at in span.tokens if at < len(tokens)),
        "",
        None if is_role else vocabulary.knows(text, tokens, span),
        is_role or _is_function(span.word),
    )


def _lost_word(text: str, place: Place, lost: str, vocabulary: Vocabulary) -> ReadWord:
    span = TokenSpan(text[place.start : place.end], place.start, place.end, ())
    known = vocabulary.knows(text, (), span) if vocabulary.words is not None else None
    return ReadWord(span, (), lost, known, _is_function(span.word))


def _is_function(word: str) -> bool:
    return all(part in FUNCTION_WORDS for part in word.casefold().split())
