"""Values of a manifest as declared types with limits. Whatever else stands there is one ValueError that says so."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

MAX_SIDE = 1 << 20  # of any axis: far above a real run, far below what would overflow
MAX_REAL = 1e9  # scales, timesteps, guidance: far above a real run, far below what float32 can't hold
MAX_TEXT = 1 << 15  # characters of one text
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_SHOWN = 80  # characters of a wrong value in a message
_REASON = 200  # of what is wrong
T = TypeVar("T")


def number(value: Any, *, least: int = 1, most: int = MAX_SIDE) -> int:
    """A whole number within limits.

    Args:
        value: What should be one.
        least: The least that it may be.
        most: The most that it may be.

    Raises:
        ValueError: It is something else.
    """
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{brief(value)} is not a whole number from {least} to {most}")
    return value


def real(value: Any) -> float:
    """A number that float32 holds easily.

    Args:
        value: What should be one.

    Raises:
        ValueError: It is something else, or NaN, infinite or beyond any real run.
    """
    if type(value) not in (int, float) or not abs(value) <= MAX_REAL:
        raise ValueError(f"{brief(value)} is not a number from {-MAX_REAL:g} to {MAX_REAL:g}")
    return float(value)


def flag(value: Any) -> bool:
    """True or false.

    Args:
        value: What should be one of them.

    Raises:
        ValueError: It is something else.
    """
    return _of_type(bool, value, "true or false")


def text(value: Any) -> str:
    """A text, cleaned.

    Args:
        value: What should be one.

    Raises:
        ValueError: It is something else, or too long.
    """
    if type(value) is not str or len(value) > MAX_TEXT:
        raise ValueError(f"{brief(value)} is not a text of at most {MAX_TEXT} characters")
    return cleaned(value)


def items(value: Any) -> list[Any]:
    """A list.

    Args:
        value: What should be one.

    Raises:
        ValueError: It is something else.
    """
    return _of_type(list, value, "a list")


def cleaned(letters: str) -> str:
    """A text without what no reader can show: control characters but tabs and line ends, and halves of letters.

    Each becomes one U+FFFD, so that places in the text stay right.

    Args:
        letters: The text.
    """
    return _UNREADABLE.sub("\ufffd", letters)


def storable(value: Any) -> Any:
    """Plain values as a manifest may hold them: texts cleaned and not endless, numbers that JSON lacks as null.

    Args:
        value: Lists, mappings by texts, texts, numbers, None.
    """
    if isinstance(value, str):
        return cleaned(value[:MAX_TEXT])
    if isinstance(value, Mapping):
        return {storable(name): storable(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def brief(value: Any) -> str:
    """A wrong value for a message: not endless, and nothing in it that acts on a terminal.

    Args:
        value: Any value that JSON can hold.
    """
    if isinstance(value, (list, dict)):
        return "[...]" if isinstance(value, list) and value else "{...}" if value else str(value)
    if isinstance(value, int) and abs(value) >= 1 << 256:
        return f"a number of {value.bit_length()} bits"
    shown = ascii(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def reason(error: Exception) -> str:
    """What is wrong with values from others, for a message.

    Args:
        error: What reading them raised.
    """
    told = str(error)
    shown = (told if told.isprintable() else ascii(told)[1:-1])[:_REASON]
    if isinstance(error, KeyError):
        return f"there is no {shown}"
    return shown if isinstance(error, ValueError) else f"{type(error).__name__} {shown}"


def _of_type(kind: type[T], value: Any, what: str) -> T:
    if type(value) is not kind:
        raise ValueError(f"{brief(value)} is not {what}")
    return value
