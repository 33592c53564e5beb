"""A prompt read as words: where they stand, which tokens carry them, and where a part of one may be told apart.

A word is a run of letters, digits and low lines; ' and - between them belong to it, as in cat's and blue-eyed, and
an emoji is a word by itself. No word divides a token, or a character from its marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from attnscope.records import Token
from attnscope.trace.characters import characters, is_unspaced

_IN_WORDS = ("letter", "digit", "line")
CUT, PARTLY_CUT = "was cut off", "is only partly read, it was cut off"
LEFT_OUT = "is read by no token: the tokenizer left it out"
"""Why a word is not read, or not all of it, as what follows the word in a sentence."""


class Place(NamedTuple):
    """Where something stands in a prompt. name_end: of the first piece, where a name has several vectors."""

    start: int
    end: int
    name_end: int


class Prompt:
    """A prompt with its tokens, read once.

    Args:
        text: The prompt.
        tokens: Its tokens.
    """

    def __init__(self, text: str, tokens: tuple[Token, ...]) -> None:
        self.text = text
        self.read = tuple(
            token for token in tokens if token.role == "text" and token.end_char > token.start_char
        )
        """The tokens that stand for a part of the text."""
        self._last_read = max((token.end_char for token in self.read), default=0)
        self._divided = _divided(self.read, len(text))
        self.characters = characters(text)
        self.places = tuple(self._with_pieces(self._whole(self._runs())))
        """The places of its words."""
        self._inside = {at for word in self.places for at in range(word.start + 1, word.end)}
        self._ends = {word.name_end: word.end for word in reversed(self.places)}
        self._by_start = {character.start: character for character in self.characters}
        self._by_end = {character.end: character for character in self.characters}
        self.is_cut = bool(tokens) and all(token.role != "padding" for token in tokens)

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Runs of characters that make words, and pictures."""
        kinds = [*(character.kind for character in self.characters), "space"]
        at = 0
        while at < len(self.characters):
            first = at
            while kinds[at] in _IN_WORDS or (
                kinds[at] == "joint"
                and at > first
                and kinds[at - 1] in _IN_WORDS
                and kinds[at + 1] in _IN_WORDS
            ):
                at += 1
            if at > first or kinds[at] == "picture":
                at = max(at, first + 1)
                yield self.characters[first].start, self.characters[at - 1].end
            else:
                at += 1

    def _whole(self, runs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Runs made longer until none divides a token."""
        whole: list[tuple[int, int]] = []
        for start, end in runs:
            if whole and end <= whole[-1][1]:
                continue
            while token := self.divided(start):
                start = token.start_char
            while token := self.divided(end):
                end = token.end_char
            while whole and whole[-1][1] > start:
                start = min(start, whole.pop()[0])
            whole.append((start, end))
        return whole

    def _with_pieces(self, runs: Sequence[tuple[int, int]]) -> Iterator[Place]:
        """Textual inversion writes a name of several vectors as "toy toy_1 toy_2", each one token: one word."""
        singles = {(token.start_char, token.end_char) for token in self.read}
        at = 0
        while at < len(runs):
            (start, name_end), pieces = runs[at], 1
            name = self.text[start:name_end]
            while (
                runs[at] in singles
                and at + pieces < len(runs)
                and runs[at + pieces] in singles
                and self.text[slice(*runs[at + pieces])] == f"{name}_{pieces}"
                and self.text[runs[at + pieces - 1][1] : runs[at + pieces][0]].isspace()
            ):
                pieces += 1
            at += pieces
            yield Place(start, runs[at - 1][1], name_end)

    def divided(self, at: int) -> Token | None:
        """The token that a place in the text divides, None if there is none.

        Args:
            at: Between the character before it and its own.
        """
        return self._divided[at]

    def tokens_of(self, start: int, end: int) -> tuple[int, ...]:
        """Numbers of the tokens of a part of the text.

        Args:
            start: Its first character.
            end: The character after its last one.
        """
        if start >= self._last_read:
            return ()
        return tuple(token.index for token in self.read if token.start_char < end and token.end_char > start)

    def lost(self, place: tuple[int, ...]) -> str:
        """Why the model does not read all of a part of the text; empty if it does.

        Args:
            place: Its first character, and the one after its last.
        """
        start, end = place[:2]
        last = self._last_read
        if self.is_cut and last < end and self.text[last:end].strip():
            rest = next((c for c in self.characters if c.start >= last and c.kind != "space"), None)
            if rest is not None and rest.start < end:
                return PARTLY_CUT if last > start else CUT
        return "" if self.tokens_of(start, end) else LEFT_OUT

    def matches(self, word: str) -> list[Place]:
        """Where a word stands in the text, as a word or not.

        Args:
            word: Characters that read alike match.
        """
        asked = [character.alike for character in characters(word.strip())]
        alike = [character.alike for character in self.characters]
        found = []
        for at in range(len(alike) - len(asked) + 1):
            if alike[at : at + len(asked)] == asked:
                start, end = self.characters[at].start, self.characters[at + len(asked) - 1].end
                found.append(Place(start, self._ends.get(end, end), end))
        return found

    def is_word(self, place: Place) -> bool:
        """Whether a part of the text begins and ends where words do.

        Args:
            place: The part.
        """
        return self._inside.isdisjoint(place[:2])

    def is_part(self, place: Place) -> bool:
        """Whether a part of the text may be asked for although words go on around it.

        Args:
            place: The part.
        """
        return all(self._parts(at) or at not in self._inside for at in place[:2])

    def _parts(self, at: int) -> bool:
        before, after = self._by_end.get(at), self._by_start.get(at)
        if before is None or after is None:
            return False
        return before.kind != after.kind or any(is_unspaced(self.text[c.start]) for c in (before, after))


def _divided(tokens: tuple[Token, ...], length: int) -> list[Token | None]:
    """For each place in a text the first token that it divides."""
    divided: list[Token | None] = [None] * (length + 1)
    for token in reversed(tokens):
        first, end = min(token.start_char + 1, length), min(token.end_char, length)
        divided[first:end] = [token] * (end - first)
    return divided


@lru_cache(maxsize=64)
def read_prompt(text: str, tokens: tuple[Token, ...]) -> Prompt:
    """A prompt with its tokens. Those that were read last are kept.

    Args:
        text: The prompt.
        tokens: Its tokens.
    """
    return Prompt(text, tokens)
