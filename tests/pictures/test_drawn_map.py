"""A map over a picture as the viewer draws it: numbers worked out by hand."""

from __future__ import annotations

import re
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from attnscope.errors import ParameterError
from attnscope.pictures.drawn_map import GROUND, RAMPS, draw_map
from attnscope.pictures.heat_colours import heat_colours

MAP = np.array([[0.0, 0.1], [0.2, 0.4]], np.float32)


def picture(height=4, width=4, colour=(200, 100, 50)):
    return Image.new("RGB", (width, height), colour)


def pixels(image):
    return np.asarray(image, int)


def test_where_there_is_no_attention_the_picture_is_untouched():
    drawn = pixels(draw_map(MAP, picture(), cells=True))
    assert drawn[0, 0].tolist() == [200, 100, 50]


def test_opacity_follows_the_value():
    drawn = pixels(draw_map(MAP, picture(), cells=True, opacity=0.8))
    for (row, column), share in {(0, 3): 0.25, (3, 0): 0.5, (3, 3): 1.0}.items():
        colour = heat_colours(np.array(share)).astype(float)
        alpha = 0.8 * np.floor(255 * share + 0.5) / 255
        expected = (1 - alpha) * np.array([200, 100, 50]) + alpha * colour
        np.testing.assert_allclose(drawn[row, column], expected, atol=0.51)


def test_an_opaque_map_is_its_colours_alone():
    drawn = pixels(draw_map(MAP, picture(), cells=True, opacity=1, through=False))
    np.testing.assert_array_equal(drawn[::3, ::3], heat_colours(MAP / 0.4))


def test_one_brightest_value_makes_maps_comparable():
    twice = pixels(draw_map(MAP, picture(), top=0.8, opacity=1, through=False, cells=True))
    np.testing.assert_array_equal(twice[3, 3], heat_colours(np.array(0.5)))
    cut = pixels(draw_map(MAP, picture(), top=0.1, opacity=1, through=False, cells=True))
    np.testing.assert_array_equal(cut[3, 3], cut[0, 3])


def test_the_logarithmic_scale_covers_three_decades():
    values = np.array([[1e-5, 1e-3, 1e-1, 1.0]], np.float32)
    drawn = pixels(draw_map(values, (1, 4), scale="log", opacity=1, through=False, cells=True))
    np.testing.assert_array_equal(drawn[0], heat_colours(np.array([0, 0, 2 / 3, 1])))


def test_between_the_middles_of_cells_values_are_mixed():
    drawn = pixels(draw_map(np.array([[0, 4.0]], np.float32), (1, 8), opacity=1, through=False))
    np.testing.assert_array_equal(drawn[0], heat_colours(np.array([0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]) / 4))


def test_contours_are_white_where_a_quarter_is_passed():
    values = np.array([[0, 0.2, 0.3, 0.6, 0.7, 0.8, 1]] * 2, np.float32)
    drawn = pixels(draw_map(values, (2, 7), contours=True, cells=True))
    assert [at for at in range(7) if drawn[0, at].tolist() == [255] * 3] == [1, 2, 4]


def test_without_a_picture_the_ground_is_grey():
    assert pixels(draw_map(np.zeros((2, 2), np.float32), (3, 5))).tolist() == [[list(GROUND)] * 5] * 3


def test_a_map_that_is_not_square_is_not_transposed():
    drawn = draw_map(np.array([[0, 1.0], [0, 0], [0, 0]], np.float32), picture(9, 6), cells=True)
    assert drawn.size == (6, 9)
    changed = (pixels(drawn) != [200, 100, 50]).any(-1)
    assert changed[:3, 3:].all()
    assert not changed[3:].any()
    assert not changed[:, :3].any()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"colours": "jet"}, "jet"), ({"opacity": 2}, "opacity is 2"), ({"top": -1}, "top is -1")],
)
def test_what_can_t_be_drawn_is_said(wrong, said):
    with pytest.raises(ParameterError, match=said):
        draw_map(MAP, picture(), **wrong)


def test_the_page_has_the_same_ramps():
    script = files("attnscope.viewer").joinpath("static/ramps.js").read_text()
    body = re.search(r"const RAMPS = \{(.*?)\};", script, re.S)[1]
    found = {
        name: tuple(f"#{stop}" for stop in stops.split())
        for name, stops in re.findall(r"(\w+): [\"`]([0-9a-f\s]+)[\"`]", body)
    }
    assert found == RAMPS
