import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnscope.pictures.regions import describe_segments, rle_mask

LABELS = np.array([[0, 0, 1], [0, 2, 1]])


def test_small_map_written_out():
    zero, one, two = describe_segments(LABELS, ("sky", "tree", "grass"))
    assert (zero.id, zero.label, zero.area, zero.box, zero.centroid) == (
        0,
        "sky",
        3,
        (0, 0, 2, 2),
        (1 / 3, 1 / 3),
    )
    assert (one.label, one.area, one.box, one.centroid) == ("tree", 2, (2, 0, 1, 2), (2.0, 0.5))
    assert (two.label, two.area, two.box, two.centroid) == ("grass", 1, (1, 1, 1, 1), (1.0, 1.0))
    assert zero.rle == {"size": [2, 3], "counts": "033"}  # down the columns: 0 out, 3 in, 3 out


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), st.integers(0, 999), st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_run_lengths_give_the_masks_back(height, width, count, seed, block):
    coarse = np.random.default_rng(seed).integers(0, count, (-(-height // block), -(-width // block)))
    labels = np.kron(coarse, np.ones((block, block), int))[:height, :width]
    found = describe_segments(labels)
    assert sum(segment.area for segment in found) == labels.size
    for segment in found:
        mask = labels == segment.id
        assert np.array_equal(rle_mask(segment.rle), mask)
        ys, xs = np.nonzero(mask)
        assert segment.box == (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1)
        assert segment.centroid == pytest.approx((xs.mean(), ys.mean()))


def test_long_runs_take_several_characters():
    labels = np.zeros((700, 900), dtype=int)
    labels[100:650, 50:800] = 1
    for segment in describe_segments(labels):
        assert np.array_equal(rle_mask(segment.rle), labels == segment.id)


def test_numbers_without_a_pixel_are_left_out():
    assert [segment.id for segment in describe_segments(np.array([[0, 3]]))] == [0, 3]
