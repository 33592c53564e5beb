"""What a terminal can show: text without control characters, streams that are closed, narrow or not UTF-8."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import TextIO

from rich.console import Console

_UNLIMITED = 10_000  # columns of what goes into a pipe or a file, where nothing needs to fit a screen
HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, ends of lines, what turns the direction of text, and halves of letters."""


def shown(text: str, encoding: str | None = "utf-8") -> str:
    r"""Text of unknown origin as it may reach a terminal: what would act on it, or what it lacks, as an escape.

    Args:
        text: The text, of one line.
        encoding: The terminal's.

    >>> print(shown("a\x1b[2Jb"), shown("猫", "ascii"))
    a\x1b[2Jb \u732b
    """
    harmless = HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    encoding = encoding or "utf-8"
    return harmless.encode(encoding, "backslashreplace").decode(encoding)


def data_console() -> Console:
    """For tables and other results."""
    limited = sys.stdout.isatty() or "COLUMNS" in os.environ
    return _console(sys.stdout, None if limited else _UNLIMITED)


def word_console() -> Console:
    """For messages and progress. One for each stream, so that a message does not tear a bar."""
    return _cached_console(sys.stderr)


@lru_cache(maxsize=1)
def _cached_console(stream: TextIO) -> Console:
    return _console(stream, None)


def _console(stream: TextIO, width: int | None) -> Console:
    """What is printed is text: no markup, no emoji codes, no colours for numbers."""
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)


@contextmanager
def writable_streams() -> Iterator[list[TextIO]]:
    """stdout and stderr that take every letter and are never None, until the block ends."""
    with ExitStack() as undo:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            undo.callback(setattr, sys, name, stream)
            if stream is None:  # closed by the shell, as in `>&-`
                setattr(sys, name, undo.enter_context(open(os.devnull, "w", encoding="utf-8")))  # noqa: PTH123
            elif hasattr(stream, "reconfigure"):
                undo.callback(stream.reconfigure, errors=stream.errors)
                stream.reconfigure(errors="backslashreplace")
        yield [sys.stdout, sys.stderr]


def flush_all(streams: Iterable[TextIO]) -> None:
    """Write what waits in streams.

    Args:
        streams: The streams.

    Raises:
        OSError: Nobody reads one any more, or its disk is full. What is left of it is dropped.
    """
    for stream in streams:
        try:
            stream.flush()
        except OSError:
            drop(stream)
            raise


def drop(stream: TextIO) -> None:
    """Let a stream lead nowhere, so that Python does not try to write the rest when it ends.

    Args:
        stream: One whose reader has gone.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
