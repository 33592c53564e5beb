"""Where words landed, on maps small enough to be written out."""

import numpy as np
import pytest

from attnscope.explaining.landing import in_segments, labels_at, landings, overlap, place_in_words
from attnscope.heatmap.result import HeatMap


def heat(word, rows):
    return HeatMap(np.array(rows, np.float32), word)


LEFT = heat("left", [[0.4, 0.0], [0.4, 0.0]])
RIGHT = heat("right", [[0.0, 0.2], [0.0, 0.2]])
UPPER = heat("upper", [[0.3, 0.3], [0.0, 0.0]])
NONE = heat("none", [[0.0, 0.0], [0.0, 0.0]])


def test_two_equal_maps_have_all_in_common_and_two_apart_nothing():
    assert overlap(LEFT, LEFT).alike == pytest.approx(1)
    assert overlap(LEFT, LEFT).lies_on == pytest.approx(1)
    assert overlap(LEFT, RIGHT).alike == overlap(LEFT, RIGHT).lies_on == 0


def test_a_map_half_on_another_is_there_by_chance():
    half = overlap(LEFT, UPPER)
    assert (half.lies_on, half.chance, half.alike) == pytest.approx((0.5, 0.5, 0.5))
    assert not half.lies_together


def test_a_small_map_inside_a_large_one_lies_on_it():
    window, house = np.zeros((8, 8)), np.zeros((8, 8))
    window[1, 1], house[:4, :4] = 1, 1
    on = overlap(heat("window", window), heat("house", house))
    assert on.lies_together
    assert on.alike == pytest.approx(1 / 16)
    assert not overlap(heat("house", house), heat("window", window)).lies_together


def test_a_word_without_attention_lies_on_nothing():
    assert not overlap(NONE, LEFT).lies_together
    (landing,) = landings([NONE], [1], [[]], [[]])
    assert (landing.share, landing.peak, landing.area, landing.spread, landing.leads) == (0, 0, 0, 1, 0)


def test_shares_are_those_of_all_tokens_and_peaks_those_of_one():
    one, two = landings([LEFT, RIGHT], [1, 2], [[1], [0]], [[], []])
    assert (one.share, two.share) == pytest.approx((0.2, 0.2))
    assert (one.peak, two.peak) == pytest.approx((0.4, 0.2))
    assert (one.leads, two.leads) == (0.5, 0.5)


def test_a_word_right_before_another_takes_no_lead_from_it():
    weak, strong = heat("house", [[0.1, 0.0], [0.0, 0.0]]), heat("brick", [[0.2, 0.0], [0.0, 0.0]])
    rivals = [[1], [0]]
    assert [landing.leads for landing in landings([weak, strong], [1, 1], rivals, [[], []])] == [0, 0.25]
    assert [landing.leads for landing in landings([weak, strong], [1, 1], rivals, [[1], []])] == [0.25, 0.25]


def test_rank_counts_the_rivals_that_get_more():
    every = [[1, 2], [0, 2], [0, 1]]
    assert [landing.rank for landing in landings([LEFT, RIGHT, UPPER], [1, 1, 1], every, [[]] * 3)] == [
        1,
        3,
        2,
    ]


def test_spread_is_the_part_of_the_picture_that_is_filled_evenly():
    (left,) = landings([LEFT], [1], [[]], [[]])
    assert left.spread == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ((0, 0), "top left"),
        ((0, 5), "top"),
        ((5, 0), "left"),
        ((5, 5), "in the middle"),
        ((9, 9), "bottom right"),
        ((5, 9), "right"),
        ((9, 5), "bottom"),
        ((0, 9), "top right"),
        ((9, 0), "bottom left"),
    ],
)
def test_places_have_names(at, said):
    assert place_in_words(at, (10, 10)) == said


def test_the_name_of_a_place_does_not_turn_a_picture_that_is_not_square():
    assert place_in_words((0, 29), (10, 30)) == "top right"
    assert place_in_words((29, 0), (30, 10)) == "bottom left"


def test_a_word_is_matched_with_the_segment_that_it_fills():
    labels = np.array([[0, 0, 1, 1]] * 4)
    found = in_segments(RIGHT, labels, {"left": LEFT, "right": RIGHT})
    assert (found.segment, found.iou, found.inside, found.area, found.best_word) == (
        1,
        1.0,
        1.0,
        0.5,
        "right",
    )
    assert in_segments(LEFT, labels, {"left": LEFT, "right": RIGHT}).segment == 0
    assert in_segments(NONE, labels, {}) is None


def test_a_segment_that_no_word_stands_out_in_has_no_best_word():
    labels = np.array([[0, 0, 1, 1]] * 4)
    assert in_segments(LEFT, labels, {"right": RIGHT}).best_word is None


def test_labels_are_taken_from_the_middle_of_each_place():
    labels = np.arange(16).reshape(4, 4)
    assert labels_at(labels, (2, 2)).tolist() == [[5, 7], [13, 15]]
    assert labels_at(labels, (8, 4)).tolist() == np.repeat(labels, 2, axis=0).tolist()
