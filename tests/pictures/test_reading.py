"""What is taken as a picture besides files, and what numbers of any kind mean."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from attnscope.errors import ImageError
from attnscope.pictures import decoding
from attnscope.pictures.reading import load_picture

GREY = (np.arange(16 * 24).reshape(16, 24) * 65535 // (16 * 24 - 1)).astype(np.uint16)
TONES = GREY // 257
RGB = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 24, 3), dtype=np.uint8))
WIDE = ["I;16", "I;16L", "I;16B", "I;16N"]


def deep(mode, values):
    return Image.frombytes(mode, (24, 16), values.astype(">u2" if mode == "I;16B" else "<u2").tobytes())


def seen(source):
    return np.asarray(load_picture(source)).astype(int)


def contents(image=RGB, kind="PNG", **options):
    body = io.BytesIO()
    image.save(body, kind, **options)
    return body.getvalue()


# Grey of more than 8 bits


@pytest.mark.parametrize("mode", WIDE)
def test_16_bits_are_scaled_by_their_full_range_in_any_byte_order(mode):
    assert np.abs(seen(deep(mode, GREY))[..., 0] - GREY / 257).max() <= 0.5


@pytest.mark.parametrize("mode", WIDE)
@pytest.mark.parametrize("most", [200, 1023, 4095])
def test_16_bits_that_would_be_all_but_black_are_refused_and_the_remedy_helps(mode, most):
    values = (GREY // (65535 // most)).astype(np.uint16)
    with pytest.raises(ImageError, match=rf"up to {values.max()} of 65535.*values / values.max\(\)"):
        load_picture(deep(mode, values))
    with pytest.raises(ImageError, match="almost black"):
        load_picture(values)
    values = np.asarray(deep(mode, values))
    assert seen(values / values.max()).max() == 255


def test_a_picture_of_one_tone_has_nothing_to_lose():
    assert seen(Image.fromarray(np.zeros((16, 24), np.uint16))).max() == 0


@pytest.mark.parametrize("order", "<>")
def test_16_bit_arrays_of_any_byte_order_are_taken(order):
    assert np.abs(seen(GREY.astype(order + "u2"))[..., 0] - GREY / 257).max() <= 0.5


def test_a_16_bit_file_is_read_as_it_was_written(tmp_path):
    for ending, mode in (("png", "I;16"), ("tif", "I;16"), ("tif", "I;16B")):
        deep(mode, GREY).save(tmp_path / f"deep.{ending}")
        assert np.abs(seen(tmp_path / f"deep.{ending}")[..., 0] - GREY / 257).max() <= 0.5


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bits_hold_what_pillow_puts_there(mode):
    grey = RGB.convert("L")
    assert np.array_equal(seen(grey.convert(mode)), seen(grey))


@pytest.mark.parametrize("most", [1.0001, 1.5, 30, 127])
def test_floats_of_unknown_white_are_refused_and_the_remedies_help(most):
    values = (GREY / 65535).astype(np.float32)
    values[0, 0] = most
    with pytest.raises(
        ImageError, match=r"float values up to .*np.clip\(values, 0, 1\), or|and give np.clip"
    ):
        load_picture(Image.fromarray(values))
    assert np.abs(seen(np.clip(values, 0, 1))[1:, :, 0] - GREY[1:] / 257).max() <= 0.51
    assert seen(values / values.max()).max() == 255


@pytest.mark.parametrize("bad", [-1, np.nan, np.inf, 70_000])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_grey_outside_every_scale_is_refused(bad, dtype):
    if dtype is np.int32 and not np.isfinite(bad):
        return
    values = TONES.astype(dtype)
    values[3, 3] = bad
    with pytest.raises(ImageError, match="grey values from .*expected 0..65535"):
        load_picture(Image.fromarray(values))


# Modes with transparency, and those of print and film


@pytest.mark.parametrize("mode", ["LA", "La", "RGBA", "RGBa", "PA"])
def test_what_is_transparent_is_white(mode):
    layer = np.zeros((16, 24, 4), np.uint8)
    layer[4:8, 4:8, 3] = 255
    image = Image.fromarray(layer)
    if mode == "PA":
        alpha, image = image.getchannel("A"), image.convert("RGB").convert("P").convert("PA")
        image.putalpha(alpha)
    else:
        image = image.convert("LA").convert(mode) if mode in ("LA", "La") else image.convert(mode)
    tones = seen(image)
    assert tones[0, 0].tolist() == [255] * 3
    assert tones[5, 5].tolist() == [0] * 3


def test_premultiplied_grey_is_what_it_was():
    layer = Image.merge("LA", [RGB.convert("L"), Image.new("L", (24, 16), 255)])
    assert np.array_equal(seen(layer.convert("La")), seen(RGB.convert("L")))


def test_lab_is_converted_by_its_profile():
    profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
    lab = ImageCms.profileToProfile(Image.new("RGB", (24, 16), (200, 40, 30)), *profiles, outputMode="LAB")
    assert np.abs(seen(lab)[0, 0] - (200, 40, 30)).max() <= 3


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_is_read(kind):
    frames = [Image.new("RGB", (24, 16), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    tones = seen(contents(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert tones[8, 8].tolist() == [255, 0, 0]


# Sources


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, io.BytesIO])
def test_contents_are_read(make):
    assert np.array_equal(seen(make(contents())), np.asarray(RGB))


def test_an_open_file_is_read_from_its_beginning_and_stays_open(tmp_path):
    (tmp_path / "x.png").write_bytes(contents())
    with (tmp_path / "x.png").open("rb") as file:
        file.read(10)
        assert np.array_equal(seen(file), np.asarray(RGB))
        assert not file.closed


def test_a_stream_that_can_not_go_back_is_read():
    reader, writer = os.pipe()
    threading.Thread(target=lambda: (os.write(writer, contents()), os.close(writer))).start()
    with open(reader, "rb") as stream:  # noqa: PTH123
        assert np.array_equal(seen(stream), np.asarray(RGB))


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (io.StringIO("text"), "gives str, not bytes"),
        (io.BytesIO(), r"is empty \(0 bytes\)"),
        (io.BytesIO(b"some text"), "not a picture that Pillow can read"),
    ],
)
def test_a_stream_without_a_picture_is_explained(stream, message):
    with pytest.raises(ImageError, match=message):
        load_picture(stream)


def test_a_closed_file_is_explained():
    stream = io.BytesIO(contents())
    stream.close()
    with pytest.raises(ImageError, match=r"the open file can't be read \(I/O operation on closed file"):
        load_picture(stream)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.from_numpy(np.array(RGB)),
        torch.from_numpy(np.array(RGB)).double() / 255,
        (torch.from_numpy(np.array(RGB)) / 255).requires_grad_(),
    ],
)
def test_tensors_are_pictures(tensor):
    assert np.array_equal(seen(tensor), np.asarray(RGB))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_tensors_are_pictures(dtype):
    tensor = (torch.from_numpy(np.array(RGB)) / 255).to(dtype)
    assert np.abs(seen(tensor) - np.asarray(RGB)).max() <= 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 16, 24), np.uint8), r"channels come first: transpose it with \(1, 2, 0\)"),
        (torch.zeros(3, 16, 24), r"or permute\(1, 2, 0\) in torch"),
        (np.zeros((1, 16, 24, 3), np.uint8), r"a batch of one picture: take array\[0\]"),
        (np.zeros((5, 16, 24, 3), np.uint8), "give its pictures one by one"),
        (np.full((16, 24), "a"), "array of <U1; expected uint8"),
        (np.full((16, 24), None), "array of object; expected uint8"),
        (np.zeros((16, 24), [("red", "u1")]), "expected uint8"),
        (np.zeros((16, 24), complex), "array of complex128; expected uint8"),
        (np.zeros((16, 24), "M8[s]"), "expected uint8"),
        (np.linspace(-1, 1, 384).reshape(16, 24), r"\(array \+ 1\) / 2 brings -1..1 there"),
        (np.full((16, 24, 3), 1.0001), r"clip it, np.clip\(array, 0, 1\)"),
        (np.asarray(RGB).astype(float), r"if white is 255, give array.astype\('uint8'\)"),
        (np.ma.masked_array(np.asarray(RGB), np.asarray(RGB) > 3), r"masked places: .*array.filled\(0\)"),
        (np.ones(()), r"shape \(\)"),
        (torch.zeros(16, 24, device="meta"), "whose numbers can't be read"),
        (torch.zeros(16, 24).to_sparse(), "whose numbers can't be read"),
    ],
)
def test_arrays_that_are_no_pictures_are_explained(array, message):
    with pytest.raises(ImageError, match=message):
        load_picture(array)


# Paths


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\0b.png", r"a\\x00b.png can't be read: embedded null"),
        ("x" * 300 + ".png", "can't be read: File name too long"),
        ("https://example.org/x.png", "is an address; expected a file. Download it first"),
        ("", "the path is empty"),
        ("\udcff.png", r"no such file: \\udcff.png"),
        ("two\nlines", r"no such file: two\\nlines"),
    ],
)
def test_paths_that_lead_nowhere_are_explained_in_one_line(name, message):
    with pytest.raises(ImageError, match=message) as raised:
        load_picture(name)
    assert "\n" not in str(raised.value)
    str(raised.value).encode()  # goes to any terminal and file


def test_a_file_below_a_file_is_missing(tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(ImageError, match="no such file"):
        load_picture(tmp_path / "x" / "y.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="is a pipe or a device"):
        load_picture(tmp_path / "pipe")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="may read everything")
def test_a_file_that_may_not_be_read_is_explained(tmp_path):
    (tmp_path / "x.png").write_bytes(contents())
    (tmp_path / "x.png").chmod(0)
    with pytest.raises(ImageError, match="can't be read: Permission denied"):
        load_picture(tmp_path / "x.png")


def test_an_error_of_the_system_is_explained(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(contents())

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ImageError, match=r"x.png can't be read: Permission denied"):
        load_picture(tmp_path / "x.png")


def test_links_in_a_circle_are_explained(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(ImageError, match="can't be read: Too many levels"):
        load_picture(tmp_path / "a.png")


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(decoding.MAX_FILE_BYTES + 1)  # takes no room
    monkeypatch.setattr(Path, "read_bytes", None)
    with pytest.raises(ImageError, match=r"has 1,280,000,001 bytes; at most 1,280,000,000"):
        load_picture(tmp_path / "x.png")


# Kinds of files that are no pictures, and errors of any kind


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "is PostScript.*convert it to PNG"),
        (b"%PDF-1.7 ", "is a PDF: convert"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is HEIC.*pip install pillow-heif"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "not a picture that Pillow can read"),
    ],
)
def test_other_kinds_of_files_are_named(data, message):
    with pytest.raises(ImageError, match=message):
        load_picture(data)


def test_postscript_is_never_run(monkeypatch, tmp_path):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **kwargs: pytest.fail("it was run"))
    RGB.save(tmp_path / "x.eps")
    with pytest.raises(ImageError, match="is PostScript"):
        load_picture(tmp_path / "x.eps")


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        IndexError(),
        ZeroDivisionError("by\nzero"),
        RecursionError(),
        MemoryError(),
        AssertionError(),
    ],
)
def test_any_error_of_a_plugin_is_an_image_error(monkeypatch, error):
    from PIL.PngImagePlugin import PngImageFile

    def fail(image):
        raise error

    monkeypatch.setattr(PngImageFile, "load", fail)
    with pytest.raises(ImageError, match="the data (is broken|needs more memory)") as raised:
        load_picture(contents())
    assert raised.value.__cause__ is error
    assert "\n" not in str(raised.value)


def test_a_closed_picture_is_explained():
    with Image.open(io.BytesIO(contents())) as image:
        pass
    with pytest.raises(ImageError, match="the picture is broken"):
        load_picture(image)


def test_a_callers_picture_is_never_shared():
    loaded = load_picture(RGB)
    loaded.putpixel((0, 0), (1, 2, 3))
    assert RGB.getpixel((0, 0)) != (1, 2, 3)
