"""Which way up a picture is, from its EXIF, also where the rest of the EXIF is broken."""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from typing import TypeAlias

from PIL import Image

from attnscope.records.layers import SizeHW

Box: TypeAlias = tuple[int, int, int, int]
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
_SIDEWAYS = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
}
_FROM_THE_RIGHT = {  # the upright picture begins at the right end of what is stored
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
}
_FROM_BELOW = {
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_180,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_270,
}
_READERS = {1: "B", 3: "H", 4: "I"}  # EXIF's types of whole numbers


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """How a picture is to be turned so that it is upright; None where it is already.

    Pillow's own `exif_transpose` writes the EXIF anew, and fails where any of its tags is broken.

    Args:
        image: A decoded picture.
    """
    return _TURNS.get(_orientation(image))


def upright(image: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    """The picture as it is meant to be seen; the picture itself where nothing is to be turned.

    Args:
        image: A picture, or a part of it.
        turn: As `turn_of` says.
    """
    return image if turn is None else image.transpose(turn)


def stored_box(box: Box, turn: Image.Transpose | None, stored_hw: SizeHW) -> Box:
    """Where a part of the upright picture lies in the picture as it is stored.

    Args:
        box: (left, top, right, bottom) in the upright picture, in pixels.
        turn: As `turn_of` says.
        stored_hw: Height and width of the picture as it is stored.
    """
    left, top, right, bottom = box
    if turn in _SIDEWAYS:
        left, top, right, bottom = top, left, bottom, right
    if turn in _FROM_THE_RIGHT:
        left, right = stored_hw[1] - right, stored_hw[1] - left
    if turn in _FROM_BELOW:
        top, bottom = stored_hw[0] - bottom, stored_hw[0] - top
    return left, top, right, bottom


def is_sideways(turn: Image.Transpose | None) -> bool:
    """Whether a turn makes the width of what is stored the height.

    Args:
        turn: As `turn_of` says.
    """
    return turn in _SIDEWAYS


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
