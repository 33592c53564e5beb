"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attnscope.errors import OutputError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path to write a file to. It becomes `path` when the block ends without an exception.

    Args:
        path: Where the file is to be. Missing folders are made; a file that is there is replaced.

    Yields:
        A path in the same folder, with the same ending.

    Raises:
        OutputError: The place can't be written, or the disk is full. Nothing half-written is left.
    """
    target = Path(path)
    with _explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = _beside(target, target.suffix)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # less the user's umask
        mode = partial.stat().st_mode
        try:
            yield partial
            partial.chmod(mode)  # again: some libraries put a file of their own there
            _flush(partial)
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def whole_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder to fill. It becomes `path` when the block ends without an exception.

    Args:
        path: Where the folder is to be.
        overwrite: Replace a folder that is there. An empty one is replaced in any case.

    Yields:
        A folder beside `path`.

    Raises:
        OutputError: `path` exists and overwrite is false, or the place can't be written.
    """
    target = Path(path)
    if target.exists() and not overwrite and not is_empty_folder(target):
        raise OutputError(f"{target} exists already; choose another name, or overwrite it (overwrite=True)")
    with _explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = _beside(target)
        partial.mkdir()
        try:
            yield partial
            _swap_in(partial, target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def is_empty_folder(path: Path) -> bool:
    """Whether the path is a folder with nothing in it, and so may be taken.

    Args:
        path: A path that need not exist.
    """
    return path.is_dir() and not any(path.iterdir())


def _swap_in(partial: Path, target: Path) -> None:
    if not target.exists():
        partial.replace(target)
        return
    old = _beside(target, ".old")
    target.replace(old)
    partial.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def _beside(target: Path, suffix: str = "") -> Path:
    """A free name in the same folder."""
    return target.with_name(f".{target.stem[:40]}-{secrets.token_hex(6)}{suffix}")


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"can't write {target}: {reason}; choose another place or make room") from error


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        with suppress(OSError):
            os.fsync(folder)
        os.close(folder)
