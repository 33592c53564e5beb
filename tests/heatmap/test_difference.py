import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import map_coordinates

import attnscope
from attnscope.errors import OutputError, ParameterError
from attnscope.heatmap.result import HeatMap
from attnscope.pictures.heat_colours import blend_signed, signed_colours, signed_picture
from attnscope.testing.made_traces import made_trace


def heat(array, word="cat", **more):
    return HeatMap(np.asarray(array, np.float32), word, **more)


def test_two_words_of_a_trace_are_taken_from_each_other_place_by_place():
    trace = made_trace(steps=3)
    red, cat = attnscope.heat_map(trace, "red"), attnscope.heat_map(trace, "cat")
    less = attnscope.difference(red, cat)
    assert np.array_equal(less.array, red.array - cat.array)
    assert np.array_equal(np.asarray(less), less.array)
    assert np.array_equal(attnscope.difference(cat, red).array, -less.array)
    assert less.words == ("red", "cat")
    assert (less.title, less.unit) == ("red less cat", "share of attention")
    assert repr(less).startswith("<MapDifference 'red less cat', 4x6, -")


def test_one_word_of_two_traces_or_of_other_steps():
    one, other = made_trace(steps=2), made_trace(steps=2, seed=7)
    less = attnscope.difference(attnscope.heat_map(one, "cat"), attnscope.heat_map(other, "cat"))
    assert less.title == "cat: a less b"
    assert less.largest > 0
    first, second = (attnscope.heat_map(one, "cat", steps=step) for step in (0, 1))
    assert np.array_equal(attnscope.difference(first, second).array, first.array - second.array)


def test_a_smaller_map_is_resized_bilinearly_to_the_larger_one():
    rng = np.random.default_rng(0)
    small, large = rng.random((4, 6)), rng.random((8, 12))
    places = np.meshgrid(
        np.clip((np.arange(8) + 0.5) / 2 - 0.5, 0, 3),
        np.clip((np.arange(12) + 0.5) / 2 - 0.5, 0, 5),
        indexing="ij",
    )
    expected = map_coordinates(small, places, order=1, mode="nearest") - large
    assert np.abs(attnscope.difference(heat(small), heat(large)).array - expected).max() < 1e-6
    assert np.abs(attnscope.difference(heat(large), heat(small)).array + expected).max() < 1e-6


@pytest.mark.parametrize(
    ("one", "other"), [((4, 6), (6, 4)), ((8, 8), (8, 12)), ((64, 64), (64, 96)), ((32, 32), (48, 64))]
)
def test_pictures_of_different_shapes_have_no_places_in_common(one, other):
    with pytest.raises(ParameterError, match=rf"{one[0]}x{one[1]} places and map_b {other[0]}x{other[1]}"):
        attnscope.difference(heat(np.ones(one)), heat(np.ones(other)))


@pytest.mark.parametrize(("one", "other"), [((8, 12), (16, 24)), ((32, 47), (64, 95)), ((48, 64), (36, 48))])
def test_the_same_shape_at_another_size_fits(one, other):
    less = attnscope.difference(heat(np.full(one, 0.5)), heat(np.full(other, 0.2)))
    assert less.array.shape == max(one, other)
    np.testing.assert_allclose(less.array, 0.3, atol=1e-6)


def test_sums_and_means_are_not_taken_from_each_other():
    trace, longer = made_trace(steps=2), made_trace(steps=3)
    mean, daam = attnscope.heat_map(trace, "cat"), attnscope.heat_map(trace, "cat", preset="daam")
    with pytest.raises(ParameterError, match="summed over 2 steps.*without preset"):
        attnscope.difference(mean, daam)
    with pytest.raises(ParameterError, match="over 2 steps.*over 3 steps"):
        attnscope.difference(daam, attnscope.heat_map(longer, "cat", preset="daam"))
    ovam = attnscope.heat_map(trace, "cat", preset="ovam")
    assert ovam.unit == "attention, summed over 2 steps and 6 heads"
    few = attnscope.heat_map(trace, "cat", preset="ovam", steps=0, heads=1)
    assert few.unit == "attention, summed over 1 steps and 2 heads"
    red = attnscope.heat_map(trace, "red", preset="daam")
    assert np.array_equal(attnscope.difference(daam, red).array, daam.array - red.array)


def test_only_heat_maps_are_taken_from_each_other():
    with pytest.raises(ParameterError, match="map_b is a ndarray; expected a HeatMap"):
        attnscope.difference(heat([[1.0]]), np.ones((1, 1)))


