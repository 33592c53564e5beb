"""Mutated pictures: a seeded source of files of every format that Pillow writes, each broken in some way."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zlib
from functools import cache

import numpy as np
from PIL import Image, TiffImagePlugin

from attnscope.errors import AttnscopeError
from attnscope.pictures.decoding import MAX_PIXELS
from attnscope.pictures.reading import load_picture

HEIGHT, WIDTH = 20, 28
EXTREMES = (
    0,
    1,
    2,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    12_000,
)
MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "I", "F", "YCbCr", "LAB", "PA")
OPTIONS = {
    "TIFF": [
        *({"compression": kind} for kind in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg", "group4")),
        {"save_all": True, "append_images": True},
    ],
    "GIF": [{}, {"save_all": True, "append_images": True}, {"transparency": 0}, {"interlace": 1}],
    "PNG": [{}, {"save_all": True, "append_images": True}, {"bits": 4}, {"transparency": 0}],
    "WEBP": [{}, {"lossless": True}, {"save_all": True, "append_images": True}],
    "JPEG": [{}, {"progressive": True}, {"quality": 95, "subsampling": 0}],
    "JPEG2000": [{}, {"no_jp2": True}, {"irreversible": True}],
    "BLP": [{}, {"blp_version": "BLP1"}],
    "DDS": [{}, {"pixel_format": "DXT1"}, {"pixel_format": "BC5"}],
    "MPO": [{"save_all": True, "append_images": True}],
    "PPM": [{}],
    "TGA": [{}, {"compression": "tga_rle"}],
    "SGI": [{}, {"bpc": 2}],
    "BMP": [{}],
}  # fmt: skip
TIFF_MODES = {"group4": "1", "jpeg": "RGB"}  # others are refused by libtiff, on stderr
UNREADABLE = {
    "PALM",
    "PDF",
    "BUFR",
    "GRIB",
    "HDF5",
    "WMF",
}  # written by Pillow, or by a plugin's stub, and never read


@cache
def pixels() -> Image.Image:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(0).integers(0, 60, (HEIGHT, WIDTH, 3))
    return Image.fromarray((np.stack([y * 9, x * 7, y + x], -1) + noise).clip(0, 255).astype(np.uint8))


@cache
def in_mode(mode: str) -> Image.Image:
    if mode in ("I;16", "I"):
        grey = np.asarray(pixels().convert("L")).astype(np.uint16 if mode == "I;16" else np.int32)
        return Image.fromarray(grey * 257)
    if mode == "LAB":
        return Image.merge("LAB", pixels().split())
    return pixels().convert("P").convert("PA") if mode == "PA" else pixels().convert(mode)


@cache
def whole_files() -> tuple[tuple[str, bytes], ...]:
    """(format, contents) of files that are in order: every format, mode and option that goes."""
    Image.init()
    files = []
    for kind in sorted(set(Image.SAVE) - UNREADABLE):
        for mode in MODES:
            for options in OPTIONS.get(kind, [{}]):
                if TIFF_MODES.get(options.get("compression", ""), mode) != mode:
                    continue
                if (contents := _saved(in_mode(mode), kind, dict(options))) is not None:
                    files.append((kind, contents))
    return tuple(files)


def _saved(image: Image.Image, kind: str, options: dict) -> bytes | None:
    if "append_images" in options:
        options["append_images"] = [image.copy(), image.transpose(Image.Transpose.ROTATE_180)]
    if kind in ("JPEG", "PNG", "WEBP", "AVIF"):
        options["exif"] = made_exif([(0x010F, 2, b"attnscope\0"), (0x0112, 3, 6)])
    if kind == "TIFF":
        options["tiffinfo"] = TiffImagePlugin.ImageFileDirectory_v2()
        options["tiffinfo"][0x0112] = 6
    body = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.save(body, kind, **options)
    except Exception:  # this format has no such mode or option
        return None
    return body.getvalue()


def made_exif(entries: list[tuple[int, int, int | bytes]], order: str = "<") -> bytes:
    """An EXIF with these (tag, type, value), of type 3 SHORT, 4 LONG, or bytes as they are."""
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    at = 8 + 2 + 12 * len(entries) + 4
    table, data = struct.pack(order + "H", len(entries)), b""
    sizes = {2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8}
    for tag, kind, value in entries:
        if isinstance(value, int):
            value = struct.pack(order + ("H" if kind == 3 else "I"), value)
        field = value.ljust(4, b"\0")
        if len(value) > 4:
            field, data = struct.pack(order + "I", at + len(data)), data + value
        table += struct.pack(order + "HHI", tag, kind, max(1, len(value) // sizes[kind])) + field
    return b"Exif\0\0" + start + table + struct.pack(order + "I", 0) + data


# Mutations


def flip_bytes(contents: bytes, rng: random.Random) -> bytes:
    body = bytearray(contents)
    for _ in range(rng.choice((1, 2, 5, 20, 100))):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return bytes(body)


def flip_header(contents: bytes, rng: random.Random) -> bytes:
    body = bytearray(contents)
    for _ in range(rng.choice((1, 1, 2, 4))):
        body[rng.randrange(min(len(body), 120))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(body)


def set_field(contents: bytes, rng: random.Random) -> bytes:
    """A field of 2, 4 or 8 bytes near one of the ends becomes an extreme number."""
    body, size = bytearray(contents), rng.choice((2, 4, 4, 8))
    at = rng.randrange(max(1, min(len(body), 200) - size))
    if rng.random() < 0.2:
        at = max(0, len(body) - size - at)
    number = rng.choice(EXTREMES) & (256**size - 1)
    body[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
    return bytes(body)


def truncate(contents: bytes, rng: random.Random) -> bytes:
    return contents[: rng.randrange(len(contents)) + 1]


def splice(contents: bytes, rng: random.Random) -> bytes:
    other = rng.choice(whole_files())[1]
    return contents[: rng.randrange(len(contents))] + other[rng.randrange(len(other)) :]


def repeat_part(contents: bytes, rng: random.Random) -> bytes:
    first, last = sorted(rng.randrange(len(contents)) for _ in range(2))
    return contents[:last] + contents[first:last] * rng.choice((1, 2, 50)) + contents[last:]


def cut_out(contents: bytes, rng: random.Random) -> bytes:
    first, last = sorted(rng.randrange(len(contents)) for _ in range(2))
    return contents[:first] + contents[last:] or b"\0"


def break_exif(contents: bytes, rng: random.Random) -> bytes:
    """Fields behind the EXIF's or TIFF's byte order mark change."""
    at = max(contents.find(b"II*\0"), contents.find(b"MM\0*"))
    if at < 0:
        return flip_header(contents, rng)
    body = bytearray(contents)
    for _ in range(rng.choice((1, 2, 6))):
        place = at + rng.randrange(2, 80)
        if place + 4 < len(body):
            size = rng.choice((1, 2, 4))
            body[place : place + size] = (rng.choice(EXTREMES) & (256**size - 1)).to_bytes(
                size, rng.choice(("little", "big"))
            )
    return bytes(body)


def checked_png(contents: bytes, rng: random.Random) -> bytes:
    """A chunk of a PNG changes, and its checksum with it, so that its reader believes it."""
    if not contents.startswith(b"\x89PNG"):
        return set_field(contents, rng)
    chunks, at = [], 8
    while at + 8 <= len(contents):
        (length,) = struct.unpack_from(">I", contents, at)
        chunks.append((contents[at + 4 : at + 8], contents[at + 8 : at + 8 + length]))
        at += 12 + length
    number = rng.randrange(len(chunks))
    kind, data = chunks[number]
    data = set_field(data, rng) if len(data) > 8 and rng.random() < 0.6 else flip_bytes(data or b"\0", rng)
    if rng.random() < 0.2:
        kind = rng.choice([kind for kind, _ in chunks])
    chunks[number] = (kind, data)
    if rng.random() < 0.2:
        chunks.insert(rng.randrange(len(chunks)), rng.choice(chunks))
    return contents[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


MUTATIONS = (
    flip_bytes,
    flip_header,
    set_field,
    truncate,
    splice,
    repeat_part,
    cut_out,
    break_exif,
    checked_png,
)


def mutated(number: int, seed: int = 0) -> tuple[str, str, bytes]:
    """(format, mutation, contents) of one mutated file, always the same for its number and seed."""
    rng = random.Random(f"{seed}/{number}")
    of_kind: dict[str, list[bytes]] = {}
    for kind, contents in whole_files():
        of_kind.setdefault(kind, []).append(contents)
    kind = sorted(of_kind)[number % len(of_kind)]
    contents, names = rng.choice(of_kind[kind]), []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        mutation = rng.choice(MUTATIONS)
        contents = mutation(contents, rng) or b"\0"
        names.append(mutation.__name__)
    return kind, "+".join(names), contents


def mutated_exif(number: int, seed: int = 0) -> bytes:
    """A broken EXIF, always the same for its number and seed."""
    rng = random.Random(f"exif {seed}/{number}")
    entries = [
        (0x010F, 2, b"maker of cameras\0"), (0x0112, 3, rng.randrange(10)), (0x011A, 10, struct.pack("<ii", -1, 0)),
        (0x0128, 3, 2), (0x8769, 4, rng.choice((120, 9999, 2**31))), (0x8825, 9, rng.choice(EXTREMES)),
    ]  # fmt: skip
    exif = made_exif(entries, rng.choice("<>"))
    for _ in range(rng.randrange(4)):
        exif = exif[:6] + rng.choice((flip_bytes, set_field, truncate, repeat_part, cut_out))(
            exif[6:] or b"II", rng
        )
    return exif[:60_000]


def read(contents: bytes) -> str:
    """Read a file as `segment` does: 'right' or 'refused', and an assertion for anything else."""
    try:
        picture = load_picture(contents)
    except AttnscopeError as error:
        return "refused" if "\n" not in str(error) else "refused in several lines"
    assert picture.mode == "RGB"
    assert min(picture.size) >= 8
    assert picture.width * picture.height <= MAX_PIXELS
    assert np.asarray(picture).dtype == np.uint8
    return "right"
