"""Files and folders that are written whole or not at all; nothing is written over unasked.

`names` has names for files that are made of texts, `temporary` those of what is not whole yet, `plain` values as JSON
has them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from attnscope.errors import AttnscopeError, OutputError
from attnscope.files.temporary import drop_older, older_beside, remove_folder, temporary_beside, tidy

_MOST_NAMED = 3  # files that an error lists
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path to write a file to. It becomes `path` when the block ends without an exception.

    Args:
        path: Where the file is to be. Missing folders are made; a file that is there is replaced.

    Yields:
        A path with the same name, in a temporary folder beside it, since libraries put files of their own there.

    Raises:
        OutputError: The place can't be written, or the disk is full. Nothing half-written is left.
    """
    target = _followed(path)
    with explained(Path(path)), _made(target.parent):
        _check_kind(target, "file")
        place = temporary_beside(target)
        place.mkdir()
        partial = place / target.name
        try:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # less the user's umask
            mode = partial.stat().st_mode
            yield partial
            partial.chmod(mode)  # again: what a library put there has another
            _flush(partial)
            partial.replace(target)
            _flush_folder(target.parent)
        finally:
            remove_folder(place)


@contextmanager
def whole_files(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """As `whole_file` for several: none gets its name before all are written and on the disk.

    Args:
        paths: Where the files are to be.

    Yields:
        Where to write each of them.

    Raises:
        OutputError: One of them can't be written, or the disk is full.
    """
    with ExitStack() as stack:
        partials = [stack.enter_context(whole_file(path)) for path in paths]
        yield partials
        for partial in partials:
            _flush(partial)


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
    target = _followed(path)
    check_free(folders=[Path(path)], overwrite=overwrite)
    with explained(Path(path)), _made(target.parent):
        partial = temporary_beside(target)
        partial.mkdir()
        try:
            yield partial
            _swap_in(partial, target)
        finally:  # on success it holds what was replaced
            remove_folder(partial)


def check_free(
    files: Iterable[Path] = (),
    *,
    folders: Iterable[Path] = (),
    overwrite: bool,
    remedy: str = "choose another name, or pass overwrite=True",
) -> None:
    """Check that a set of files can be written, all of them, before the first is made.

    Args:
        files: The very files that will be written.
        folders: Folders that will be made. An empty one is a free place.
        overwrite: Whether what is there may be replaced. A folder is never replaced by a file, nor a file by a folder.
        remedy: What the error says to do about what is there.

    Raises:
        OutputError: One of them is there already, or is in a place that can't be written.
    """
    wanted = {**dict.fromkeys(files, "file"), **dict.fromkeys(folders, "folder")}
    for path, kind in wanted.items():
        with explained(path):
            _check_place(path.parent)
            tidy(path.parent)
            if kind == "folder":
                tidy(path)
            _check_kind(path, kind)
    taken = [path for path, kind in wanted.items() if os.path.lexists(path) and not _is_free(path, kind)]
    if taken and not overwrite:
        more = ", ..." if len(taken) > _MOST_NAMED else ""
        others = ", ".join(path.name for path in taken[1:_MOST_NAMED])
        raise OutputError(f"{taken[0]} exists already{others and f', as do {others}{more}'}; {remedy}")


def _check_kind(path: Path, kind: str) -> None:
    """A device or a pipe is never replaced: others use it, and root could."""
    if path.exists() and not (path.is_dir() if kind == "folder" else path.is_file()):
        there = "folder" if path.is_dir() else "file" if path.is_file() else "device or a pipe"
        raise OutputError(f"{path} exists already and is a {there}, not a {kind}; choose another name")


def _is_free(path: Path, kind: str) -> bool:
    return kind == "folder" and is_empty_folder(path)


def _check_place(folder: Path) -> None:
    """OSError where no file can be made in a folder that need not exist yet."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"{there} is read-only")


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder. A name that the system refuses, such as one of 300 letters, is none.

    Args:
        path: Any path.
    """
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def is_empty_folder(path: Path) -> bool:
    """Whether the path is a folder with nothing in it, and so may be taken.

    Args:
        path: A path that need not exist.
    """
    return path.is_dir() and not any(path.iterdir())


def missing_folders(folder: Path) -> list[Path]:
    """The folders that making one will make, the deepest first.

    Args:
        folder: A folder that need not exist.
    """
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Take folders away that hold nothing; the others stay.

    Args:
        folders: The deepest first.
    """
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """A folder with all above it, which is taken away again if the block fails and nothing else came into it."""
    missing = missing_folders(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        remove_empty(missing)
        raise


def _followed(path: str | Path) -> Path:
    """Where a path leads, also after `os.chdir`: a link stays, and what it leads to is written."""
    return Path(os.path.realpath(path)) if "\0" not in str(path) else Path(path)


def _swap_in(partial: Path, target: Path) -> None:
    """Give a folder the name of another, at once if the file system can. A kill leaves one of them under the name."""
    if not target.exists():
        partial.replace(target)
    elif not _exchanged(partial, target):
        _replace(partial, target)
    _flush_folder(target.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two names were exchanged in one step, which Linux can on most file systems."""
    if sys.platform != "linux":
        return False
    system = ctypes.CDLL(None)
    if not hasattr(system, "renameat2"):
        return False
    names = (_HERE, os.fsencode(one), _HERE, os.fsencode(other))
    return int(system.renameat2(*names, _EXCHANGE)) == 0


def _replace(partial: Path, target: Path) -> None:
    """In two steps. After a kill between them, `tidy` puts the older folder back."""
    aside = older_beside(target)
    aside.mkdir()
    older = aside / target.name
    try:
        target.rename(older)
        partial.rename(target)
    finally:
        if not target.exists():
            older.rename(target)
        drop_older(aside)


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """What the system says against a path, as one error with a remedy.

    Args:
        target: The path.

    Raises:
        OutputError: In place of an OSError, and for a name that no file can have.
    """
    try:
        _check_letters(target)
        yield
    except AttnscopeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"can't write {target}: {reason}; choose another place or make room") from error


def _check_letters(target: Path) -> None:
    """OSError for a name that the system can't even be asked for."""
    if "\0" in str(target):
        raise OSError(errno.EINVAL, "a name can't hold a null character")
    try:
        os.fsencode(target)
    except UnicodeEncodeError as error:
        raise OSError(errno.EINVAL, f"{error}: characters that file names can't have here") from error


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        with suppress(OSError):
            os.fsync(opened)
        os.close(opened)
