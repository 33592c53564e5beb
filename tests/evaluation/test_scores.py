"""Scores beside scipy, scikit-image, scikit-learn and counts that are written out."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from skimage.segmentation import find_boundaries
from sklearn.metrics import confusion_matrix, jaccard_score

from attnscope.errors import ParameterError
from attnscope.evaluation import scores
from attnscope.evaluation.assigning import best_columns, hits
from attnscope.evaluation.counting import count_table
from attnscope.evaluation.edges import edge_counts, edges
from attnscope.evaluation.scoring import scores_of_tables

CLASSES = 5


def made(seed, pictures=6, segments=7):
    rng = np.random.default_rng(seed)
    truths = [rng.integers(0, CLASSES - 1, (12, 17)) for _ in range(pictures)]
    predictions = [(truth * 2 + rng.integers(0, 2, truth.shape)) % segments for truth in truths]
    for truth in truths:
        truth[rng.random(truth.shape) < 0.1] = 255
    return predictions, truths


def literal(predictions, truths, columns_of):
    """TP, FP and FN of each class, a pixel at a time."""
    right, wrong, missed = (np.zeros(CLASSES, int) for _ in range(3))
    for number, (prediction, truth) in enumerate(zip(predictions, truths, strict=True)):
        columns = columns_of(number)
        for segment, true in zip(prediction.ravel(), truth.ravel(), strict=True):
            if true == 255:
                continue
            right[true] += columns[true] == segment
            missed[true] += columns[true] != segment
            for each in range(CLASSES):
                wrong[each] += columns[each] == segment and each != true
    return right, wrong, missed


def expect(result, right, wrong, missed):
    union = right + wrong + missed
    iou = [r / u if u else np.nan for r, u in zip(right, union, strict=True)]
    np.testing.assert_allclose(result.iou, iou)
    assert result.miou == pytest.approx(np.nanmean(iou))
    assert result.accuracy == pytest.approx(right.sum() / (right + missed).sum())


def scipy_columns(tables):
    table = np.zeros((CLASSES, max(CLASSES, *(each.shape[1] for each in tables))), int)
    for each in tables:
        table[:, : each.shape[1]] += each
    return linear_sum_assignment(-table)[1]


def sklearn_table(prediction, truth):
    judged = truth != 255
    labels = range(max(CLASSES, prediction.max() + 1))
    return confusion_matrix(truth[judged], prediction[judged], labels=labels)[:CLASSES]


@pytest.mark.parametrize("segments", [3, 7])
def test_per_image_is_scipy_and_a_literal_count(segments):
    predictions, truths = made(1, segments=segments)
    tables = [sklearn_table(*pair) for pair in zip(predictions, truths, strict=True)]
    result = scores(predictions, truths, classes=CLASSES, resamples=0)
    expect(result, *literal(predictions, truths, lambda number: scipy_columns([tables[number]])))


@pytest.mark.parametrize("segments", [3, 7])
def test_one_assignment_for_the_data_set_is_scipy_and_a_literal_count(segments):
    predictions, truths = made(2, segments=segments)
    tables = [sklearn_table(*pair) for pair in zip(predictions, truths, strict=True)]
    result = scores(predictions, truths, classes=CLASSES, assignment="dataset", resamples=0)
    columns = scipy_columns(tables)
    expect(result, *literal(predictions, truths, lambda _: columns))


def test_named_is_scikit_learn_s_jaccard():
    predictions, truths = made(3, segments=CLASSES)
    result = scores(predictions, truths, classes=CLASSES, assignment="named", resamples=0)
    truth, prediction = np.concatenate(truths).ravel(), np.concatenate(predictions).ravel()
    judged = truth != 255
    expected = jaccard_score(truth[judged], prediction[judged], labels=range(CLASSES), average=None)
    np.testing.assert_allclose(result.iou, expected)


def test_segments_beyond_the_classes_are_missed_pixels_and_nobody_s_wrong_ones():
    truth = np.array([[0, 0, 1, 1]])
    result = scores([np.array([[0, 2, 1, 1]])], [truth], classes=2, assignment="named", resamples=0)
    assert result.iou.tolist() == [0.5, 1.0]
    assert result.accuracy == 0.75


def test_the_assignment_is_the_best_of_all():
    table = np.random.default_rng(0).integers(0, 50, (4, 6))
    best = max(
        sum(table[at, column] for at, column in enumerate(order)) for order in permutations(range(6), 4)
    )
    assert hits(table, best_columns(table)).right.sum() == best


def test_a_class_that_is_nowhere_has_no_iou_and_is_in_no_mean():
    truth = np.array([[0, 0, 2, 2]])
    result = scores([np.array([[1, 1, 0, 0]])], [truth], classes=4, resamples=0)
    assert np.isnan(result.iou).tolist() == [False, True, False, True]
    assert (result.miou, result.accuracy) == (1.0, 1.0)
    assert result.to_dict()["classes"][1] == {"name": "1", "iou": None, "pixels": 0}


def test_a_surplus_segment_costs_the_absent_class_that_gets_it():
    truth = np.array([[0, 0, 0, 0]])
    result = scores([np.array([[0, 0, 0, 1]])], [truth], classes=2, resamples=0)
    assert result.iou.tolist() == [0.75, 0.0]
    assert result.per_picture.tolist() == [0.75]  # by itself a picture has only its own classes


def test_ignored_pixels_change_nothing():
    predictions, truths = made(4)
    before = scores(predictions, truths, classes=CLASSES, resamples=0)
    for prediction, truth in zip(predictions, truths, strict=True):
        prediction[truth == 255] = 3
    assert scores(predictions, truths, classes=CLASSES, resamples=0).iou.tolist() == before.iou.tolist()


def test_the_order_of_pictures_changes_nothing():
    predictions, truths = made(5)
    one = scores(predictions, truths, classes=CLASSES, assignment="dataset", resamples=0)
    other = scores(predictions[::-1], truths[::-1], classes=CLASSES, assignment="dataset", resamples=0)
    assert one.iou.tolist() == other.iou.tolist()


def interval_of_draws(predictions, truths, assignment):
    generator, drawn = np.random.default_rng(7), []
    for _ in range(40):
        chosen = generator.integers(4, size=4)
        pairs = [predictions[at] for at in chosen], [truths[at] for at in chosen]
        drawn.append(scores(*pairs, classes=CLASSES, assignment=assignment, resamples=0).miou)
    return tuple(np.quantile(drawn, (0.025, 0.975)))


def test_intervals_are_those_of_a_bootstrap_that_scores_anew():
    predictions, truths = made(6, pictures=4)
    result = scores(predictions, truths, classes=CLASSES, resamples=40, seed=7)
    assert result.intervals["miou"] == pytest.approx(interval_of_draws(predictions, truths, "per-image"))
    assert result.intervals["miou"][0] < result.intervals["miou"][1]


def test_an_interval_of_one_assignment_keeps_it_and_holds_the_score():
    predictions, truths = made(6, pictures=4)
    result = scores(predictions, truths, classes=CLASSES, assignment="dataset", resamples=40, seed=7)
    columns = scipy_columns([sklearn_table(*pair) for pair in zip(predictions, truths, strict=True)])
    named = np.full(20, CLASSES)  # beyond the classes: no name
    named[columns] = np.arange(CLASSES)
    by_name = [named[prediction] for prediction in predictions]
    assert scores(by_name, truths, classes=CLASSES, assignment="named", resamples=0).miou == result.miou
    assert result.intervals["miou"] == pytest.approx(interval_of_draws(by_name, truths, "named"))
    low, high = result.intervals["miou"]
    assert low < result.miou < high


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    tables = [count_table(*pair, classes=CLASSES) for pair in zip(*made(8), strict=True)]
    one, same, other = (scores_of_tables(tables, [0.5] * 6, seed=seed).intervals for seed in (1, 1, 2))
    assert one == same != other


def test_edges_are_scikit_image_s():
    labels = np.random.default_rng(0).integers(0, 3, (9, 11)).repeat(3, 0).repeat(2, 1)
    expected = find_boundaries(labels, connectivity=1, mode="thick")
    np.testing.assert_array_equal(edges(labels), expected)


def test_lines_a_pixel_off_are_right_and_far_ones_are_not():
    truth = np.zeros((40, 40), int)
    truth[:, 20:] = 1
    for shift, expected in ((0, 1.0), (1, 1.0), (6, 0.0)):
        assert edge_counts(np.roll(truth, shift, 1) * 0 + (np.arange(40) >= 20 + shift), truth).f == expected
    assert edge_counts(np.zeros_like(truth), truth).f == 0.0
    assert edge_counts(truth * 0, truth * 0).f == 1.0


def test_lines_by_a_literal_count_of_distances():
    rng = np.random.default_rng(1)
    prediction, truth = (rng.integers(0, 2, (6, 6)).repeat(5, 0).repeat(5, 1) for _ in range(2))
    counts = edge_counts(prediction, truth, tolerance=0.05)
    found, true = np.argwhere(edges(prediction)), np.argwhere(edges(truth))
    distance = np.linalg.norm(found[:, None] - true[None], axis=-1)
    reach = 0.05 * np.hypot(30, 30)
    assert counts == (
        len(found),
        (distance.min(1) <= reach).sum(),
        len(true),
        (distance.min(0) <= reach).sum(),
    )


def test_no_line_is_judged_beside_ignored_pixels():
    truth = np.zeros((20, 20), int)
    truth[:, 10:] = 255
    assert edge_counts((truth > 0).astype(int), truth) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("prediction", "truth", "said"),
    [
        ([[0, 1]], [[0, 9]], "a truth has the class 9; expected 0 to 4, or 255"),
        ([[0, 1]], [[0, -1]], "a truth has the class -1"),
        ([[0, -2]], [[0, 1]], "a prediction has the segment -2"),
        ([[0, 70_000]], [[0, 1]], "a prediction has the segment 70000"),
        ([[0, 1, 1]], [[0, 1]], "resize the labels to the nearest pixel"),
    ],
)
def test_wrong_numbers_are_named(prediction, truth, said):
    with pytest.raises(ParameterError, match=said):
        scores([np.array(prediction)], [np.array(truth)], classes=CLASSES)


def test_wrong_questions_are_named():
    picture = np.zeros((2, 2), int)
    with pytest.raises(ParameterError, match="there are no pictures"):
        scores([], [], classes=2)
    with pytest.raises(ParameterError, match="not as many predictions as truths"):
        scores([picture, picture], [picture], classes=2)
    with pytest.raises(ParameterError, match="expected one of 'per-image'"):
        scores([picture], [picture], classes=2, assignment="per-picture")
