import numpy as np
import pytest

from attnscope.errors import ParameterError
from attnscope.markov import flood_fill

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)


def reconstructed(values, start):
    """The same from scikit-image: reconstruction by erosion from the start alone."""
    from skimage.morphology import reconstruction

    heights = np.abs(values - values[start])
    seed = np.full_like(heights, heights.max())
    seed[start] = 0
    return reconstruction(seed, heights, method="erosion", footprint=CROSS)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("levels", [None, 3, 1], ids=["distinct", "plateaus", "flat"])
def test_it_is_the_reconstruction_by_erosion_to_the_bit(seed, levels):
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 40, 2))
    values = random.random(shape) if levels is None else random.integers(0, levels, shape).astype(float)
    start = tuple(int(random.integers(side)) for side in shape)
    assert np.array_equal(flood_fill(values, start), reconstructed(values, start))


def test_a_spiral_is_followed_to_its_end():
    walls = np.zeros((31, 31))
    for ring in range(1, 15, 2):
        walls[ring, ring:-ring] = walls[-ring - 1, ring:-ring] = 1
        walls[ring:-ring, ring] = walls[ring:-ring, -ring - 1] = 1
        walls[ring + (ring // 2 % 2) * (30 - 2 * ring), 15] = 0.25  # a gate, by turns above and below
    filled = flood_fill(walls, (0, 0))
    assert filled[15, 15] == 0.25
    assert np.array_equal(filled, reconstructed(walls, (0, 0)))


def test_float32_stays_and_the_start_is_zero():
    values = np.random.default_rng(0).random((5, 6)).astype(np.float32)
    filled = flood_fill(values, (2, 3))
    assert filled.dtype == np.float32
    assert filled[2, 3] == 0


@pytest.mark.parametrize(
    ("values", "start"),
    [
        (np.zeros((2, 2)), (2, 0)),
        (np.full((2, 2), np.nan), (0, 0)),
        (np.zeros(3), (0, 0)),
        (np.zeros((0, 3)), (0, 0)),
    ],
)
def test_wrong_input_is_refused(values, start):
    with pytest.raises(ParameterError):
        flood_fill(values, start)
