"""Files of a trace, which others may have written, or may be writing: plain files only, read and never mapped.

A file that is mapped and then cut short ends the process. One that is read gives fewer bytes.
"""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attnscope.errors import TraceFormatError

MAX_JSON_VALUES = 1 << 22  # a thousand calls of 140 layers have half as many
_ONLY_PLAIN = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
RESTORE = "restore it or capture again"
Stamp = tuple[int, ...]
"""What changes when a file is written to or replaced."""


@contextmanager
def plain_file(path: Path, *, missing: str) -> Iterator[io.FileIO]:
    """A file, open for reading.

    Args:
        path: The file.
        missing: What to say if it is not there.

    Raises:
        TraceFormatError: It is missing, a link, a folder, a pipe or a device, or can't be read.
    """
    try:
        with readable(path):
            _check_kind(path, path.lstat().st_mode)
            with os.fdopen(os.open(path, os.O_RDONLY | _ONLY_PLAIN), "rb", buffering=0) as file:
                _check_kind(path, os.fstat(file.fileno()).st_mode)
                yield file
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TraceFormatError(missing) from error


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What the system says against reading, as an error of a trace; but for what is missing.

    Args:
        path: What is read.

    Raises:
        TraceFormatError: It can't be read.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        where, reason = error.filename or path, error.strerror or str(error)
        raise TraceFormatError(
            f"can't read {where}: {reason}; a trace's folder and files must be readable"
        ) from error


def stamp_of(file: io.FileIO) -> Stamp:
    """What changes when a file is written to or replaced.

    Args:
        file: The file.
    """
    state = os.fstat(file.fileno())
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def bytes_at(file: io.FileIO, at: int, count: int) -> bytes:
    """Bytes of a file; fewer where it ends before.

    Args:
        file: The file.
        at: Number of the first byte.
        count: How many are asked for.
    """
    data = bytearray(count)
    return bytes(memoryview(data)[: fill(file, at, memoryview(data))])


def fill(file: io.FileIO, at: int, into: memoryview) -> int:
    """Read bytes of a file, and return how many there were.

    Args:
        file: The file.
        at: Number of the first byte.
        into: Where they go; as many as fit are read.
    """
    file.seek(at)
    done = 0
    while done < len(into) and (count := file.readinto(into[done:])):
        done += count
    return done


def damaged(path: Path, why: str) -> TraceFormatError:
    """The error for a file whose contents can't be those that were written.

    Args:
        path: The file.
        why: What is wrong with it.
    """
    return TraceFormatError(f"{path}: damaged: {why}; {RESTORE}")


def strict_json(data: bytes) -> Any:
    """JSON from others: no name twice in an object, no NaN, neither too many values nor too deep.

    Args:
        data: The text.

    Raises:
        ValueError: It is something else.
    """
    values = sum(data.count(mark) for mark in (b"[", b"{", b","))
    if values > MAX_JSON_VALUES:
        raise ValueError(f"some {values} values; expected at most {MAX_JSON_VALUES}")
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_without_twins, parse_constant=_no_such_number
        )
    except RecursionError as error:
        raise ValueError("lists nested too deep to read") from error


def _check_kind(path: Path, mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise TraceFormatError(f"{path}: a link; a trace holds plain files only: put the file itself there")
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise TraceFormatError(f"{path}: {what}; a trace holds plain files only: {RESTORE}")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name appears twice in one object")
    return values


def _no_such_number(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")
