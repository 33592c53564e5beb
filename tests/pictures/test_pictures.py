import io
import warnings

import numpy as np
import pytest
from PIL import Image

from attnscope.errors import ImageError, ParameterError
from attnscope.pictures.lines import boundaries
from attnscope.pictures.overlays import indexed_png, overlay_labels, segment_colours
from attnscope.pictures.reading import load_picture
from attnscope.pictures.sizes import fitted_size, middle_box, resized, size_hw

GREY = (np.arange(16 * 24).reshape(16, 24) * 65535 // (16 * 24 - 1)).astype(np.uint16)


def _rgb(height=16, width=24):
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8))


def _saved(image, path, **settings):
    image.save(path, **settings)
    return path


def test_a_file_a_pil_image_and_an_array_give_the_same_picture(tmp_path):
    image = _rgb()
    for source in (_saved(image, tmp_path / "a.png"), str(tmp_path / "a.png"), image, np.asarray(image)):
        assert np.array_equal(np.asarray(load_picture(source)), np.asarray(image))


def test_exif_orientation_is_honoured(tmp_path):
    image = _rgb()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    path = _saved(image, tmp_path / "phone.png", exif=exif)
    upright = load_picture(path)
    assert size_hw(upright) == (24, 16)
    assert np.array_equal(np.asarray(upright), np.rot90(np.asarray(image), -1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F", "PA"])
def test_every_mode_becomes_rgb(mode):
    if mode in ("I", "I;16", "F"):
        image = Image.fromarray(GREY.astype({"I": np.int32, "I;16": np.uint16, "F": np.float32}[mode]))
    else:
        image = _rgb().convert("P").convert(mode) if mode == "PA" else _rgb().convert(mode)
    loaded = load_picture(image)
    assert loaded.mode == "RGB"
    assert size_hw(loaded) == (16, 24)


def test_16_bit_grey_keeps_its_gradient(tmp_path):
    path = _saved(Image.fromarray(GREY), tmp_path / "deep.png")
    loaded = np.asarray(load_picture(path)).astype(int)
    assert np.abs(loaded[..., 0] - GREY / 257).max() <= 0.5
    assert loaded.min() == 0
    assert loaded.max() == 255


def test_float_grey_in_0_to_1_is_stretched_to_bytes():
    loaded = np.asarray(load_picture(Image.fromarray((GREY / 65535).astype(np.float32))))
    assert np.abs(loaded[..., 0] - GREY / 257).max() <= 0.51


def test_transparency_lies_over_white(tmp_path):
    layer = np.zeros((16, 16, 4), dtype=np.uint8)  # black, and nothing of it to be seen
    layer[4:8, 4:8, 3] = 255
    loaded = np.asarray(load_picture(_saved(Image.fromarray(layer), tmp_path / "alpha.png")))
    assert loaded[0, 0].tolist() == [255, 255, 255]
    assert loaded[5, 5].tolist() == [0, 0, 0]


def test_transparent_palette_lies_over_white(tmp_path):
    palette = Image.fromarray(np.zeros((16, 16), dtype=np.uint8))
    palette.putpalette([10, 20, 30] * 256)
    loaded = load_picture(_saved(palette, tmp_path / "p.png", transparency=0))
    assert loaded.getpixel((3, 3)) == (255, 255, 255)


@pytest.mark.parametrize(
    "array",
    [
        np.ones((16, 24), bool),
        np.ones((16, 24, 1), np.uint8),
        np.ones((16, 24, 4), np.uint8),
        np.ones((16, 24, 3), np.uint16),
        np.ones((16, 24, 3), np.float64),
    ],
)
def test_arrays_of_several_types_are_taken(array):
    assert size_hw(load_picture(array)) == (16, 24)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 16, 24), np.uint8), r"shape \(3, 16, 24\); expected \(height, width"),
        (np.ones((2, 16, 24, 3), np.uint8), "expected"),
        (np.full((16, 24, 3), 7.0), "floats in 0..1"),
        (np.full((16, 24, 3), np.nan), "floats in 0..1"),
        (np.ones((16, 24, 3), np.int64), "expected uint8"),
        (np.ones((0, 24, 3), np.uint8), r"\(0, 24, 3\)"),
    ],
)
def test_wrong_arrays_are_explained(array, message):
    with pytest.raises(ImageError, match=message):
        load_picture(array)


def test_missing_file_names_its_neighbours(tmp_path):
    _saved(_rgb(), tmp_path / "photo.png")
    with pytest.raises(ImageError, match=r"no such file: .*phoot.png; nearby there is 'photo.png'"):
        load_picture(tmp_path / "phoot.png")