def test_where_nothing_differs_the_grey_picture_shows_and_colours_are_symmetric():
    picture = Image.new("RGB", (30, 20), (200, 40, 40))
    values = np.zeros((20, 30), np.float32)
    values[:, :10], values[:, 20:] = 1, -1
    pixels = np.asarray(blend_signed(picture, values, opacity=1))
    middle = pixels[10, 15]
    assert middle.max() - middle.min() == 0
    assert np.array_equal(pixels[10, 5], signed_colours(np.array(1.0)))
    assert np.array_equal(pixels[10, 25], signed_colours(np.array(-1.0)))
    red, _, blue = signed_colours(np.array([-1, -0.7, -0.4, -0.1, 0, 0.1, 0.4, 0.7, 1])).astype(int).T
    assert np.array_equal(np.sign(red - blue), [-1, -1, -1, -1, 0, 1, 1, 1, 1])
    lightness = signed_colours(np.linspace(-1, 1, 9)) @ [0.2126, 0.7152, 0.0722]
    assert np.abs(lightness - lightness[::-1]).max() < 40  # less and more stand out alike


def test_the_scale_is_symmetric_around_nothing():
    picture = Image.new("RGB", (40, 40), "grey")
    less = attnscope.difference(
        heat(np.kron([[0.4, 0.1], [0, 0]], np.ones((4, 4))), picture=picture), heat(np.zeros((8, 8)))
    )
    strong, weak, none = (np.asarray(less.overlay()).astype(int)[y, x] for y, x in ((5, 5), (5, 35), (35, 5)))
    assert strong[0] - strong[2] > weak[0] - weak[2] > none[0] - none[2] == 0
    tamed = np.asarray(less.overlay(largest=4.0)).astype(int)[5, 5]
    assert tamed[0] - tamed[2] < strong[0] - strong[2]
    nothing = attnscope.difference(heat(np.ones((8, 8)), picture=picture), heat(np.ones((8, 8))))
    assert len(np.asarray(nothing.overlay()).reshape(-1, 3).tolist()) == 1600
    assert len({tuple(pixel) for pixel in np.asarray(nothing.overlay()).reshape(-1, 3).tolist()}) == 1


def test_without_a_picture_there_are_squares_and_the_overlay_says_what_is_missing():
    less = attnscope.difference(heat([[1.0, 0.0]]), heat([[0.0, 0.5]]))
    assert less._repr_png_()[:4] == b"\x89PNG"
    drawn = np.asarray(signed_picture(less.array))
    assert drawn.shape == (256, 512, 3)
    with pytest.raises(ParameterError, match="'cat: a less b' has no picture to be drawn on"):
        less.overlay()
    assert less.overlay(Image.new("RGB", (32, 16))).size == (32, 16)


def test_it_is_written_and_drawn_as_a_heat_map_is(tmp_path):
    picture = Image.new("RGB", (64, 32), "green")
    less = attnscope.difference(heat([[0.5, 0.1]], picture=picture), heat([[0.1, 0.4]], "star"))
    assert less.picture is picture
    for ending in ("png", "jpg", "webp"):
        with Image.open(less.save(tmp_path / f"less.{ending}")) as written:
            assert written.size == (64, 32)
    assert np.array_equal(np.load(less.save(tmp_path / "less.npy")), less.array)
    with pytest.raises(OutputError, match="exists already"):
        less.save(tmp_path / "less.npy")
    with pytest.raises(ParameterError, match="expected .png"):
        less.save(tmp_path / "less.gif")
    assert less == attnscope.difference(heat([[0.5, 0.1]]), heat([[0.1, 0.4]], "star"))
    assert less != attnscope.difference(heat([[0.5, 0.1]]), heat([[0.1, 0.4]]))


def test_a_plot_has_a_symmetric_colour_bar():
    pytest.importorskip("matplotlib")
    less = attnscope.difference(heat([[0.5, 0.1]]), heat([[0.1, 0.3]]))
    (drawn,) = less.plot().images
    np.testing.assert_allclose(drawn.get_clim(), (-0.4, 0.4), atol=1e-6)


def test_a_differentiable_map_gives_plain_numbers():
    tensor = torch.ones(2, 2, requires_grad=True) * 0.5
    held = HeatMap.of(tensor, "cat", None, None)
    assert np.array_equal(attnscope.difference(held, held).array, np.zeros((2, 2)))
