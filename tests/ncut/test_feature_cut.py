"""DiffCut's cuts of features against a literal restatement of its equations in numpy and scipy."""

import numpy as np
import pytest
import torch
from scipy.linalg import eigh
from sklearn.metrics import adjusted_rand_score

from attnscope.diffseg import segment_map
from attnscope.errors import NumbersError, ParameterError
from attnscope.ncut import cut_recursively, feature_affinity, feature_cut


def literal_affinity(features, alpha=10):
    """Cosines, stretched to 0..1 over the picture, to the power alpha."""
    places = [row / np.sqrt((row**2).sum()) for row in features]
    cosines = np.array([[(one * other).sum() for other in places] for one in places])
    return ((cosines - cosines.min()) / (cosines.max() - cosines.min())) ** alpha


def literal_segments(affinity, tau=0.5):
    """(D - W) y = m D y, 100 thresholds between 0.99 of the least and of the largest value, cuts below tau."""
    labels = np.zeros(len(affinity), int)

    def cut(places):
        if len(places) < 2:
            return
        inner = affinity[np.ix_(places, places)]
        degrees = inner.sum(1)
        vector = eigh(np.diag(degrees) - inner, np.diag(degrees))[1][:, 1]
        best, least = None, np.inf
        for threshold in np.linspace(0.99 * vector.min(), 0.99 * vector.max(), 100):
            above = vector > threshold
            if above.any() and not above.all():
                between = inner[np.ix_(above, ~above)].sum()
                ncut = between / degrees[above].sum() + between / degrees[~above].sum()
                if ncut < least:
                    best, least = above, ncut
        if least < tau:
            labels[places[best]] = labels.max() + 1
            cut(places[best])
            cut(places[~best])

    cut(np.arange(len(affinity)))
    return labels


def literal_labels(features, segments, side):
    """Unit features resized bilinearly, half-pixel centres; a pixel goes to the segment whose mean is most like it."""
    height, width, _ = features.shape
    unit = features / np.linalg.norm(features, axis=-1, keepdims=True)
    means = [unit[segments == number].mean(0) for number in np.unique(segments)]

    def resized(axis, count):
        middle = np.clip((np.arange(side) + 0.5) * count / side - 0.5, 0, count - 1)
        before = np.floor(middle).astype(int)
        return before, np.minimum(before + 1, count - 1), (middle - before), axis

    large = unit
    for before, after, way, axis in (resized(0, height), resized(1, width)):
        shape = [1, 1, 1]
        shape[axis] = side
        way = way.reshape(shape)
        large = large.take(before, axis) * (1 - way) + large.take(after, axis) * way
    return np.argmax(np.stack([large @ mean for mean in means]), 0)


def drawn(seed, height=9, width=7, noise=0.25):
    """Features of three things on a ground, and which thing each place is of."""
    rng = np.random.default_rng(seed)
    things = np.zeros((height, width), int)
    things[1:5, 1:4], things[6:9, :3], things[2:8, 4:] = 1, 2, 3
    features = rng.standard_normal((4, 16))[things] + noise * rng.standard_normal((height, width, 16))
    return features, things


@pytest.mark.parametrize("seed", range(4))
def test_affinity_segments_and_labels_are_those_of_the_equations(seed):
    features, things = drawn(seed)
    ours = torch.from_numpy(features)
    affinity = literal_affinity(features.reshape(-1, 16))
    np.testing.assert_allclose(feature_affinity(ours.flatten(0, 1)).numpy(), affinity, atol=1e-12)
    expected = literal_segments(affinity).reshape(things.shape)
    cells = cut_recursively(feature_affinity(ours.flatten(0, 1)), limit=0.5).reshape(things.shape)
    assert adjusted_rand_score(cells.ravel(), expected.ravel()) == 1
    assert len(np.unique(expected)) > 1
    maps = feature_cut(ours)
    assert adjusted_rand_score(maps.argmax(0).ravel(), things.ravel()) == 1
    labels, wanted = segment_map(maps, (64, 64)).numpy(), literal_labels(features, expected, 64)
    assert adjusted_rand_score(labels.ravel(), wanted.ravel()) == 1


def test_noisy_features_are_cut_nearly_as_by_a_hundred_thresholds():
    found = []
    for seed in range(6):
        features, _ = drawn(seed, 12, 10, noise=0.8)
        expected = literal_segments(literal_affinity(features.reshape(-1, 16)))
        affinity = feature_affinity(torch.from_numpy(features).flatten(0, 1))
        found.append(adjusted_rand_score(cut_recursively(affinity, limit=0.5), expected))
    assert np.mean(found) > 0.9


def test_maps_are_scalar_products_with_the_means():
    features = torch.tensor([[[3.0, 0.0], [0.0, 2.0], [0.0, 1.0]]])
    assert feature_cut(features).tolist() == [[[1.0, 0.0, 0.0]], [[0.0, 1.0, 1.0]]]


def test_features_that_are_alike_everywhere_are_one_segment():
    noise = 1e-7 * torch.randn(6, 6, 8, generator=torch.Generator().manual_seed(0))
    assert len(feature_cut(torch.ones(6, 6, 8) + noise)) == 1
    assert feature_affinity(torch.ones(5, 3)).tolist() == torch.ones(5, 5).tolist()
    assert len(feature_cut(torch.ones(1, 1, 4))) == 1
    assert len(feature_cut(torch.zeros(2, 2, 4))) == 1


def test_a_place_without_features_is_like_itself():
    features = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.1]])
    affinity = feature_affinity(features)
    assert affinity.diagonal().tolist() == [1, 1, 1]
    assert feature_cut(features[None]).isfinite().all()


def test_half_precision_is_computed_in_float32():
    features = torch.from_numpy(drawn(0)[0])
    half = feature_cut(features.half())
    assert half.dtype == torch.float32
    assert (half.argmax(0) == feature_cut(features).argmax(0)).all()
    assert feature_cut(features).dtype == torch.float64


@pytest.mark.parametrize(
    ("features", "choices", "error", "match"),
    [
        (
            torch.zeros(3, 4),
            {},
            ParameterError,
            r"shape \(3, 4\); expected floating-point \(height, width, cha",
        ),
        (torch.zeros(3, 4, 2).int(), {}, ParameterError, "torch.int32"),
        (torch.zeros(3, 0, 2), {}, ParameterError, "shape"),
        (torch.full((2, 2, 2), float("nan")), {}, NumbersError, "NaN or infinite"),
        (torch.rand(2, 2, 2), {"sharpness": 0}, ParameterError, "sharpness is 0"),
        (torch.rand(2, 2, 2), {"limit": 2}, ParameterError, "limit is 2"),
        (torch.rand(2, 2, 2), {"most": 0}, ParameterError, "most is 0"),
    ],
    ids=["axes", "whole numbers", "empty", "nan", "sharpness", "limit", "most"],
)
def test_what_can_not_be_cut_is_refused(features, choices, error, match):
    with pytest.raises(error, match=match):
        feature_cut(features, **choices)
