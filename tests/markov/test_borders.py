import numpy as np
import pytest
from scipy import ndimage

from attnscope.errors import ParameterError
from attnscope.markov import border_scores, nearest_click, sobel_steps


def in_loops(distances, inside, outside, most):
    """Every threshold's score from its own mask, one after the other."""
    gradient = sobel_steps(distances)
    order = np.argsort(distances.ravel(), kind="stable")
    mask, scores = np.zeros(distances.size, bool), []
    for rank, at in enumerate(order[:-1]):
        mask[at] = True
        grown = ndimage.binary_dilation(mask.reshape(distances.shape))
        border = grown & ~mask.reshape(distances.shape)
        threshold = distances.ravel()[at]
        score = gradient[border].mean()
        score *= np.mean([distances[point] <= threshold for point in inside])
        score *= threshold < min([distances.max(), *(distances[point] for point in outside)])
        scores.append(score * (rank / max(distances.size - 2, 1) < most))
    return distances.ravel()[order[:-1]], np.array(scores)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("most", [0.4, 1.0])
def test_scores_are_those_of_each_thresholds_own_mask(seed, most):
    random = np.random.default_rng(seed)
    distances = ndimage.gaussian_filter(random.random((11, 9)), 1)
    distances = np.round(distances, 2) if seed % 2 else distances  # with ties
    inside, outside = [(5, 4), (2, 2)], [(9, 8)] if seed % 3 else []
    thresholds, scores = in_loops(distances, inside, outside, most)
    ours = border_scores(distances, inside, outside, most=most)
    count = len(ours.scores)
    assert np.array_equal(ours.thresholds, thresholds[:count])
    np.testing.assert_allclose(ours.scores, scores[:count], rtol=1e-12)
    assert not scores[count:].any()
    assert ours.best == (thresholds[scores.argmax()], pytest.approx(scores.max()))


def test_sobel_is_scipys():
    values = np.random.default_rng(0).random((7, 8))
    lengths = np.hypot(ndimage.sobel(values, 0, mode="mirror"), ndimage.sobel(values, 1, mode="mirror"))
    steps = sobel_steps(values)
    assert np.abs(steps - np.floor(lengths / lengths.max() * 1024)).max() <= 1
    assert steps.max() == 1024


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1), (2, 1), (2, 2)])
def test_thin_and_flat_pictures_have_scores(shape):
    assert not sobel_steps(np.zeros(shape)).any()
    assert border_scores(np.zeros(shape), [(0, 0)]).best == (0, 0)
    assert border_scores(np.arange(np.prod(shape), dtype=float).reshape(shape), [(0, 0)]).best[0] >= 0


def test_bad_numbers_are_refused():
    with pytest.raises(ParameterError, match="NaN"):
        border_scores(np.full((2, 2), np.nan))
    with pytest.raises(ParameterError, match="most is 0"):
        border_scores(np.zeros((2, 2)), most=0)


def test_each_pixel_belongs_to_its_nearest_click():
    maps = np.array([[[0.0, 0.5, 0.9, 1.5]], [[3.0, 0.7, 0.8, 0.0]]])
    assert nearest_click(maps, [True, False]).tolist() == [[True, True, False, False]]
    assert nearest_click(maps, [True, True]).tolist() == [[True, True, True, True]]
    assert nearest_click(maps[:1], [True]).tolist() == [[True, True, True, False]]
    assert nearest_click(maps[:1] + 5, [True], [(0, 2)]).tolist() == [[False, False, True, False]]
    with pytest.raises(ParameterError, match="one of each"):
        nearest_click(maps, [True])
