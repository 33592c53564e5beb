"""A trace as one ZIP that is sent while it is read: nothing is compressed, nothing is written to this disk."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

CHUNK = 2**20
LARGE = 2**31
"""From here on a file gets the larger numbers of ZIP64, which old programs do not read."""


class _Sent:
    """A file that can only be written to: what was written goes out by `take`."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, content: bytes) -> int:
        self._parts.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        """There is nothing to wait for."""

    def close(self) -> None:
        """Nor to close."""

    def take(self) -> bytes:
        content, self._parts = b"".join(self._parts), []
        return content


def zip_stream(
    folder: str, files: Sequence[Path], *, check: Callable[[], None] = lambda: None
) -> Iterator[bytes]:
    """The pieces of a ZIP of files, all in one folder.

    Args:
        folder: Its name in the ZIP.
        files: The files, each under its own name.
        check: Called before the ZIP is made whole; what it raises leaves it broken.

    Yields:
        At most about a megabyte at a time.

    Raises:
        OSError: A file can't be read; what was sent by then is no whole ZIP, as its table is missing.
    """
    sent = _Sent()
    with zipfile.ZipFile(sent, "w", zipfile.ZIP_STORED) as zipped:
        for path in files:
            entry = zipfile.ZipInfo(f"{folder}/{path.name}")
            entry.external_attr = 0o644 << 16
            is_large = path.stat().st_size >= LARGE
            with path.open("rb") as source, zipped.open(entry, "w", force_zip64=is_large) as target:
                while content := source.read(CHUNK):
                    target.write(content)
                    yield sent.take()
            yield sent.take()
        check()
    yield sent.take()
