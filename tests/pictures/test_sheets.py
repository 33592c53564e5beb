"""Sheets and names: the small parts behind the commands."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from attnscope.atlas import sections
from attnscope.cli.layer_tables import readable_bytes
from attnscope.cli.options import parse_numbers, parse_size, parse_words
from attnscope.cli.overview import unet_strip
from attnscope.errors import ParameterError
from attnscope.files.names import file_names
from attnscope.pictures.sheets import Tile, fitted, font, stacked, tile_row


def test_tiles_keep_their_aspect_ratio():
    wide = Image.new("RGB", (100, 50), "red")
    row = np.asarray(tile_row([Tile(wide, "wide")], tile_px=200))
    red = (row == (255, 0, 0)).all(-1)
    assert (red.any(1).sum(), red.any(0).sum()) == (100, 200)


def test_tiles_wrap_into_rows():
    tiles = [Tile(Image.new("RGB", (8, 8)), str(number)) for number in range(5)]
    one, two = tile_row(tiles, columns=5), tile_row(tiles, columns=3)
    assert two.height > 2 * one.height
    assert two.width < one.width


def test_long_text_is_cut_to_its_width():
    text = fitted("a very long prompt " * 20, 300, 20)
    assert text.endswith("…")
    assert font(20).getlength(text) <= 300


def test_a_page_is_as_wide_as_its_widest_part():
    parts = [("one", Image.new("RGB", (300, 10))), ("two", Image.new("RGB", (500, 10)))]
    assert stacked("title", "subtitle", parts).width == 556


def test_the_strip_draws_every_unit():
    strip = unet_strip(sections("sd1"), 1100)
    assert strip.width == 1100
    assert len({tuple(colour) for colour in np.asarray(strip).reshape(-1, 3)[::7]}) > 10


def test_names_of_files_are_plain_and_distinct():
    assert file_names(["red house", "a", "a", "a", "../etc", "猫", "?"]) == [
        "red-house", "a", "a-2", "a-3", "etc", "猫", "word",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "size"), [("768x512", (768, 512)), ("512", (512, 512)), (" 8X16 ", (8, 16)), (None, None)]
)
def test_sizes_are_height_then_width(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "8x", "-8x8", "8.5x8", "1234567"])
def test_a_size_without_sense_is_refused(text):
    with pytest.raises(ParameterError, match="expected HEIGHTxWIDTH"):
        parse_size(text)


def test_numbers_and_ranges():
    assert parse_numbers("--blocks", "3, 5-7") == [3, 5, 6, 7]
    with pytest.raises(ParameterError, match="the range 7-5 is empty"):
        parse_numbers("--blocks", "7-5")


def test_words_from_commas_and_repeats():
    assert parse_words(["house, red star", "grass", ""]) == ["house", "red star", "grass"]
    assert parse_words(None) is None


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 B"), (1000, "1 kB"), (141_900_000, "142 MB"), (2.93e9, "2.93 GB")]
)
def test_bytes_are_readable(count, text):
    assert readable_bytes(count) == text
