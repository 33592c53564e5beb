"""The tokens that a tokenizer makes of a prompt, each with its place in the prompt as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from attnscope.errors import ParameterError
from attnscope.records import Token
from attnscope.trace.characters import characters

MOST_TOKENS = 1 << 16
"""A tokenizer that knows no limit says 1e30 or so."""


class Tokenized(NamedTuple):
    """A prompt as a model receives it.

    Attributes:
        ids: Numbers in the vocabulary.
        tokens: What they stand for.
        is_cut: Whether the prompt has more tokens.
    """

    ids: tuple[int, ...]
    tokens: tuple[Token, ...]
    is_cut: bool


def tokenize(
    tokenizer: Any, prompt: str, length: int | None = None, *, is_complete: bool = False
) -> Tokenized:
    """Tokens as the model receives them: start, text, end, then padding.

    Args:
        tokenizer: A transformers tokenizer, fast or slow. A slow one knows no places in the prompt, so transformers
            converts it to a fast one.
        prompt: The prompt.
        length: How many tokens the model reads. Default: what the tokenizer says.
        is_complete: Whether the prompt has special tokens in it, so that none are added.

    Raises:
        ParameterError: No length is known, or the places of its tokens can't be.
    """
    if not isinstance(getattr(tokenizer, "is_fast", None), bool):
        raise ParameterError(f"{type(tokenizer).__name__} does not tell where in a text its tokens stand")
    count = tokenizer.model_max_length if length is None else length
    if not 0 < count <= MOST_TOKENS:
        raise ParameterError(f"{type(tokenizer).__name__} says no length (it says {count:g}): give one")
    coded = _coded(tokenizer, prompt, int(count), not is_complete)
    names = tokenizer.convert_ids_to_tokens(list(coded.ids))
    places = list(_places(prompt, coded.offsets))
    tokens = tuple(
        Token(at, prompt[start:end] if end > start else name, start, end, role)
        for at, (name, (start, end), role) in enumerate(
            zip(names, places, _roles(coded, _ends(tokenizer)), strict=True)
        )
    )
    return Tokenized(tuple(coded.ids), tokens, coded.is_cut)


def unnamed_tokens(count: int) -> tuple[Token, ...]:
    """Numbered tokens, where nobody knows the text.

    Args:
        count: How many.
    """
    return tuple(Token(index, f"[{index}]", 0, 0, "text") for index in range(count))


def are_named(tokens: Sequence[Token]) -> bool:
    """Whether it is known what tokens stand for.

    Args:
        tokens: Tokens of one text.
    """
    return any(
        (token.text, token.start_char, token.end_char) != (f"[{token.index}]", 0, 0) for token in tokens
    )


@dataclass(frozen=True)
class _Coded:
    """What a tokenizer gave. special: start, end and padding; attended: all but padding."""

    ids: Sequence[int]
    special: Sequence[int]
    attended: Sequence[int]
    offsets: Sequence[tuple[int, int]]
    is_cut: bool


def _coded(tokenizer: Any, prompt: str, length: int, adds_special: bool) -> _Coded:
    settings = {
        "padding": "max_length", "max_length": length, "truncation": True, "add_special_tokens": adds_special,
    }  # fmt: skip
    if not tokenizer.is_fast:
        ids = list(tokenizer(prompt, **settings)["input_ids"])
        return _slowly_coded(tokenizer, prompt, ids, adds_special)
    encoding = tokenizer(
        prompt,
        return_special_tokens_mask=True,
        return_offsets_mapping=True,
        return_attention_mask=True,
        **settings,
    )
    return _Coded(
        encoding["input_ids"],
        encoding["special_tokens_mask"],
        encoding["attention_mask"],
        encoding["offset_mapping"],
        bool(encoding.encodings[0].overflowing),
    )


def _slowly_coded(tokenizer: Any, prompt: str, ids: list[int], adds_special: bool) -> _Coded:
    """A tokenizer written in Python knows no offsets: let transformers convert it to a fast one."""
    from transformers.convert_slow_tokenizer import convert_slow_tokenizer

    fast = convert_slow_tokenizer(tokenizer)
    added = sorted(tokenizer.get_added_vocab().items(), key=lambda item: item[1])
    fast.add_tokens([name for name, _ in added if fast.token_to_id(name) is None])
    fast.enable_truncation(len(ids))
    fast.enable_padding(length=len(ids), pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    encoding = fast.encode(prompt, add_special_tokens=adds_special)
    if encoding.ids != ids:
        raise ParameterError(
            f"the tokenizer {type(tokenizer).__name__} and its fast form split {prompt!r} differently, so the "
            "places of its tokens are unknown; load the fast tokenizer"
        )
    special, attended = encoding.special_tokens_mask, encoding.attention_mask
    return _Coded(ids, special, attended, encoding.offsets, bool(encoding.overflowing))


def _places(prompt: str, offsets: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Places of tokens without white space, and with the marks that their letters were composed with.

    A tokenizer composes letters first, and then gives the place of the letter without its marks.
    """
    ends = {
        at: character.end for character in characters(prompt) for at in range(character.start, character.end)
    }
    begun = {start for start, end in offsets if end > start}
    for start, end in offsets:
        while start < end and prompt[start].isspace():
            start += 1
        while start < end and prompt[end - 1].isspace():
            end -= 1
        while start < end < ends[end - 1] and end not in begun:
            end += 1
        yield start, end


def _ends(tokenizer: Any) -> set[int | None]:
    """Numbers of the tokens that end a text."""
    names = ("eos_token_id", "sep_token_id")
    return {number for name in names if (number := getattr(tokenizer, name, None)) is not None}


def _roles(coded: _Coded, ends: set[int | None]) -> Iterator[Any]:
    text = [at for at, special in enumerate(coded.special) if not special]
    around = [
        at
        for at, (special, read) in enumerate(zip(coded.special, coded.attended, strict=True))
        if special and read
    ]
    for at, special in enumerate(coded.special):
        if not special:
            yield "text"
        elif at not in around:
            yield "padding"
        elif text:
            yield "start" if at < text[0] else "end"
        else:  # an empty text: start and end, or only one of them
            yield "end" if coded.ids[at] in ends and (at > around[0] or len(around) == 1) else "start"