def test_missing_folder_is_a_missing_file(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        load_picture(tmp_path / "nowhere" / "photo.png")


def test_text_is_not_a_picture(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture at all")
    with pytest.raises(ImageError, match="not a picture that Pillow can read"):
        load_picture(tmp_path / "notes.txt")


def test_empty_file_is_named_as_such(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"is empty \(0 bytes\)"):
        load_picture(tmp_path / "empty.png")


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_truncated_file_is_named_as_such(tmp_path, ending):
    whole = io.BytesIO()
    _rgb(64, 64).save(whole, {"png": "PNG", "jpg": "JPEG", "tif": "TIFF"}[ending])
    (tmp_path / f"half.{ending}").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(ImageError, match=r"half\.\w+ (is broken|is not a picture|can't be read)"):
        load_picture(tmp_path / f"half.{ending}")


def test_folder_is_not_a_picture(tmp_path):
    with pytest.raises(ImageError, match="is a folder"):
        load_picture(tmp_path)


def test_something_else_is_not_a_picture():
    with pytest.raises(ImageError, match="got a list"):
        load_picture([1, 2, 3])


def test_one_pixel_is_too_small(tmp_path):
    with pytest.raises(ImageError, match=r"1x1 pixels .*at least 8 a side"):
        load_picture(_saved(Image.new("RGB", (1, 1)), tmp_path / "dot.png"))


def test_huge_picture_is_refused_by_its_header(tmp_path):
    path = tmp_path / "bomb.png"
    _saved(Image.new("1", (20_000, 20_000)), path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="is too large|are read. Make it smaller"):
            load_picture(path)
    with pytest.raises(ImageError, match="are read. Make it smaller"):
        load_picture(Image.new("1", (13_000, 13_000)))


def test_very_long_picture_is_refused_for_the_model_but_can_be_cropped():
    long = Image.new("RGB", (20, 20_000))
    with pytest.raises(ImageError, match=r"20000x20 .*1000:1; at most 16:1.*crop=True"):
        fitted_size(size_hw(load_picture(long)), native_px=512, multiple_px=64)
    assert middle_box(size_hw(long)) == (0, 9990, 20, 10_010)


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ((512, 512), (512, 512)),
        ((3000, 4000), (448, 576)),
        ((4000, 3000), (576, 448)),
        ((100, 1600), (128, 2048)),
        ((20, 20), (512, 512)),
        ((1, 16), (128, 2048)),
    ],
)
def test_fitted_size_keeps_aspect_and_area(photo, expected):
    assert fitted_size(photo, native_px=512, multiple_px=64) == expected


def test_middle_square_leaves_as_much_on_both_sides():
    image = _rgb(10, 17)
    assert np.array_equal(np.asarray(image.crop(middle_box(size_hw(image)))), np.asarray(image)[:, 3:13])


def test_resizing_is_height_by_width():
    assert size_hw(resized(_rgb(), (32, 8))) == (32, 8)


def test_colours_are_distinct_and_do_not_depend_on_their_number():
    colours = segment_colours(40).astype(int)
    assert np.array_equal(segment_colours(5), colours[:5])
    apart = np.abs(colours[:, None] - colours[None, :]).sum(-1) + 999 * np.eye(40, dtype=int)
    assert apart[:20, :20].min() > 40
    assert apart.min() > 30


def test_indexed_png_keeps_the_numbers(tmp_path):
    labels = np.arange(256, dtype=np.int32).reshape(16, 16)
    path = _saved(indexed_png(labels), tmp_path / "l.png")
    with Image.open(path) as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), labels)
        assert np.array_equal(np.array(image.getpalette()).reshape(-1, 3), segment_colours(256))


def test_more_labels_than_a_palette_holds_are_refused():
    with pytest.raises(ParameterError, match=r"0 to 256; an indexed PNG holds 0..255"):
        indexed_png(np.arange(257)[None])


def test_boundaries_are_as_wide_as_asked():
    labels = np.zeros((9, 20), dtype=int)
    labels[:, 10:] = 1
    for width_px in (1, 2, 3, 4):
        line = boundaries(labels, width_px)
        assert line.sum(1).tolist() == [width_px] * 9
        assert line[:, 10].all()


def test_overlay_shows_colours_lines_and_leaves_the_picture_alone():
    image, labels = _rgb(40, 60), np.zeros((40, 60), dtype=int)
    labels[:, 30:] = 1
    before = np.asarray(image).copy()
    drawn = np.asarray(overlay_labels(image, labels, opacity=1.0)).astype(int)
    assert np.array_equal(np.asarray(image), before)
    assert drawn[20, 5].tolist() == segment_colours(2)[0].tolist()
    assert drawn[20, 50].tolist() == segment_colours(2)[1].tolist()
    assert drawn[20, 30].min() > 200  # the white line


@pytest.mark.parametrize("size", [(40, 60), (300, 20), (8, 8)])
def test_names_are_drawn_also_in_small_pictures(size):
    labels = np.zeros(size, dtype=int)
    labels[size[0] // 2 :] = 1
    image = _rgb(*size)
    plain = np.asarray(overlay_labels(image, labels))
    named = np.asarray(overlay_labels(image, labels, names={0: "sky", 1: "a very long name", 9: "absent"}))
    assert (plain != named).any()


def test_overlay_of_another_size_is_refused():
    with pytest.raises(ParameterError, match=r"labels are 40x60 and the picture 60x40"):
        overlay_labels(_rgb(60, 40), np.zeros((40, 60), dtype=int))


@pytest.mark.parametrize("opacity", [-0.1, 1.5, float("nan")])
def test_opacity_outside_its_range_is_refused(opacity):
    with pytest.raises(ParameterError, match="opacity is"):
        overlay_labels(_rgb(), np.zeros((16, 24), dtype=int), opacity=opacity)
