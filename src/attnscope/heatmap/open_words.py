"""Words that are not in the prompt: the trace read with another text, and the tokens that are meant in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from attnscope.errors import ParameterError
from attnscope.heatmap.asked import Word, as_span, spans_of
from attnscope.records import Kind, TokenSpan
from attnscope.trace.rereading.reread import reread
from attnscope.trace.trace import Trace
from attnscope.trace.words import ROLES


class OpenText(NamedTuple):
    """How words that are not in the prompt are read: arguments of `heat_map`, which explains them."""

    context: str | None
    pipe: Any
    tokenizer: Any
    text_encoder: Any

    def check_unused(self) -> None:
        """Refuse what only `open_words=True` reads.

        Raises:
            ParameterError: Something of it was given.
        """
        if given := [name for name, value in self._asdict().items() if value is not None]:
            raise ParameterError(
                f"{', '.join(f'{name}=' for name in given)}: only words that are not in the prompt need it; give "
                "open_words=True, or leave it out"
            )

    def reading(self, trace: Trace, text: str) -> Trace:
        """The trace as if its cross-attention had read a text.

        Args:
            trace: Of one pass, with key projections.
            text: The text.
        """
        return reread(trace, text, pipe=self.pipe, tokenizer=self.tokenizer, text_encoder=self.text_encoder)


def check_open(kind: Kind, reduced: str | None) -> None:
    """Refuse questions that no other text can answer.

    Args:
        kind: As for `heat_map`.
        reduced: As for `heat_map`.

    Raises:
        ParameterError: They are of an adapter's pictures, or of reduced maps.
    """
    if kind != "cross":
        raise ParameterError(f"open_words=True reads texts, and kind {kind!r} reads none: leave kind out")
    if reduced is not None:
        raise ParameterError(
            f"open_words=True needs Q of every step, which the reduced maps {reduced!r} don't have: leave reduced out"
        )


def check_one(word: object) -> None:
    """Refuse several words where one is asked for.

    Args:
        word: What is asked.

    Raises:
        ParameterError: It is no word.
    """
    if not isinstance(word, (str, int, TokenSpan)):
        raise ParameterError(f"heat_map reads one word, and got {word!r:.60}; heat_maps reads several")


def read_openly(
    trace: Trace,
    words: Word | Sequence[Word] | None,
    text: OpenText,
    *,
    branch: str,
    image: int,
    occurrence: int = 0,
) -> Iterator[tuple[Trace, Sequence[TokenSpan]]]:
    """The trace read with the context, or with each word by itself, and the tokens that are meant in it.

    Args:
        trace: Of one pass, with key projections.
        words: What is asked. None: every word of the context.
        text: How it is read.
        branch: Guidance branch.
        image: Which image of the batch, from 0.
        occurrence: Which one of several such words in the context, from 0.

    Raises:
        ParameterError: Neither words nor a context are given, or what is given is no text.
        WordError: The context lacks a word.
    """
    if text.context is not None:
        reading = text.reading(trace, text.context)
        several = [words] if isinstance(words, (str, int, TokenSpan)) else words
        if several is None:
            yield reading, spans_of(reading, None, branch, image, "cross")
        else:
            yield reading, [as_span(reading, word, branch, image, occurrence) for word in several]
        return
    if words is None:
        raise ParameterError(
            "open_words=True: no words are given. Give them, or a text that contains them, context='a photo "
            "of a dog'"
        )
    for word in [words] if isinstance(words, (str, int, TokenSpan)) else words:
        if not isinstance(word, str) or word.strip().lower() in ROLES:
            shown = word.word if isinstance(word, TokenSpan) else word
            raise ParameterError(
                f"open_words=True: {shown!r} is part of a text, and the text is missing: give it, context='a "
                "photo of a dog'"
            )
        reading = text.reading(trace, word)
        yield reading, [_whole(reading, word, branch, image)]


def _whole(trace: Trace, phrase: str, branch: str, image: int) -> TokenSpan:
    """All tokens of a text but start and end."""
    tokens = trace.tokens(image, branch)
    return TokenSpan(phrase, 0, len(phrase), tuple(token.index for token in tokens if token.role == "text"))
