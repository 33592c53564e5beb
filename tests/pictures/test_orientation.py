"""Which way up: all orientations in all files that have them, also where the EXIF around them is broken."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from attack.mutations import made_exif, mutated_exif, pixels
from attnscope.pictures.reading import load_picture

UPRIGHT = np.asarray(pixels())
# How a camera stores an upright picture, by the EXIF standard: where its first row and first column lie
STORED = {
    1: lambda a: a,  # row 0 at the top, column 0 at the left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.transpose(1, 0, 2),  # left, top
    6: lambda a: a[:, ::-1].transpose(1, 0, 2),  # right, top
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
    8: lambda a: a[::-1].transpose(1, 0, 2),  # left, bottom
}
MINUS_ONE_BY_ZERO = (0x011A, 10, struct.pack("<ii", -1, 0))
MAKER_OUTSIDE = (0x010F, 2, b"maker")  # its offset is put behind the end


def jpeg(image, exif):
    body = _saved(image, "JPEG", quality=100, subsampling=0)
    return body[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + body[2:]


def png(image, exif):
    body, chunk = _saved(image, "PNG"), b"eXIf" + exif[6:]
    return (
        body[:33]
        + struct.pack(">I", len(chunk) - 4)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + body[33:]
    )


def webp(image, exif):
    body = _saved(image, "WEBP", lossless=True, exif=b"Exif\0\0anything")
    chunk = b"EXIF" + struct.pack("<I", len(exif) - 6) + exif[6:] + b"\0" * (len(exif) % 2)
    body = body[8 : body.index(b"EXIF")] + chunk
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _saved(image, kind, **options):
    body = io.BytesIO()
    image.save(body, kind, **options)
    return body.getvalue()


def tiff(image, orientation, kind=3, sub_ifd=None):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[0x0112], tags[0x0112] = kind, orientation
    if sub_ifd is not None:
        tags.tagtype[0x8769], tags[0x8769] = 9, sub_ifd
    return _saved(image, "TIFF", tiffinfo=tags)


def camera(orientation):
    return Image.fromarray(np.ascontiguousarray(STORED[orientation](UPRIGHT)))


def assert_upright(contents, *, tolerance=0):
    seen = np.asarray(load_picture(contents)).astype(int)
    assert seen.shape == UPRIGHT.shape
    assert np.abs(seen - UPRIGHT).max() <= tolerance


WRITERS = [(jpeg, 12), (png, 0), (webp, 0)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("write", "tolerance"), WRITERS)
@pytest.mark.parametrize("order", "<>")
def test_every_orientation_is_turned_upright(write, tolerance, order, orientation):
    exif = made_exif([(0x0112, 3, orientation)], order)
    assert_upright(write(camera(orientation), exif), tolerance=tolerance)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_a_tiff_is_turned_upright(orientation):
    assert_upright(tiff(camera(orientation), orientation))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_of_an_avif_is_turned_upright(orientation):
    Image.init()
    if "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    exif = made_exif([(0x0112, 3, orientation)])
    assert_upright(
        _saved(camera(orientation), "AVIF", quality=100, subsampling="4:4:4", exif=exif), tolerance=12
    )


def test_orientation_in_xmp_alone_is_turned_upright():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    body = _saved(camera(6), "JPEG", quality=100, subsampling=0)
    data = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    assert_upright(body[:2] + b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data + body[2:], tolerance=12)


@pytest.mark.parametrize(("write", "tolerance"), WRITERS)
@pytest.mark.parametrize(
    "others",
    [
        [MINUS_ONE_BY_ZERO],
        [(0x011A, 5, struct.pack("<II", 1, 0)), (0x8769, 4, 99_999)],
        [(0x8769, 9, 2**32 - 5)],
        [(0x8825, 7, b"abc")],
    ],
    ids=["-1/0", "sub-IFD behind the end", "negative offset", "text for an offset"],
)
def test_broken_neighbours_do_not_cost_the_orientation(write, tolerance, others):
    assert_upright(write(camera(6), made_exif([(0x0112, 3, 6), *others])), tolerance=tolerance)


@pytest.mark.parametrize(("write", "tolerance"), WRITERS)
def test_a_tag_before_it_that_lies_outside_does_not_cost_the_orientation(write, tolerance):
    exif = bytearray(made_exif([(0x010F, 2, b"a maker of cameras"), (0x0112, 3, 6)]))
    at = 6 + 10 + 8
    exif[at : at + 4] = struct.pack("<I", 60)  # some of it is there, the rest behind the end
    assert_upright(write(camera(6), bytes(exif)), tolerance=tolerance)


@pytest.mark.parametrize("sub_ifd", [99_999, -5])
def test_a_broken_directory_does_not_cost_a_tiff(sub_ifd):
    assert_upright(tiff(camera(6), 6, sub_ifd=sub_ifd))


@pytest.mark.parametrize("value", [0, 9, 65535, b"6\0", b"upright\0", b""], ids=repr)
@pytest.mark.parametrize(("write", "tolerance"), WRITERS)
def test_an_orientation_without_sense_leaves_the_picture_as_stored(write, tolerance, value):
    exif = made_exif([(0x0112, 2 if isinstance(value, bytes) else 3, value)])
    assert_upright(write(pixels(), exif), tolerance=tolerance)


@pytest.mark.parametrize("value", [0, 9])
def test_an_orientation_without_sense_leaves_a_tiff_as_stored(value):
    assert_upright(tiff(pixels(), value))


def test_an_opened_picture_is_turned_like_its_file():
    contents = jpeg(camera(6), made_exif([(0x0112, 3, 6), MINUS_ONE_BY_ZERO]))
    with Image.open(io.BytesIO(contents)) as opened:
        assert load_picture(opened) == load_picture(contents)


def test_an_orientation_that_was_taken_away_stays_away():
    with Image.open(io.BytesIO(png(pixels(), made_exif([(0x0112, 3, 6)])))) as opened:
        del opened.getexif()[0x0112]
        assert load_picture(opened).size == pixels().size


@pytest.mark.parametrize(("write", "tolerance"), WRITERS)
def test_no_broken_exif_loses_the_picture(write, tolerance):
    for number in range(150):
        seen = load_picture(write(pixels(), mutated_exif(number)))
        assert sorted(seen.size) == sorted(pixels().size)
