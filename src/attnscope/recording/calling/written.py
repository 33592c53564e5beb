"""The tokens of a prompt among those of what a pipeline wrote around it: an instruction, or a chat's template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from attnscope.atlas.families import Written
from attnscope.records import Token


def within(tokens: Sequence[Token], written: Written, length: int) -> tuple[Token, ...]:
    """Tokens with their places in the prompt alone. What is written around it has the roles 'start' and 'end'.

    Args:
        tokens: Of the whole text.
        written: What was written.
        length: How many characters the prompt has.
    """
    if (written.start, len(written.text), len(written.dropped)) == (0, length, 0):
        return tuple(tokens)
    kept = (token for token in tokens if token.index not in written.dropped)
    return tuple(replace(_within(token, written, length), index=number) for number, token in enumerate(kept))


def _within(token: Token, written: Written, length: int) -> Token:
    start, end = token.start_char - written.start, token.end_char - written.start
    if token.role != "text":
        return replace(token, start_char=0, end_char=0)
    if end <= 0 or start >= length:
        return replace(token, start_char=0, end_char=0, role="start" if end <= 0 else "end")
    start, end = max(start, 0), min(end, length)
    name = written.text[written.start + start : written.start + end] or token.text
    return replace(token, text=name, start_char=start, end_char=end)
