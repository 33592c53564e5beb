"""Sentences in several languages: what is said stands once, its wording in each language side by side.

A number is written once and put into every language, and both wordings of a text must name the same values: so they
can't drift apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from string import Formatter
from typing import Literal, Protocol, get_args

from attnscope.errors import ParameterError

Language = Literal["en", "ja"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


class Spoken(Protocol):
    """What is worded differently in each language."""

    def in_language(self, language: Language = "en") -> str:
        """Its text.

        Args:
            language: "en" or "ja".
        """
        ...


Value = str | Spoken
"""A number that is written already, or what each language words for itself."""


def check_language(language: str) -> Language:
    """A language that sentences are known in.

    Args:
        language: Its code.

    Raises:
        ParameterError: It is another one.
    """
    if language not in LANGUAGES:
        raise ParameterError(f"language is {language!r}; expected one of {', '.join(LANGUAGES)}")
    return language


@dataclass(frozen=True)
class Text:
    """One sentence, or a part of one, in every language; {name} for what is filled in.

    Attributes:
        en: In English.
        ja: In Japanese.
    """

    en: str
    ja: str

    def __post_init__(self) -> None:
        if fields(self.en) != fields(self.ja):
            raise ParameterError(
                f"{self.en!r} fills in {sorted(fields(self.en))}, and its Japanese {sorted(fields(self.ja))}; "
                "expected the same in both"
            )

    def __call__(self, **values: Value) -> Sentence:
        """The sentence with its values.

        Args:
            values: What is filled in, by name.

        Raises:
            ParameterError: A value is missing, or has no place.
        """
        if values.keys() != fields(self.en):
            raise ParameterError(f"{self.en!r} takes {sorted(fields(self.en))}; got {sorted(values)}")
        return Sentence(self, values)


def fields(text: str) -> set[str]:
    """The names of what is filled into a text.

    Args:
        text: With {name} for each.
    """
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@dataclass(frozen=True)
class Sentence:
    """A text with its values. As a string it is English.

    Attributes:
        text: The text.
        values: What is filled in, by name.
    """

    text: Text
    values: Mapping[str, Value]

    def in_language(self, language: Language = "en") -> str:
        """The sentence.

        Args:
            language: "en" or "ja".
        """
        wording = getattr(self.text, check_language(language))
        return wording.format(**{name: said(value, language) for name, value in self.values.items()})

    def holds(self, text: Text) -> bool:
        """Whether it is this text, or has it as a part.

        Args:
            text: The text.
        """
        parts = (value for value in self.values.values() if isinstance(value, Sentence))
        return self.text is text or any(part.holds(text) for part in parts)

    def __str__(self) -> str:
        return self.in_language()


def said(value: Value, language: Language) -> str:
    """A value as a sentence has it.

    Args:
        value: The value.
        language: Of the sentence.
    """
    return value if isinstance(value, str) else value.in_language(language)


class Quoted:
    """Words of a prompt in a sentence: 'red' and 'house'; 「red」「house」.

    Args:
        words: The words.
    """

    def __init__(self, *words: str) -> None:
        self.words = words

    def in_language(self, language: Language = "en") -> str:
        """All of them in quotation marks.

        Args:
            language: "en" or "ja".
        """
        return "".join(f"「{word}」" for word in self.words) if language == "ja" else listed(self.words)


class Listed:
    """Pieces one after the other, as they are.

    Args:
        pieces: The pieces.
    """

    def __init__(self, pieces: Iterable[str]) -> None:
        self.pieces = tuple(pieces)

    def in_language(self, language: Language = "en") -> str:
        """All of them, with commas between.

        Args:
            language: "en" or "ja".
        """
        return ("、" if language == "ja" else ", ").join(self.pieces)


class Joined:
    """Parts of a sentence one after the other, with nothing between.

    Args:
        parts: The parts.
    """

    def __init__(self, parts: Iterable[Sentence]) -> None:
        self.parts = tuple(parts)

    def in_language(self, language: Language = "en") -> str:
        """All of them.

        Args:
            language: "en" or "ja".
        """
        return "".join(part.in_language(language) for part in self.parts)


def percent(share: float, *, whole: bool = False) -> str:
    """A share as text: 4.2 %, and as many digits as it takes to be no 0.

    Args:
        share: 0..1.
        whole: Without digits after the point.

    >>> percent(0.042), percent(0.00012), percent(0.0), percent(0.042, whole=True)
    ('4.2 %', '0.012 %', '0 %', '4 %')
    """
    if whole:
        return f"{100 * share:.0f} %"
    if share == 0 or not isfinite(share):
        return "0 %"
    return f"{100 * share:.1f} %" if share >= 0.001 else f"{100 * share:.2g} %"


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence: 'red', 'house' and 'grass'.

    Args:
        words: The words.
    """
    quoted = [repr(word) for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
