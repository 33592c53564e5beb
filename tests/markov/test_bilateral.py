import math

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from attnscope.errors import ParameterError
from attnscope.markov import upsampling


def picture(height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 60, (height, width, 3))
    pixels[:, width // 2 :] += 150
    return pixels.astype(np.uint8)


def pixel_by_pixel(maps, pixels, step=1, sigma=1.0, colour=0.1):
    """Weights of all pixels around each pixel, written out."""
    height, width = pixels.shape[:2]
    large = interpolate(maps[None, None], (height, width), mode="bilinear")[0, 0].numpy()
    down, across = (side / cells * sigma for side, cells in zip((height, width), maps.shape, strict=True))
    reach = [int(3 * scale + 1) // step * step for scale in (down, across)]
    result, colours = np.zeros((height, width)), pixels / 255
    for y in range(height):
        for x in range(width):
            total = weights = 0.0
            for dy in range(-reach[0], reach[0] + 1, step):
                for dx in range(-reach[1], reach[1] + 1, step):
                    squares = (dy / down) ** 2 + (dx / across) ** 2
                    if squares > 9 or not (0 <= y + dy < height and 0 <= x + dx < width):
                        continue
                    apart = ((colours[y, x] - colours[y + dy, x + dx]) ** 2).sum() / colour**2
                    weight = math.exp(-(squares + apart) / 2)
                    total, weights = total + weight * large[y + dy, x + dx], weights + weight
            result[y, x] = total / weights
    return result


@pytest.mark.parametrize(
    ("size", "grid", "step"),
    [
        ((12, 17), (4, 5), 1),
        ((9, 9), (3, 3), 2),
        ((5, 4), (5, 4), 1),
        ((3, 2), (4, 4), 1),
        ((1, 6), (1, 2), 1),
    ],
    ids=str,
)
def test_it_is_the_weighted_mean_of_the_pixels_around(size, grid, step):
    maps, pixels = torch.rand(*grid, dtype=torch.float64), picture(*size)
    ours = upsampling(pixels, grid, step_px=step, dtype=torch.float64)(maps)
    np.testing.assert_allclose(ours, pixel_by_pixel(maps, pixels, step), rtol=1e-11)
    in_float32 = upsampling(pixels, grid, step_px=step)(maps.float())
    np.testing.assert_allclose(in_float32, ours, atol=2e-6)


def test_several_maps_are_each_their_own_and_a_flat_one_stays():
    function = upsampling(picture(20, 16), (5, 4))
    maps = torch.rand(3, 5, 4)
    torch.testing.assert_close(function(maps)[1], function(maps[1]))
    torch.testing.assert_close(function(torch.ones(5, 4)), torch.ones(20, 16))


def test_values_stop_at_an_edge_of_colour():
    maps = torch.zeros(4, 8)
    maps[:, 4:] = 1
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, 36:] = 255  # four pixels beside the cells' border
    larger = upsampling(pixels, (4, 8), step_px=1)(maps)
    assert larger[16, 35] < 0.45
    assert larger[16, 36] > 0.9


def test_threads_change_nothing():
    before = torch.get_num_threads()
    maps, pixels = torch.rand(6, 6), picture(40, 30)
    try:
        results = [(torch.set_num_threads(count), upsampling(pixels, (6, 6))(maps))[1] for count in (1, 2)]
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


@pytest.mark.parametrize("change", [{"step_px": 0}, {"space_sigma": 0}, {"colour_sigma": math.nan}])
def test_wrong_numbers_are_refused(change):
    with pytest.raises(ParameterError):
        upsampling(picture(4, 4), (2, 2), **change)


def test_wrong_shapes_are_refused():
    with pytest.raises(ParameterError, match="the picture has shape"):
        upsampling(np.zeros((4, 4), np.uint8), (2, 2))
    with pytest.raises(ParameterError, match="maps have shape"):
        upsampling(picture(4, 4), (2, 2))(torch.rand(3, 3))
