"""Words of a prompt and the tokens that carry them."""

from __future__ import annotations

import re
from typing import Any

from attnscope.errors import ParameterError, WordError, nearest
from attnscope.records import Token, TokenSpan

_WORD = re.compile(r"(<[^<>\s]+>)(?:\s+\1_\d+)*|\w+(?:['’\-]\w+)*")  # <name> <name>_1: textual inversion
_ROLES = {
    "<start>": "start",
    "<|startoftext|>": "start",
    "<end>": "end",
    "<|endoftext|>": "end",
    "<padding>": "padding",
}


def tokenize(tokenizer: Any, prompt: str) -> tuple[Token, ...]:
    """Tokens as the model receives them: start, text, end, then padding up to the model's length.

    Args:
        tokenizer: A transformers tokenizer, fast or slow. A slow one knows no places in the prompt, so transformers
            converts it to a fast one.
        prompt: The prompt.

    Raises:
        ParameterError: A slow tokenizer and its fast form split the prompt differently.
    """
    encoding = _encode(tokenizer, prompt)
    names = tokenizer.convert_ids_to_tokens(encoding["input_ids"])
    special, offsets = encoding["special_tokens_mask"], encoding["offset_mapping"]
    last_text = max((index for index, flag in enumerate(special) if not flag), default=0)
    return tuple(
        Token(
            index,
            _readable(prompt, name, span),
            span[0],
            span[1],
            _role(index, bool(special[index]), last_text),
        )
        for index, (name, span) in enumerate(zip(names, offsets, strict=True))
    )


def unnamed_tokens(count: int) -> tuple[Token, ...]:
    """Numbered tokens, for embeddings that came without a prompt.

    Args:
        count: How many.
    """
    return tuple(Token(index, f"[{index}]", 0, 0, "text") for index in range(count))


def prompt_words(prompt: str, tokens: tuple[Token, ...]) -> tuple[TokenSpan, ...]:
    """The words of a prompt that reached the model, in order and without punctuation.

    Args:
        prompt: The prompt.
        tokens: Its tokens.
    """
    spans = (_span(match.group(), match.start(), match.end(), tokens) for match in _WORD.finditer(prompt))
    return tuple(span for span in spans if span.tokens)


def find_span(prompt: str, tokens: tuple[Token, ...], word: str, *, occurrence: int = 0) -> TokenSpan:
    """The tokens of a word or phrase; upper and lower case are the same.

    Args:
        prompt: The prompt.
        tokens: Its tokens.
        word: As it stands in the prompt ("red house" finds it across any white space), or `<start>`, `<end>`,
            `<padding>`.
        occurrence: Which one of several such words, from 0; -1 is the last.

    Raises:
        WordError: The prompt lacks the word, or it was cut off. The message lists the nearest words.
        ParameterError: The word is no text, or empty.

    >>> cat = (Token(0, "<s>", 0, 0, "start"), Token(1, "a", 0, 1, "text"), Token(2, "cat", 2, 5, "text"))
    >>> find_span("a cat", cat, "Cat").tokens
    (2,)
    """
    if not isinstance(word, str) or not word.strip():
        raise ParameterError(f"word {word!r}: expected a word of the prompt {prompt!r}")
    if role := _ROLES.get(word.strip().lower()):
        return _role_span(tokens, word, role)
    matches = list(_pattern(word).finditer(prompt))
    if not matches:
        raise WordError(_unknown(prompt, tokens, word))
    if not -len(matches) <= occurrence < len(matches):
        raise WordError(
            f"occurrence {occurrence} of {word!r}: the prompt {prompt!r} holds it {len(matches)} time(s), "
            f"numbered from 0"
        )
    match = matches[occurrence]
    span = _span(match.group(), match.start(), match.end(), tokens)
    if not span.tokens:
        raise WordError(
            f"{word!r} was cut off: the model reads {len(tokens)} tokens and the prompt is longer; "
            f"move the word forward or shorten the prompt"
        )
    return span


def _encode(tokenizer: Any, prompt: str) -> dict[str, list]:
    settings = {"padding": "max_length", "max_length": tokenizer.model_max_length, "truncation": True}
    if not tokenizer.is_fast:
        return _encode_slow(tokenizer, prompt, tokenizer(prompt, **settings)["input_ids"])
    encoding = tokenizer(prompt, return_special_tokens_mask=True, return_offsets_mapping=True, **settings)
    return {name: encoding[name] for name in ("input_ids", "special_tokens_mask", "offset_mapping")}


def _encode_slow(tokenizer: Any, prompt: str, ids: list[int]) -> dict[str, list]:
    """A tokenizer written in Python knows no offsets: let transformers convert it to a fast one."""
    from transformers.convert_slow_tokenizer import convert_slow_tokenizer

    fast = convert_slow_tokenizer(tokenizer)
    added = sorted(tokenizer.get_added_vocab().items(), key=lambda item: item[1])
    fast.add_tokens([name for name, _ in added if fast.token_to_id(name) is None])
    fast.enable_truncation(len(ids))
    fast.enable_padding(length=len(ids), pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    encoding = fast.encode(prompt)
    if encoding.ids != ids:
        raise ParameterError(
            f"the tokenizer {type(tokenizer).__name__} and its fast form split {prompt!r} differently, so the "
            "places of its tokens are unknown; load the fast tokenizer"
        )
    special, offsets = encoding.special_tokens_mask, encoding.offsets
    return {"input_ids": ids, "special_tokens_mask": special, "offset_mapping": offsets}


def _readable(prompt: str, name: str, span: tuple[int, int]) -> str:
    start, end = span
    return prompt[start:end] if end > start else name


def _role(index: int, special: bool, last_text: int) -> Any:
    if not special:
        return "text"
    if index == 0:
        return "start"
    return "end" if index == last_text + 1 else "padding"


def _span(word: str, start: int, end: int, tokens: tuple[Token, ...]) -> TokenSpan:
    covered = (t.index for t in tokens if t.role == "text" and t.start_char < end and t.end_char > start)
    return TokenSpan(word, start, end, tuple(covered))


def _role_span(tokens: tuple[Token, ...], word: str, role: str) -> TokenSpan:
    indexes = tuple(token.index for token in tokens if token.role == role)
    if not indexes:
        raise WordError(f"{word}: this run has no {role} token among its {len(tokens)} tokens")
    return TokenSpan(word, 0, 0, indexes)


def _pattern(word: str) -> re.Pattern[str]:
    """Finds the word with any white space inside, but not as a part of a longer word.

    Textual inversion writes a name of several vectors as "<toy> <toy>_1 <toy>_2": all of them are the word.
    """
    text = r"\s+".join(re.escape(part) for part in word.split())
    before = r"(?<!\w)" if word.strip()[0].isalnum() else ""
    after = r"(?!\w)" if word.strip()[-1].isalnum() else ""
    vectors = rf"(?:\s+{text}_\d+)*" if len(word.split()) == 1 else ""
    return re.compile(before + text + after + vectors, re.IGNORECASE)


def _unknown(prompt: str, tokens: tuple[Token, ...], word: str) -> str:
    if not prompt.strip():
        return (
            f"no word {word!r}: the prompt is empty or the run got embeddings without a prompt; "
            f"use a token number from 0 to {len(tokens) - 1}"
        )
    words = [
        match.group() for match in _WORD.finditer(prompt)
    ]  # whole matches: a name may have several vectors
    return f"no word {word!r} in the prompt {prompt!r}; the nearest: {nearest(word, words)}"
