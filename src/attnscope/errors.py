"""Every error that attnscope raises on purpose.

    AttnscopeError
    ├── ImageError            (ValueError)    a picture that can't be read or has no usable size
    ├── ModelError            (ValueError)    a model that can't be loaded or whose attention is unknown
    ├── MissingExtraError     (ImportError)   an optional package that the call needs is not installed
    ├── CaptureError          (RuntimeError)  a capture that can't start or did not see what it should
    │   └── UnobservedError                   an attention layer whose Q and K can't be watched
    ├── EditError         (RuntimeError)  an edit that can't be made of the attention that runs
    ├── RepeatError       (RuntimeError)  the run of a trace that can't be made again
    ├── SelectionError        (KeyError)      a block, step, branch, head, query ... that a trace lacks
    │   └── WordError                         a word that the prompt does not contain
    ├── ParameterError        (ValueError)    a number or a choice outside its range
    │   └── NumbersError                      Q, K or a mask that give no attention: NaN, infinite, too large
    ├── KeywordError          (TypeError)     a keyword that a function does not have
    ├── BusyError             (RuntimeError)  too much long work is waiting already
    ├── TraceFormatError      (ValueError)    a trace folder that is broken, hostile or of another version
    └── OutputError           (OSError)       a file that can't be written

A message says what came, what was expected, and what to do.
"""

from __future__ import annotations

import difflib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path


class AttnscopeError(Exception):
    """Base of all errors that attnscope raises on purpose."""

    def __str__(self) -> str:  # KeyError would show the message in quotes
        return str(self.args[0]) if self.args else self.__class__.__name__


class ImageError(AttnscopeError, ValueError):
    """A picture can't be read, or its size can't be used."""


class ModelError(AttnscopeError, ValueError):
    """A model can't be loaded, or has no attention that is known."""


class MissingExtraError(AttnscopeError, ImportError):
    """An optional package that this call needs is not installed."""


class CaptureError(AttnscopeError, RuntimeError):
    """A capture can't start, or did not see what it should have seen."""


class UnobservedError(CaptureError):
    """An attention layer ran in a way that shows neither its queries nor its keys, as xformers does."""


class EditError(AttnscopeError, RuntimeError):
    """An edit can't be made of the attention that runs."""


class RepeatError(AttnscopeError, RuntimeError):
    """The run of a trace can't be made again with a pipeline, or gave another picture."""


class SelectionError(AttnscopeError, KeyError):
    """A trace has no such block, kind, step, branch, image, head, query or token."""


class WordError(SelectionError):
    """The prompt has no such word."""


class ParameterError(AttnscopeError, ValueError):
    """A number or a choice is outside its range."""


class NumbersError(ParameterError):
    """Q, K or a mask holds NaN or infinite numbers, or such large ones that their products overflow."""


class KeywordError(AttnscopeError, TypeError):
    """A function has no such keyword, or got the same choice twice."""


class BusyError(AttnscopeError, RuntimeError):
    """Too much long work is waiting already."""


class TraceFormatError(AttnscopeError, ValueError):
    """A trace folder is broken, hostile or of another version."""


class OutputError(AttnscopeError, OSError):
    """A file can't be written."""


class PlaceError(AttnscopeError, RuntimeError):
    """An address, such as s3://bucket/photos, can't be reached."""


class WorkerError(AttnscopeError, RuntimeError):
    """A worker in another process can't do anything, such as without its model."""


EXTRAS = {"folders": ("pyarrow",), "viewer": ("fastapi", "uvicorn"), "studio": ("fastapi", "uvicorn")}
"""By extra the packages that are looked for before long work begins."""


def check_extra(doing: str, extra: str, hint: str = "") -> None:
    """Refuse what needs an extra that is not installed.

    Args:
        doing: What needs it, as the message's first words.
        extra: One of `EXTRAS`.
        hint: What else there is to say.

    Raises:
        MissingExtraError: One of its packages is not installed.
    """
    missing = [package for package in EXTRAS[extra] if importlib.util.find_spec(package) is None]
    if missing:
        *others, last = missing
        raise missing_extra(doing, f"{', '.join(others)} and {last}" if others else last, extra, hint)


def missing_extra(doing: str, packages: str, extra: str, hint: str = "") -> MissingExtraError:
    """The error for a package that could not be imported.

    Args:
        doing: What needs it, as the message's first words.
        packages: What is missing, as people call it.
        extra: The extra that installs it.
        hint: What else there is to say.
    """
    return MissingExtraError(f"{doing} needs {packages}: {_installing(extra)}{hint}")


def _installing(extra: str) -> str:
    """The command that installs an extra into this very environment: pip does not reach those that uv and pipx own."""
    environment = Path(sys.prefix)
    if environment.parent.name.startswith("archive-v"):  # made by uvx, for one call
        return f'uvx --from "attnscope[{extra}]" attnscope'
    if (environment / "uv-receipt.toml").exists():
        return f'uv tool install "attnscope[{extra}]"'
    if (environment / "pipx_metadata.json").exists():
        return f'pipx install --force "attnscope[{extra}]"'
    if "pipx" in environment.parts:  # made by `pipx run`
        return f'pipx run --spec "attnscope[{extra}]" attnscope'
    return f'pip install "attnscope[{extra}]"'


def nearest(
    name: str, known: Iterable[str], *, count: int = 3, otherwise: Sequence[str] | None = None
) -> str:
    """The known names most like `name`, as text for a message.

    Args:
        name: The name that nobody knows.
        known: All the names that would have been right.
        count: How many to list at most.
        otherwise: What to list where none is similar. Default: all of them.

    Returns:
        Quoted names, separated by commas.
    """
    options = list(dict.fromkeys(known))
    close = difflib.get_close_matches(name, options, n=count, cutoff=0.5)
    return ", ".join(repr(option) for option in (close or otherwise or options))


def describe_numbers(numbers: Sequence[int]) -> str:
    """Numbers as text for a message: '0 to 49', or one by one where they have gaps.

    Args:
        numbers: Whole numbers in ascending order.

    Returns:
        'none' where there are no numbers.
    """
    if not len(numbers):
        return "none"
    if len(numbers) > 1 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(str(number) for number in numbers)
