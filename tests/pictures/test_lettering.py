"""Letters of any script on pictures: from a font that has them, or as numbers, and then it is said."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from attnscope.pictures import fonts
from attnscope.pictures.axes import new_axes, write_title
from attnscope.pictures.lettering import FontWarning, clusters, fitted_line, line_of
from attnscope.pictures.overlays import overlay_labels
from attnscope.pictures.sheets import Tile, stacked, tile_row

WORLD = "漢ぁहแ👍"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the test puts fonts where Linux has them")


@pytest.fixture(autouse=True)
def no_world_font(monkeypatch, tmp_path):
    """This machine has no other font than DejaVu Sans, which comes with matplotlib."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    known = fonts.font_files()
    monkeypatch.setattr(
        fonts, "font_files", lambda: [path for path in known if path.name == "DejaVuSans.ttf"][:1]
    )
    fonts._machines_faces.cache_clear()
    yield
    fonts._machines_faces.cache_clear()


@pytest.fixture
def world_font(no_world_font, monkeypatch, tmp_path):
    """A font with a filled block for each letter of WORLD, put where users put theirs."""
    monkeypatch.undo()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "fonts").mkdir()
    made_font(tmp_path / "fonts" / "World.ttf", WORLD)
    fonts._machines_faces.cache_clear()


