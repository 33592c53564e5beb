"""A threshold found from the picture's own attention."""

from itertools import product

import pytest
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from attnscope.diffseg.automatic import agreements, automatic_threshold
from attnscope.diffseg.merging import Merger
from attnscope.errors import ParameterError


def attention_of(labels, *, sharpness=4.0, noise=0.3, seed=0):
    """Places look at those of their own segment, with noise."""
    height, width = labels.shape
    same = (labels.flatten()[:, None] == labels.flatten()).double()
    random = torch.Generator().manual_seed(seed)
    logits = sharpness * same + noise * torch.randn(same.shape, generator=random, dtype=torch.float64)
    return logits.softmax(1).view(height, width, height, width)


def three_parts(side=24):
    labels = torch.zeros(side, side, dtype=torch.long)
    labels[: side // 3] = 1
    labels[side // 2 :, side // 2 :] = 2
    return labels


@pytest.mark.parametrize("sharpness", [2.0, 4.0, 8.0])
@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_segments_are_found_whatever_the_scale_of_distances(sharpness, noise):
    labels = three_parts()
    merger = Merger(attention_of(labels, sharpness=sharpness, noise=noise))
    found = merger.merge(automatic_threshold(merger)).argmax(0)
    assert adjusted_rand_score(labels.flatten(), found.flatten()) == 1


def test_agreements_are_those_of_scikit_learn():
    random = torch.Generator().manual_seed(1)
    labelings = [torch.randint(0, parts, (500,), generator=random) for parts in (1, 2, 3, 7, 40)]
    labelings.append(labelings[3].roll(5))
    expected = torch.eye(len(labelings), dtype=torch.float64)
    for row, column in product(range(len(labelings)), repeat=2):
        if row != column:
            pair = labelings[row], labelings[column]
            expected[row, column] = normalized_mutual_info_score(*pair, average_method="geometric")
    torch.testing.assert_close(agreements(labelings), expected)


def test_the_threshold_has_the_most_agreement():
    merger = Merger(attention_of(three_parts(), noise=1.5))
    chosen = automatic_threshold(merger)
    again = automatic_threshold(merger)
    assert chosen == again
    assert 1 < len(merger.merge(chosen).argmax(0).unique()) <= 16


def test_a_mirrored_picture_has_the_same_threshold():
    labels = three_parts(16)  # as many places as anchors: mirroring moves no anchor
    attention = attention_of(labels)
    mirrored = attention.flip(1, 3)
    assert automatic_threshold(Merger(attention)) == pytest.approx(automatic_threshold(Merger(mirrored)))


def test_a_picture_without_parts_is_one_segment():
    even = torch.full((8, 8, 8, 8), 1 / 64)
    merger = Merger(even)
    assert len(merger.merge(automatic_threshold(merger)).argmax(0).unique()) == 1


def test_one_place_is_one_segment():
    merger = Merger(torch.ones(1, 1, 1, 1))
    assert len(merger.merge(automatic_threshold(merger))) == 1


def test_more_segments_than_the_limit_at_once_are_taken_as_they_are():
    labels = torch.arange(64).view(8, 8) // 2  # pairs of places: 32 segments, and then one
    merger = Merger(attention_of(labels, noise=0.0), anchors=8)
    assert len(merger.merge(automatic_threshold(merger)).argmax(0).unique()) == 32


def test_distances_that_are_no_numbers_are_refused():
    nothing = torch.eye(16).view(
        4, 4, 4, 4
    )  # each place looks at itself: all distances are infinite but its own
    merger = Merger(nothing)
    assert automatic_threshold(merger) > 0
    merger._distances = [(torch.full((16, 16), torch.nan), torch.zeros(()))]
    with pytest.raises(ParameterError, match="give thresholds, such as 1.1"):
        automatic_threshold(merger)
