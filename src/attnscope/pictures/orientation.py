"""Which way up a picture is, from its EXIF, also where the rest of the EXIF is broken."""

from __future__ import annotations

import re
import struct
from contextlib import suppress

from PIL import Image

ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_READERS = {1: "B", 3: "H", 4: "I"}  # EXIF's types of whole numbers


def upright(image: Image.Image) -> Image.Image:
    """The picture as it is meant to be seen; the picture itself where nothing is to be turned.

    Pillow's own `exif_transpose` writes the EXIF anew, and fails where any of its tags is broken.

    Args:
        image: A decoded picture.
    """
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """1 to 8 as EXIF or XMP say; 1 (as it is stored) where neither says anything that makes sense."""
    try:
        known = image.getexif().get(ORIENTATION)
    except Exception:  # a broken EXIF costs the orientation at most, and never the picture
        known = None
    if known is None and isinstance(exif := image.info.get("exif"), bytes):
        known = _behind_breaks(exif)
    return known if isinstance(known, int) else 1


def _behind_breaks(exif: bytes) -> int | None:
    """The orientation in an EXIF of which Pillow reads none, since a tag before it is broken."""
    if ORIENTATION in _as_pillow_reads(exif):
        return None  # somebody took it away from the picture on purpose
    body = re.sub(b"^(Exif\x00\x00){1,2}", b"", exif)
    order = {b"II": "<", b"MM": ">"}.get(body[:2])
    if order is None:
        return None
    with suppress(struct.error):  # it ends here
        (at,) = struct.unpack_from(order + "I", body, 4)
        (count,) = struct.unpack_from(order + "H", body, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", body, entry)
            if tag == ORIENTATION and kind in _READERS:
                return struct.unpack_from(order + _READERS[kind], body, entry + 8)[0]
    return None


def _as_pillow_reads(exif: bytes) -> Image.Exif:
    read = Image.Exif()
    with suppress(Exception):  # as far as it goes
        read.load(exif)
    return read
