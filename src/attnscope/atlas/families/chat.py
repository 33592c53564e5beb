"""Prompts in the template of a chat, which a tokenizer writes."""

from __future__ import annotations

from collections.abc import Callable

from attnscope.atlas.families.family import Written

_MARK = "\u2042"
"""A sign that no template has."""


def written_in(text: str, write: Callable[[str], str]) -> Written:
    """A prompt in a template.

    Args:
        text: The prompt.
        write: Writes a prompt into it.
    """
    before, _, _ = write(_MARK).partition(_MARK)
    whole = write(text)
    cut = len(text) - len(text.lstrip()) if not whole.startswith(text, len(before)) else 0
    return Written(whole, len(before) - cut)


def unwritten(text: str, write: Callable[[str], str]) -> str:
    """The prompt in a text, if that is what a template makes of one; else the text.

    Args:
        text: What may be written already.
        write: Writes a prompt into the template.
    """
    before, _, after = write(_MARK).partition(_MARK)
    inner = text.removeprefix(before).removesuffix(after)
    return inner if before and write(inner) == text else text
