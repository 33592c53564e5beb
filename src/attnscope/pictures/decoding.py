"""Files and bytes that may hold anything: what a decoder makes of them is a picture, or one ImageError."""

from __future__ import annotations

import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any

from PIL import Image, UnidentifiedImageError

from attnscope.errors import ImageError
from attnscope.pictures.orientation import ORIENTATION

MAX_PIXELS = 160_000_000
"""Of a picture: the largest cameras; 640 MB as Pillow holds RGB."""
MAX_FILE_BYTES = 8 * MAX_PIXELS
"""Of a picture's file: four channels of 16 bits. Some decoders read all of a file before they look at it."""
MAX_BYTES_AT_ONCE = 64 << 20
"""A larger file is read while it is decoded."""
_NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
"""What Pillow opens but can't decode by itself; an EPS would be run as a program, by Ghostscript."""
_OTHER_KINDS = {
    b"%!PS": "is PostScript, a program that draws: convert it to PNG first",
    b"%PDF": "is a PDF: convert the page to PNG first",
    b"\xc5\xd0\xd3\xc6": "is PostScript, a program that draws: convert it to PNG first",
    b"ftyphei": "is HEIC, which Pillow reads with a plugin only (pip install pillow-heif, then "
    "pillow_heif.register_heif_opener()); or convert it to JPEG",
}
_DECODING = threading.RLock()  # warnings are filtered for the whole process: one picture at a time


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Whatever Pillow or one of its plugins raises inside becomes an ImageError. Their warnings are dropped.

    Args:
        name: What is decoded, for messages.

    Raises:
        ImageError: It can't be decoded.
    """
    try:
        with _DECODING, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken EXIF, or of a size below our own limit
            yield
    except ImageError:
        raise
    except UnidentifiedImageError as cause:
        raise ImageError(
            f"{name} is not a picture that Pillow can read; expected PNG, JPEG, TIFF, WebP ..."
        ) from cause
    except Image.DecompressionBombError as cause:
        raise ImageError(
            f"{name} is too large: {cause}; at most {MAX_PIXELS:,} pixels. Make it smaller"
        ) from cause
    except MemoryError as cause:
        raise ImageError(
            f"{name} needs more memory than there is, or is broken and claims to. Make it smaller"
        ) from cause
    except Exception as cause:  # plugins let through struct.error, IndexError, zlib.error and whatever else
        reason = " ".join(str(cause).split()) or type(cause).__name__
        raise ImageError(f"{name} is broken: {reason[:200]}. Is the file complete?") from cause


def file_contents(path: str | os.PathLike[str]) -> IO[bytes]:
    """A file to decode: its bytes, or where there are many, the open file.

    Args:
        path: The file.

    Raises:
        ImageError: It is missing, no file, empty, too large or may not be read.
    """
    name, place = shown(path), Path(os.fsdecode(path))
    if not os.fsdecode(path):
        raise ImageError("the path is empty; expected that of a picture file")
    try:
        status = place.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{name} is a folder; expected a picture file")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{name} is a pipe or a device; expected a picture file")
        _check_bytes(status.st_size, name)
        return place.open("rb") if status.st_size > MAX_BYTES_AT_ONCE else io.BytesIO(place.read_bytes())
    except ImageError:
        raise
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise ImageError(_missing(place, name)) from cause
    except MemoryError as cause:
        raise ImageError(f"{name} needs more memory than there is. Make it smaller") from cause
    except (OSError, ValueError) as cause:  # ValueError: a zero byte in the name
        reason = getattr(cause, "strerror", None) or str(cause)
        raise ImageError(
            f"{name} can't be read: {reason}. Is the path right, and may you read it?"
        ) from cause


def stream_contents(stream: Any, name: str) -> io.BytesIO:
    """The bytes of an open file, from its beginning if it can go there.

    Args:
        stream: Anything with `read`.
        name: What it is called in messages.

    Raises:
        ImageError: It gives no bytes, too many, or an error.
    """
    try:
        if hasattr(stream, "seek") and getattr(stream, "seekable", lambda: True)():
            stream.seek(0)
        contents = stream.read(MAX_FILE_BYTES + 1)
    except Exception as cause:  # closed, not for reading, a network's own error ...
        raise ImageError(
            f"{name} can't be read ({' '.join(str(cause).split())}): give a file opened with open(path, 'rb')"
        ) from cause
    if not isinstance(contents, bytes | bytearray | memoryview):
        raise ImageError(f"{name} gives {type(contents).__name__}, not bytes: open it with open(path, 'rb')")
    return bytes_contents(contents, name)


def bytes_contents(contents: bytes | bytearray | memoryview, name: str) -> io.BytesIO:
    """Bytes as a file.

    Args:
        contents: The contents of a picture file.
        name: What they are called in messages.

    Raises:
        ImageError: There are none, or too many.
    """
    _check_bytes(len(contents), name)
    return io.BytesIO(contents)


def opened(contents: IO[bytes], name: str) -> Image.Image:
    """A picture whose header was read. Call this, and decode the picture, inside `decoding`.

    Args:
        contents: The file.
        name: What it is called in messages.
    """
    Image.init()
    try:
        picture = Image.open(contents, formats=[kind for kind in Image.ID if kind not in _NO_PICTURES])
    except UnidentifiedImageError:
        contents.seek(0)
        head = contents.read(12)
        if known := next((what for mark, what in _OTHER_KINDS.items() if mark in head), None):
            raise ImageError(f"{name} {known}") from None
        raise
    if hasattr(picture, "tag_v2"):  # a TIFF turns itself, and fails where other tags than this one are broken
        exif = Image.Exif()
        if isinstance(turn := picture.tag_v2.get(ORIENTATION), int):
            exif[ORIENTATION] = turn
        picture.getexif = lambda: exif  # type: ignore[method-assign]
    return picture


def shown(path: str | os.PathLike[str]) -> str:
    """A path as text for a message: printable, and not endless.

    Args:
        path: Any path.
    """
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in os.fsdecode(path))
    return text if len(text) <= 260 else f"{text[:120]}…{text[-120:]}"


def _check_bytes(size: int, name: str) -> None:
    if size == 0:
        raise ImageError(
            f"{name} is empty (0 bytes); expected a picture file. Was it copied or downloaded in full?"
        )
    if size > MAX_FILE_BYTES:
        raise ImageError(
            f"{name} has {size:,} bytes; at most {MAX_FILE_BYTES:,} are read. Make it smaller, or save the page of "
            "it that you mean"
        )


def _missing(path: Path, name: str) -> str:
    if re.match(r"[a-z]{2,9}:/", name):  # Path has made one slash of two
        return f"{name} is an address; expected a file. Download it first"
    near = _similar_files(path)
    return f"no such file: {name}" + (f"; nearby there is {near}" if near else "")


def _similar_files(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return ""
    return ", ".join(map(repr, get_close_matches(path.name, names, n=3, cutoff=0.6)))
