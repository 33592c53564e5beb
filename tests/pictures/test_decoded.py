"""What is made of a decoded picture a few rows at a time is what is made of it at once."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from attnscope.pictures import strips
from attnscope.pictures.decoded import Decoded
from attnscope.pictures.lines import boundaries
from attnscope.pictures.overlays import overlay_labels, overlay_strips
from attnscope.pictures.reading import decoded_picture, load_picture
from attnscope.pictures.sizes import middle_box, resized
from attnscope.pictures.writing import write_picture

HEIGHT, WIDTH = 93, 70


@pytest.fixture(params=[1, 999, 1 << 20], autouse=True)
def pixels_at_once(request, monkeypatch):
    monkeypatch.setattr(strips, "PIXELS_AT_ONCE", request.param)


def stored(mode="RGB", orientation=1, kind="PNG"):
    """The contents of a file of a picture of noise."""
    pixels = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 4)).astype(np.uint8)
    image = Image.fromarray(pixels)
    image = (
        Image.fromarray(pixels[..., :2].view(np.uint16)[..., 0]) if mode == "I;16" else image.convert(mode)
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif, **({"transparency": 7} if mode == "P" else {}))
    return file.getvalue()


def in_rows(picture):
    return np.concatenate([np.asarray(picture.rows(rows)) for rows in strips.strips(*picture.size_hw)])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_rows_of_turned_pictures_are_those_of_the_whole(mode, orientation):
    contents = stored(mode, orientation)
    whole, decoded = load_picture(contents), decoded_picture(contents)
    assert decoded.size_hw == whole.size[::-1]
    np.testing.assert_array_equal(in_rows(decoded), np.asarray(whole))
    middle = decoded.middle_square()
    cut = whole.crop(middle_box(decoded.size_hw))
    np.testing.assert_array_equal(in_rows(middle), np.asarray(cut))
    np.testing.assert_array_equal(np.asarray(middle.whole()), np.asarray(cut))


@pytest.mark.parametrize("mode", ["1", "P", "LA", "I;16"])
def test_rows_of_every_mode_are_those_of_the_whole(mode):
    contents = stored(mode)
    np.testing.assert_array_equal(in_rows(decoded_picture(contents)), np.asarray(load_picture(contents)))


def test_rows_of_a_cmyk_jpeg_are_those_of_the_whole():
    contents = stored("CMYK", 6, "JPEG")
    np.testing.assert_array_equal(in_rows(decoded_picture(contents)), np.asarray(load_picture(contents)))


@pytest.mark.parametrize("size_hw", [(8, 8), (16, 24), (HEIGHT, 12), (12, WIDTH), (HEIGHT, WIDTH), (120, 90)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_made_small_in_strips_is_first_made_narrow(size_hw, orientation):
    contents = stored("RGB", orientation)
    whole, small = load_picture(contents), decoded_picture(contents).resized(size_hw)
    expected = resized(resized(whole, (whole.height, size_hw[1])), size_hw)
    np.testing.assert_array_equal(np.asarray(small), np.asarray(expected))


@pytest.mark.parametrize("picture_hw", [(1300, 1200), (1200, 1300), (400, 3600), (3600, 400)])
def test_a_large_picture_made_small_in_strips_is_pillows(picture_hw):
    random, small_hw = np.random.default_rng(6), tuple(side // 12 for side in picture_hw)
    image = Image.fromarray(random.integers(0, 256, (*picture_hw, 3)).astype(np.uint8))
    small = np.asarray(decoded_picture(image).resized(small_hw)).astype(int)
    assert abs(small - np.asarray(resized(image, small_hw))).max() <= 1


@pytest.mark.parametrize("size_hw", [(64, 64), (31, 200), (HEIGHT, WIDTH), (1, 1), (512, 640)])
@pytest.mark.parametrize(("mode", "orientation"), [("RGB", 1), ("RGB", 6), ("L", 8), ("RGBA", 1)])
def test_a_picture_sampled_without_smoothing_is_torchs(size_hw, mode, orientation):
    contents = stored(mode, orientation)
    whole = torch.from_numpy(np.array(load_picture(contents), np.float64)).permute(2, 0, 1)[None]
    expected = interpolate(whole, size=size_hw, mode="bilinear", align_corners=False)[0].permute(1, 2, 0)
    sampled = decoded_picture(contents).sampled(size_hw)
    np.testing.assert_allclose(sampled, expected.numpy(), atol=2e-3)  # places are float32, as torch has them


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (1, 1), (1, 700), (700, 1)])
def test_an_overlay_written_in_strips_is_read_as_it_is_drawn_at_once(tmp_path, size):
    image = Image.fromarray(np.random.default_rng(4).integers(0, 256, (*size[::-1], 3)).astype(np.uint8))
    labels = np.asarray(Image.fromarray(np.arange(9, dtype=np.uint8).reshape(3, 3)).resize(size))
    names = {0: "sky", 4: "a longer name", 8: "grass"}
    write_picture(overlay_strips(Decoded(image, "it"), labels, names=names), tmp_path / "overlay.png")
    with Image.open(tmp_path / "overlay.png") as read:
        assert (read.mode, read.size) == ("RGB", size)
        np.testing.assert_array_equal(
            np.asarray(read), np.asarray(overlay_labels(image, labels, names=names))
        )


def grown_step_by_step(labels, width_px):
    """Lines as they are meant: in turn one pixel up and to the left, and one down and to the right."""
    line = np.zeros(labels.shape, bool)
    line[1:] |= labels[1:] != labels[:-1]
    line[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    for turn in range(width_px - 1):
        wider = line.copy()
        to, of = (slice(1, None), slice(-1)) if turn % 2 else (slice(-1), slice(1, None))
        wider[to] |= line[of]
        wider[:, to] |= line[:, of]
        line = wider
    return line


@pytest.mark.parametrize("width_px", [1, 2, 3, 4, 7, 12, 25, 72, 200])
def test_wide_lines_are_those_grown_step_by_step(width_px):
    random = np.random.default_rng(width_px)
    for _ in range(20):
        labels = (random.random(random.integers(1, 90, 2)) < random.choice([0.002, 0.02, 0.3])).astype(int)
        np.testing.assert_array_equal(boundaries(labels, width_px), grown_step_by_step(labels, width_px))
