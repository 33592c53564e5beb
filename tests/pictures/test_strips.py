"""What is computed a strip at a time is what is computed at once."""

import numpy as np
import pytest
from PIL import Image

from attnscope.pictures import strips
from attnscope.pictures.overlays import overlay_labels
from attnscope.pictures.reading import load_picture
from attnscope.pictures.regions import describe_segments, rle_mask

HEIGHT, WIDTH = 90, 70


@pytest.fixture(params=[1, 200, 999, HEIGHT * WIDTH])
def pixels_at_once(request, monkeypatch):
    monkeypatch.setattr(strips, "PIXELS_AT_ONCE", request.param)


def blobs(seed=0):
    coarse = np.random.default_rng(seed).integers(0, 5, (9, 7))
    return coarse.repeat(10, 0).repeat(10, 1).astype(np.int32)


def photo(mode="RGB"):
    pixels = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 4)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def in_one(compute):
    """With strips of the whole picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "PIXELS_AT_ONCE", 1 << 30)
        return compute()


def test_strips_cover_every_row_once(pixels_at_once):
    rows = [row for strip in strips.strips(HEIGHT, WIDTH) for row in range(HEIGHT)[strip]]
    assert rows == list(range(HEIGHT))


@pytest.mark.parametrize("names", [{}, {0: "sky", 3: "tree"}])
def test_overlays_are_the_same(pixels_at_once, names):
    picture, labels = photo(), blobs()
    expected = in_one(lambda: np.asarray(overlay_labels(picture, labels, names=names)))
    before = np.asarray(picture)
    np.testing.assert_array_equal(np.asarray(overlay_labels(picture, labels, names=names)), expected)
    np.testing.assert_array_equal(np.asarray(picture), before)
    own = picture.copy()
    assert overlay_labels(own, labels.astype(np.uint8), names=names, in_place=True) is own
    np.testing.assert_array_equal(np.asarray(own), expected)


@pytest.mark.parametrize("seed", range(4))
def test_segments_are_those_of_their_masks(pixels_at_once, seed):
    labels = blobs(seed) if seed else np.zeros((HEIGHT, WIDTH), np.uint8)
    for segment in describe_segments(labels):
        rows, columns = np.nonzero(labels == segment.id)
        np.testing.assert_array_equal(rle_mask(segment.rle), labels == segment.id)
        assert segment.area == len(rows)
        assert segment.centroid == pytest.approx((columns.mean(), rows.mean()))
        left, top, width, height = segment.box
        assert (left, top) == (columns.min(), rows.min())
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)


def test_labels_are_counted_and_renumbered_in_place(pixels_at_once):
    labels = blobs()
    numbers = np.array([4, 3, 2, 1, 0], np.int32)
    expected = 4 - labels
    np.testing.assert_array_equal(
        strips.pixels_of_labels(labels, 7), np.bincount(labels.ravel(), minlength=7)
    )
    assert strips.renumbered(labels, numbers) is labels
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "La", "RGBa"])
def test_transparent_pictures_lie_over_white(pixels_at_once, mode):
    picture = photo("RGBA").convert("LA").convert("La") if mode == "La" else photo(mode)
    np.testing.assert_array_equal(
        np.asarray(load_picture(picture)), np.asarray(in_one(lambda: load_picture(picture)))
    )
