"""A heat map's picture with its colours and their numbers: what is drawn where, at any shape."""

import numpy as np
import pytest
from PIL import Image

import attnscope
from attnscope.heatmap.result import HeatMap
from attnscope.pictures.heat_colours import heat_colours
from attnscope.testing.made_traces import made_trace


def heat(height=8, width=12, picture=None, word="cat"):
    values = np.linspace(0, 0.25, height * width, dtype=np.float32).reshape(height, width)
    return HeatMap(values, word, picture and (picture.height, picture.width), picture)


def test_the_overlay_stands_above_its_legend():
    picture = Image.new("RGB", (480, 320), "teal")
    page = np.asarray(heat(picture=picture).with_legend())
    np.testing.assert_array_equal(page[:320], np.asarray(heat(picture=picture).overlay()))
    assert page.shape[0] > 380


def test_the_ramp_goes_from_nothing_to_the_largest_value():
    picture = Image.new("RGB", (480, 320), "teal")
    below = np.asarray(heat(picture=picture).with_legend())[320:].astype(int)
    ends = heat_colours(np.array([0.0, 1.0])).astype(int)
    rows = [row for row in below if (row[12] == ends[0]).all() and (row[-13] == ends[1]).all()]
    assert len(rows) == 14
    expected = heat_colours(np.linspace(0, 1, 480 - 24))
    np.testing.assert_array_equal(rows[0][12:-12], expected)


def test_a_map_without_a_picture_is_shown_by_itself():
    trace = made_trace()
    page = attnscope.heat_map(trace, "cat").with_legend(note="step 1")
    assert page.width >= 320
    other = attnscope.heat_map(trace, "cat").with_legend(note="step 2")
    assert np.any(np.asarray(page) != np.asarray(other))


@pytest.mark.parametrize(("height", "width"), [(3000, 40), (20, 3000), (1, 1), (64, 64)])
def test_pictures_of_any_shape_fit(height, width):
    picture = Image.new("RGB", (width, height), "navy")
    page = heat(picture=picture, word="a very long phrase " * 20).with_legend(note="n" * 500)
    assert 240 <= page.width <= 1100
    assert page.height <= 1024 + 110
    if max(height, width) > 320:
        shown = min(1024 / max(height, width), 1)
        assert page.height - 104 == max(round(height * shown), 1)


def test_a_sum_has_its_own_numbers():
    page = attnscope.heat_map(made_trace(), "cat", preset="daam").with_legend()
    assert page.height > 104
