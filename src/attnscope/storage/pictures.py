"""Pictures of a run in a trace's folder, as PNG, decoded when somebody looks."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import eq
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from attnscope.errors import ImageError
from attnscope.pictures.sizes import size_hw
from attnscope.records.layers import SizeHW
from attnscope.storage.plain import MAX_PIXELS
from attnscope.storage.plain_files import RESTORE, bytes_at, damaged, plain_file, stamp_of

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PICTURE_BYTES = 4 * MAX_PIXELS + (1 << 20)
"""Of a picture's file: nothing larger is one that attnscope wrote."""


def check_picture(path: Path, known: int | None) -> bytes:
    """The bytes of a picture's file.

    Args:
        path: The file.
        known: CRC-32 of the file when it was written; None if that is unknown.

    Raises:
        TraceFormatError: It is missing, no plain file, too large for a picture of a trace, or has changed.
    """
    with plain_file(path, missing=_missing(path)) as file:
        size = stamp_of(file)[2]
        if size > MAX_PICTURE_BYTES:
            raise damaged(path, f"{size} bytes; a picture has at most {MAX_PICTURE_BYTES}")
        body = bytes_at(file, 0, size)
    _check_size(path, body)
    if known is not None and zlib.crc32(body) != known:
        raise damaged(path, "its bytes are not those that were written")
    return body


def picture_size(path: Path) -> SizeHW:
    """Height and width of a picture in a trace. Only the ends of the file are looked at.

    Args:
        path: The file.

    Raises:
        TraceFormatError: It is missing, no plain file, cut short, or no PNG of a usual size.
    """
    with plain_file(path, missing=_missing(path)) as file:
        head = bytes_at(file, 0, _HEAD_BYTES)
        tail = bytes_at(file, max(0, stamp_of(file)[2] - len(_TAIL)), len(_TAIL))
    size = _check_size(path, head)
    if tail != _TAIL:
        raise damaged(path, "it has no end")
    return size


def size_of_picture(pictures: Sequence[Image], image: int) -> SizeHW | None:
    """Height and width of one picture, which need not be decoded for that; None if there is no such picture.

    Args:
        pictures: Those of a run.
        image: Which image of the batch, from 0.
    """
    if not 0 <= image < len(pictures):
        return None
    return pictures.sizes[image] if isinstance(pictures, StoredPictures) else size_hw(pictures[image])


class StoredPictures(Sequence["Image"]):
    """Pictures in a trace's folder. Each is decoded when it is asked for; the last one is kept.

    Args:
        folder: The trace's folder.
        known: CRC-32 of each file, by name; None if that is unknown.
        decode: Makes a picture of a file's bytes.

    Raises:
        TraceFormatError: A file is missing, or no PNG of a usual size.
    """

    def __init__(
        self,
        folder: Path,
        known: Mapping[str, int | None],
        decode: Callable[[bytes], Image] | None = None,
    ) -> None:
        self._decode = decode or _picture
        self._files = [(folder / name, crc32) for name, crc32 in known.items()]
        self.sizes: list[SizeHW] = [picture_size(path) for path, _ in self._files]
        self._last: tuple[int, Image] | None = None

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, at: int) -> Image: ...

    @overload
    def __getitem__(self, at: slice) -> list[Image]: ...

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[each] for each in range(len(self))[at]]
        number = range(len(self))[at]
        if self._last is None or self._last[0] != number:
            path, known = self._files[number]
            self._last = number, _decoded(path, known, self._decode)
        return self._last[1]

    def __iter__(self) -> Iterator[Image]:
        return (self[at] for at in range(len(self)))

    def __eq__(self, other: object) -> bool:
        """The same pictures, whether they lie in the same files or not."""
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        """A copy decodes for itself."""
        return {**vars(self), "_last": None}


def _picture(contents: bytes) -> Image:
    from attnscope.pictures.reading import load_picture

    return load_picture(contents)


def _decoded(path: Path, known: int | None, decode: Callable[[bytes], Image]) -> Image:
    try:
        return decode(check_picture(path, known))
    except ImageError as error:
        raise damaged(path, str(error)) from error


_HEAD_BYTES = 24  # of a PNG: its mark, and a first chunk that begins with width and height
_TAIL = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_HEAD = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


def _missing(path: Path) -> str:
    return f"{path}: the trace names this picture, but it is missing; {RESTORE}"


def _check_size(path: Path, head: bytes) -> SizeHW:
    if len(head) < _HEAD_BYTES or not head.startswith(_HEAD):
        raise damaged(path, "it is no PNG")
    width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
    if not 1 <= height * width <= MAX_PIXELS:
        raise damaged(
            path, f"{height}x{width} pixels (height x width); a picture in a trace has at most {MAX_PIXELS}"
        )
    return height, width
