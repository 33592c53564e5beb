"""Scores on cases small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from attnscope.demo.scoring import heat_iou, matched_iou, overlaps, partners, pointing_hit


def test_the_hottest_place_points_at_its_own_pixels():
    heat = np.array([[0.0, 1.0], [0.0, 0.0]])
    mask = np.zeros((8, 8), bool)
    mask[0:4, 4:8] = True
    assert pointing_hit(heat, mask)
    assert not pointing_hit(heat, ~mask)
    assert not pointing_hit(heat, mask.T)


def test_heat_above_the_threshold_is_compared_with_the_mask():
    heat = np.array([[0.2, 1.0], [0.3, 0.8]])
    mask = np.array([[False, True], [True, True]])
    assert heat_iou(heat, mask, 0.5) == pytest.approx(2 / 3)
    assert heat_iou(heat, mask, 0.25) == 1


def test_names_of_segments_do_not_matter():
    truth = np.array([[0, 0, 1, 1], [0, 0, 2, 2]])
    assert matched_iou(7 - 3 * truth, truth) == 1


def test_a_missing_segment_counts_nothing():
    truth = np.array([[0, 0, 1, 1]])
    assert matched_iou(np.zeros_like(truth), truth) == pytest.approx(0.25)  # one of two found, at IoU 0.5


def test_true_segments_get_the_numbers_of_their_partners_and_those_without_one_a_new_number():
    found = np.array([[0, 0, 1, 1, 1]])
    assert partners(found, np.array([[1, 1, 0, 0, 0]])).tolist() == [1, 0]
    assert partners(found, np.array([[2, 2, 0, 0, 1]])).tolist() == [1, 3, 0]
    assert partners(found, np.zeros_like(found)).tolist() == [1]


def test_overlaps_are_those_counted_by_hand():
    found, truth = np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])
    assert overlaps(found, truth) == pytest.approx(np.array([[1 / 2, 1 / 4], [0, 2 / 3]]))