def made_font(path, letters):
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    def glyph(height):
        pen = TTGlyphPen(None)
        corners = [(0, 0), (0, height), (900, height), (900, 0)]
        pen.moveTo(corners[0])
        for corner in corners[1:]:
            pen.lineTo(corner)
        pen.closePath()
        return pen.glyph()

    names = [f"letter{number}" for number in range(len(letters))]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names])
    builder.setupCharacterMap({ord(letter): name for letter, name in zip(letters, names, strict=True)})
    shapes = {".notdef": glyph(200)} | {name: glyph(500 + 50 * at) for at, name in enumerate(names)}
    builder.setupGlyf(shapes)
    builder.setupHorizontalMetrics(dict.fromkeys(shapes, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "World", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, sTypoDescender=-100)
    builder.setupPost()
    builder.save(path)


def drawn(text, size_px=40):
    image = Image.new("L", (900, 60), 255)
    line_of(text, size_px).draw(ImageDraw.Draw(image), (5, 5), "black")
    return np.asarray(image)


def test_plain_text_is_in_pillows_own_font():
    line = line_of("a red house (2)", 20)
    assert line.text == "a red house (2)"
    assert line.files == ()


@pytest.mark.parametrize("text", ["é", "ä ñ ø ß", "Ω ж", "“a” – b…", "naïve café"])
def test_letters_of_europe_are_real_letters(text):
    line = line_of(text, 20)
    assert line.text == text
    assert [file.name for file in line.files] == ["DejaVuSans.ttf"]


@pytest.mark.parametrize("letter", "éäñøßΩж")
def test_a_drawn_letter_is_no_box(letter):
    image = Image.new("L", (900, 60), 255)
    ImageDraw.Draw(image).text((5, 5), letter, "black", ImageFont.load_default(40))
    assert (drawn(letter) < 128).any()
    assert not np.array_equal(drawn(letter), np.asarray(image))  # Pillow's own font lacks all of them


def test_accents_apart_from_their_letters_are_the_same_picture():
    assert np.array_equal(drawn("cafe\u0301"), drawn("café"))


@pytest.mark.parametrize("letter", WORLD)
def test_a_letter_that_no_font_has_is_written_as_its_number_and_said(letter):
    with pytest.warns(FontWarning, match="apt install fonts-noto-core fonts-noto-cjk"):
        line = line_of(f"a {letter}", 20)
    assert line.text == f"a {ascii(letter)[1:-1]}"


def test_it_is_said_once_for_all_captions():
    with warnings.catch_warnings(record=True) as said:
        warnings.resetwarnings()
        for text in ("漢", "ぁ word", "ह" * 50):
            fitted_line(text, 40, 20)
    assert len(said) == 1


@pytest.mark.usefixtures("world_font")
@pytest.mark.parametrize("letter", WORLD)
def test_a_users_font_gives_its_letters(letter):
    line = line_of(letter, 40)
    assert line.text == letter
    assert [file.name for file in line.files] == ["World.ttf"]
    rows = np.flatnonzero((drawn(letter) < 128).any(1))
    assert abs(len(rows) - 40 * (0.5 + 0.05 * WORLD.index(letter))) <= 1  # the block of this very letter


@pytest.mark.usefixtures("world_font")
def test_scripts_mix_on_one_line():
    line = line_of("a café in 漢ぁ", 40)
    assert line.text == "a café in 漢ぁ"
    assert [file.name for file in line.files] == ["DejaVuSans.ttf", "World.ttf"]
    ink = drawn("a café in 漢ぁ") < 128
    assert (
        abs(np.flatnonzero(ink.any(0)).max() - (5 + line.width_px)) <= 6
    )  # a block leaves 4 pixels free, and letters stand on whole ones


@pytest.mark.usefixtures("world_font")
def test_what_follows_a_missing_letter_is_still_there():
    with pytest.warns(FontWarning):
        assert line_of("漢字", 20).text == "漢\\u5b57"


@pytest.mark.parametrize(
    "text", ["two\nlines", "a\ttab", "\r\n", "\x00", "\ud800", "", " ", "\u200d", "\ufe0f"]
)
def test_text_of_any_kind_is_one_line(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FontWarning)
        line = line_of(text, 20)
        drawn(text)
        fitted_line(text * 99, 50, 20)
    assert not set(line.text) & set("\n\r\t\x00\ud800")


@pytest.mark.parametrize("text", ["long " * 99, "ж" * 99, "e\u0301" * 99, "漢" * 99, "👍🏽" * 9, "w" * 2000])
def test_long_text_is_cut_between_letters(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FontWarning)
        line = fitted_line(text, 150, 20)
    assert (40 if len(text) > 20 else 0) < line.width_px <= 150
    assert line.text.endswith("…")


def test_readers_letters_stay_whole():
    assert list(clusters("e\u0301a")) == ["e\u0301", "a"]
    assert list(clusters("👍🏽👍")) == ["👍🏽", "👍"]
    assert list(clusters("कमलों")) == ["क", "म", "लों"]
    assert list(clusters("👩\u200d🚀x")) == ["👩\u200d🚀", "x"]
    assert list(clusters("")) == []


@pytest.mark.usefixtures("world_font")
def test_sheets_and_overlays_have_the_letters():
    picture = Image.new("RGB", (256, 256), "gray")
    labels = np.repeat([[0, 1]], 256, 0).repeat(128, 1)

    def overlay(name):
        return np.asarray(overlay_labels(picture, labels, names={0: name, 1: "é"}))

    def sheet(word):
        return np.asarray(stacked(word, word, [(word, tile_row([Tile(picture, word, word)]))]))

    for draw in (overlay, sheet):
        assert not np.array_equal(draw("漢"), draw("ぁ"))  # each has its own block, no box for both


def test_a_name_never_leaves_its_picture():
    picture, labels = Image.new("RGB", (64, 64), "gray"), np.zeros((64, 64), int)
    labels[:, 60:] = 1
    named = np.asarray(overlay_labels(picture, labels, names={1: "a very long name of a segment"})).astype(
        int
    )
    plain = np.asarray(overlay_labels(picture, labels)).astype(int)
    assert (named != plain).any()
    assert (named[:, 0] == plain[:, 0]).all()


@pytest.mark.usefixtures("world_font")
@pytest.mark.parametrize("title", ["漢 and é", "$5 and $6", "a_b^{c}", "\\alpha", "two\nlines"])
def test_titles_of_plots_are_plain_text_of_any_script(title):
    axes = new_axes()
    write_title(axes, title)
    axes.figure.canvas.draw()  # a missing letter or a broken formula would raise here
    assert axes.get_title() == title.replace("\n", " ")


def test_titles_of_plots_say_what_is_missing():
    axes = new_axes()
    with pytest.warns(FontWarning):
        write_title(axes, "漢")
    axes.figure.canvas.draw()
    assert axes.get_title() == "\\u6f22"


def test_files_that_are_no_fonts_are_passed_over(monkeypatch, tmp_path):
    made_font(tmp_path / "good.ttf", WORLD)
    whole = (tmp_path / "good.ttf").read_bytes()
    (tmp_path / "empty.ttf").write_bytes(b"")
    (tmp_path / "text.otf").write_text("no font")
    rng = np.random.default_rng(0)
    for number in range(60):
        broken = bytearray(whole[: rng.integers(8, len(whole))] if number % 2 else whole)
        for at in rng.integers(0, len(broken), 12):
            broken[at] = rng.integers(256)
        (tmp_path / f"broken{number}.ttf").write_bytes(broken)
    monkeypatch.setattr(fonts, "font_files", lambda: sorted(tmp_path.iterdir(), reverse=True))
    fonts._machines_faces.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FontWarning)
        assert line_of(WORLD + " é", 20).width_px > 0


def test_plain_fonts_come_before_bold_ones():
    names = [
        "NotoSansCJK-Regular.ttc",
        "DejaVuSans-Bold.ttf",
        "Zapfino.ttf",
        "DejaVuSans.ttf",
        "NotoSans-Regular.ttf",
    ]
    ordered = sorted(map(fonts.Path, names), key=fonts._preference)
    assert [path.name for path in ordered] == [
        "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "Zapfino.ttf", "DejaVuSans-Bold.ttf",
    ]  # fmt: skip
