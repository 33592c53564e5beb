"""Words of a prompt by their text, and the tokens that carry them.

Words are looked for first; only where there is none, a part of one counts: between other kinds of characters (photo
in photo-realistic, blue in blue_hair, girl in 1girl), and anywhere in a script without spaces between words. A part
of a word in another script, as cat in catapult, is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from attnscope.errors import ParameterError, WordError, nearest
from attnscope.records import Token, TokenSpan
from attnscope.trace.reading import Place, Prompt, read_prompt
from attnscope.trace.tokens import are_named

ROLES = {
    "<start>": "start",
    "<|startoftext|>": "start",
    "<end>": "end",
    "<|endoftext|>": "end",
    "<padding>": "padding",
}


@lru_cache(maxsize=64)
def prompt_words(prompt: str, tokens: tuple[Token, ...]) -> tuple[TokenSpan, ...]:
    """The words of a prompt that reached the model whole, in order and without punctuation. Those read last are kept.

    Args:
        prompt: The prompt.
        tokens: Its tokens.
    """
    read = read_prompt(prompt, tokens)
    return tuple(_span(read, place) for place in read.places if not read.lost(place))


def find_span(
    prompt: str, tokens: tuple[Token, ...], word: str, *, occurrence: int = 0, whose: str = "the prompt"
) -> TokenSpan:
    """The tokens of a word or phrase; upper and lower case are the same, é in one or two code points, and ' and ’.

    Args:
        prompt: The prompt.
        tokens: Its tokens.
        word: As it stands in the prompt ("red house" finds it across any white space), or `<start>`, `<end>`,
            `<padding>`.
        occurrence: Which one of several such words, from 0; -1 is the last. Parts of other words are counted only
            where there is no such word.
        whose: What the prompt is called in messages.

    Raises:
        WordError: The prompt lacks the word, it is a part of another, or it was cut off. The message says which.
        ParameterError: The word is no text, or empty; the occurrence is no whole number.

    >>> cat = (Token(0, "<s>", 0, 0, "start"), Token(1, "a", 0, 1, "text"), Token(2, "cat", 2, 5, "text"))
    >>> find_span("a cat", cat, "Cat").tokens
    (2,)
    """
    if not isinstance(word, str) or not word.strip():
        raise ParameterError(f"word {word!r}: expected a word of {whose} {prompt!r}")
    if isinstance(occurrence, bool) or not isinstance(occurrence, int):
        raise ParameterError(f"occurrence {occurrence!r}: expected a whole number, 0 for the first")
    if not are_named(tokens):
        raise WordError(_nameless(prompt, tokens, word, whose))
    if role := ROLES.get(word.strip().lower()):
        return _role_span(tokens, word, role)
    read = read_prompt(prompt, tokens)
    places = _found(read, word, whose)
    if not -len(places) <= occurrence < len(places):
        raise WordError(
            f"occurrence {occurrence} of {word!r}: {whose} {prompt!r} holds it {len(places)} time(s), "
            f"numbered from 0"
        )
    place = places[occurrence]
    if lost := read.lost(place):
        raise WordError(
            f"{word!r} {lost}: the model reads {len(tokens)} tokens and {whose} is longer; "
            "move the word forward or shorten the prompt"
            if "cut" in lost
            else f"{word!r} {lost}"
        )
    return _span(read, place)


def _span(read: Prompt, place: Place) -> TokenSpan:
    start, end, _ = place
    return TokenSpan(read.text[start:end], start, end, read.tokens_of(start, end))


def _found(read: Prompt, word: str, whose: str) -> list[Place]:
    """Words, or else parts of words. Raises WordError if there is neither."""
    matches = read.matches(word)
    undivided = [place for place in matches if not any(read.divided(at) for at in place[:2])]
    for counts in (read.is_word, read.is_part):
        if places := _apart(place for place in undivided if counts(place)):
            return places
    raise WordError(_unknown(read, word, matches, whose))


def _apart(places: Iterable[Place]) -> list[Place]:
    apart: list[Place] = []
    for place in places:
        if not apart or place.start >= apart[-1].end:
            apart.append(place)
    return apart


def _role_span(tokens: tuple[Token, ...], word: str, role: str) -> TokenSpan:
    indexes = tuple(token.index for token in tokens if token.role == role)
    if not indexes:
        raise WordError(f"{word}: this run has no {role} token among its {len(tokens)} tokens")
    return TokenSpan(word, 0, 0, indexes)


def _nameless(prompt: str, tokens: tuple[Token, ...], word: str, whose: str) -> str:
    if not prompt.strip():
        return f"no word {word!r}: {whose} is empty"
    return f"no word {word!r}: which tokens {whose} {prompt!r} has is unknown{by_number(tokens)}"


def by_number(tokens: Sequence[Token]) -> str:
    """The remedy where tokens have no names.

    Args:
        tokens: The tokens, () where not even their number is known.
    """
    return f"; use token numbers, 0 to {len(tokens) - 1}" if tokens else "; use token numbers"


def _unknown(read: Prompt, word: str, matches: Sequence[Place], whose: str) -> str:
    if not read.text.strip():
        return f"no word {word!r}: {whose} is empty"
    if not matches:
        words = [read.text[place.start : place.name_end] for place in read.places]
        known = f"; the nearest: {nearest(word, words)}" if words else ", which has no words"
        return f"no word {word!r} in {whose} {read.text!r}{known}"
    place = matches[0]
    around = [w for w in read.places if w.start < place.end and place.start < w.end]
    start = min(place.start, *(w.start for w in around)) if around else place.start
    end = max(place.end, *(w.end for w in around)) if around else place.end
    for at in place[:2]:
        if token := read.divided(at):
            start, end = min(start, token.start_char), max(end, token.end_char)
    numbers = read.tokens_of(place.start, place.end)
    return (
        f"no word {word!r} in {whose} {read.text!r}: it is only a part of {read.text[start:end]!r}; ask for that, or "
        f"for token numbers, such as {', '.join(map(str, numbers)) or 'those of the prompt'}"
    )
