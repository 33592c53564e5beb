"""Files here and behind fsspec addresses: read, written whole or not at all, identified.

A folder here: a file gets its name when it is whole and on the disk. Object stores (s3, gs, hf, az ...) and memory:
an object is there when all of it came. Other places: written under another name first, then renamed by the place.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attnscope.errors import AttnscopeError, MissingExtraError, OutputError, PlaceError, missing_extra
from attnscope.files import explained, whole_file

_WHOLE_AT_ONCE = {"s3", "s3a", "gs", "gcs", "hf", "az", "abfs", "abfss", "adl", "oci", "oss", "memory"}
_MARKS = (
    "ETag",
    "etag",
    "md5Hash",
    "crc32c",
    "oid",
    "blob_id",
    "mtime",
    "LastModified",
    "last_modified",
    "created",
)


def is_remote(address: str) -> bool:
    """Whether an address is fsspec's, not a path of this machine.

    Args:
        address: A path, or PROTOCOL://...
    """
    return "://" in address and not address.startswith("file://")


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Stores and their libraries raise errors of many kinds: here they become one. A missing file stays what it is.

    Args:
        address: What is asked for.

    Raises:
        PlaceError: It can't be reached.
    """
    try:
        yield
    except (FileNotFoundError, AttnscopeError):
        raise
    except Exception as error:
        raise PlaceError(
            f"can't reach {address}: {type(error).__name__}: {error}; check the address, your rights to it and the "
            "network"
        ) from error


def file_system(address: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path in it.

    Args:
        address: PROTOCOL://...

    Raises:
        MissingExtraError: fsspec, or what it needs for this protocol, is not installed.
        PlaceError: It knows no such protocol.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise missing_extra(address, "fsspec", "folders") from error
    with reaching(address):
        try:
            return url_to_fs(address)
        except ImportError as error:
            raise MissingExtraError(f"{address}: {error}") from error


def local_path(address: str) -> Path:
    """The path of an address of this machine.

    Args:
        address: A path, or file://...
    """
    return Path(address.removeprefix("file://"))


def joined(folder: str, name: str) -> str:
    """The address of a file in a folder.

    Args:
        folder: A path or an address.
        name: Relative, with `/` between parts.
    """
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else str(local_path(folder) / name)


def read(address: str) -> bytes:
    """All of a file.

    Args:
        address: A path or an address.

    Raises:
        OSError: It can't be read.
        PlaceError: Its store can't be reached.
    """
    if not is_remote(address):
        return local_path(address).read_bytes()
    files, path = file_system(address)
    with reaching(address):
        return bytes(files.cat_file(path))


def exists(address: str) -> bool:
    """Whether there is a file.

    Args:
        address: A path or an address.

    Raises:
        PlaceError: Its store can't be reached.
    """
    if not is_remote(address):
        return local_path(address).is_file()
    files, path = file_system(address)
    with reaching(address):
        return bool(files.exists(path))


def remove(address: str) -> None:
    """Take a file away, if there is one.

    Args:
        address: A path or an address.

    Raises:
        OutputError: It is there and can't be taken away.
        PlaceError: Its store can't be reached.
    """
    if not is_remote(address):
        with explained(local_path(address)):
            local_path(address).unlink(missing_ok=True)
        return
    files, path = file_system(address)
    with suppress(FileNotFoundError), reaching(address):
        files.rm_file(path)


def write(address: str, contents: bytes) -> None:
    """Write a file, whole or not at all; one that is there is replaced.

    Args:
        address: A path or an address.
        contents: All of it.

    Raises:
        OutputError: It can't be written.
    """
    if not is_remote(address):
        with whole_file(local_path(address)) as partial:
            partial.write_bytes(contents)
        return
    files, path = file_system(address)
    how: Callable[[Any, str, bytes], None] = (
        _put if address.split("://")[0] in _WHOLE_AT_ONCE else _put_and_rename
    )
    try:
        how(files, path, contents)
    except Exception as error:  # of whatever kind: see `reaching`
        raise OutputError(f"can't write {address}: {error}; choose another place") from error


def check_writable(folder: str) -> None:
    """Refuse a folder in which nothing can be written, before hours are spent on what would go there.

    Args:
        folder: A path or an address. A small file is written there and taken away.

    Raises:
        OutputError: Nothing can be written.
        PlaceError: What was written can't be taken away.
    """
    trial = joined(folder, f".attnscope-{secrets.token_hex(4)}")
    write(trial, b"")
    remove(trial)


def _put(files: Any, path: str, contents: bytes) -> None:
    files.pipe_file(path, contents)


def _put_and_rename(files: Any, path: str, contents: bytes) -> None:
    folder, _, name = path.rpartition("/")
    partial = f"{folder}/.{name}.{secrets.token_hex(4)}.partial"
    files.makedirs(folder, exist_ok=True)
    files.pipe_file(partial, contents)
    files.mv(partial, path)


def identity(address: str) -> dict[str, Any]:
    """What tells an input from another of its name, without reading it: its size, and its time or the store's own mark.

    Args:
        address: A path or an address.

    Raises:
        OSError: There is no such input.
        PlaceError: Its store can't be reached.
    """
    if not is_remote(address):
        known = local_path(address).stat()
        return {
            "address": str(local_path(address).absolute()),
            "bytes": known.st_size,
            "mtime_ns": known.st_mtime_ns,
        }
    files, path = file_system(address)
    with reaching(address):
        info = files.info(path)
    mark = next((f"{name} {info[name]}" for name in _MARKS if info.get(name)), None)
    return {"address": address, "bytes": info.get("size"), "mark": mark}
