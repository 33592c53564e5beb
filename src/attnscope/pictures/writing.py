"""Pictures as files, whole or not at all."""

from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from attnscope.files import whole_file
from attnscope.pictures.strips import Strips


def write_picture(picture: Image.Image | Strips, path: Path) -> None:
    """Write a picture as its name's ending says, whole or not at all.

    Args:
        picture: The picture. One in strips becomes a PNG.
        path: Where to write. A file that is there is replaced.

    Raises:
        OutputError: The file can't be written.
    """
    with whole_file(path) as partial:
        encode_picture(picture, partial)


def encode_picture(picture: Image.Image | Strips, path: Path) -> None:
    """Write a picture as its name's ending says, to a file that nobody reads yet.

    It is made in memory: some encoders take a write that was cut short by a full disk for a whole one.

    Args:
        picture: The picture. One in strips becomes a PNG.
        path: Where to write.
    """
    if isinstance(picture, Strips):
        with path.open("wb") as file:
            _write_png(picture, file)
        return
    made = io.BytesIO()
    picture.save(made, format=Image.registered_extensions()[path.suffix.lower()])
    path.write_bytes(made.getbuffer())


def _write_png(picture: Strips, file: IO[bytes]) -> None:
    """A PNG of differences from the left, compressed by runs, each strip while the next one is made.

    On a photo of 156 megapixels that takes 5 s and 97 MB, and Pillow with its defaults 35 s and 97 MB.
    """
    height, width = picture.size_hw
    file.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))  # 2: RGB of 8 bits
    packer = zlib.compressobj(1, strategy=zlib.Z_RLE)
    with ThreadPoolExecutor(1) as other_thread:
        packed: Future[bytes] | None = None
        for strip in picture.strips:
            lines = _differences(np.asarray(strip))
            if packed is not None:
                _write_chunk(file, b"IDAT", packed.result())
            packed = other_thread.submit(packer.compress, lines.data)
        last = packed.result() if packed is not None else b""
    _write_chunk(file, b"IDAT", last + packer.flush())
    _write_chunk(file, b"IEND", b"")


def _differences(pixels: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height byte"]:
    """Rows as PNG's filter 1 has them: its number, then each pixel less the one to the left."""
    rows = pixels.reshape(len(pixels), -1)
    lines = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    lines[:, 0], lines[:, 1:4] = 1, rows[:, :3]
    np.subtract(rows[:, 3:], rows[:, :-3], out=lines[:, 4:])
    return lines


def _write_chunk(file: IO[bytes], kind: bytes, contents: bytes) -> None:
    file.write(struct.pack(">I", len(contents)) + kind)
    file.write(contents)
    file.write(struct.pack(">I", zlib.crc32(contents, zlib.crc32(kind))))
