"""Maps fitted to the edges of a picture: a disc off the grid, laws of the guided filter, and what is refused."""

import numpy as np
import pytest
import torch

from attnscope.errors import ImageError, ParameterError
from attnscope.pictures.maps import resize_maps
from attnscope.segmentation.picture_edges import fit_to_picture


def disc(side=96, noise=0.02):
    """A picture of a noisy disc, and where it is."""
    y, x = np.mgrid[:side, :side]
    inside = (y - 0.53 * side) ** 2 + (x - 0.46 * side) ** 2 < (0.31 * side) ** 2
    picture = np.where(inside[..., None], [0.8, 0.3, 0.2], [0.2, 0.5, 0.7])
    noisy = picture + noise * np.random.default_rng(0).standard_normal(picture.shape)
    return noisy.clip(0, 1).astype(np.float32), inside


def maps_on_grid(inside, grid):
    side = len(inside) // grid
    share = torch.from_numpy(inside.reshape(grid, side, grid, side).mean((1, 3)))
    hot = (share > 0.5).float()
    return torch.stack([1 - hot, hot])


def test_a_disc_off_the_grid_is_found_to_the_pixel():
    picture, inside = disc()
    maps = maps_on_grid(inside, 12)
    before = (resize_maps(maps, (96, 96)).argmax(0).numpy() != inside).mean()
    after = (fit_to_picture(maps, picture).argmax(0).numpy() != inside).mean()
    assert before > 0.02
    assert after < 0.002


def test_sums_over_segments_stay_and_sizes_that_are_not_square_fit():
    picture = np.random.default_rng(1).random((101, 163, 3)).astype(np.float32)
    maps = torch.rand(5, 6, 5, generator=torch.Generator().manual_seed(0)).softmax(0)
    fitted = fit_to_picture(maps, picture)
    assert fitted.shape == (5, 101, 163)
    assert fitted.dtype == torch.float32
    torch.testing.assert_close(fitted.sum(0), torch.ones(101, 163), atol=1e-4, rtol=0)


def test_a_map_that_is_linear_in_the_colours_stays_and_a_flat_picture_changes_nothing_it_can_not_see():
    picture = np.random.default_rng(2).random((20, 20, 3)).astype(np.float32)
    seen = torch.from_numpy((picture * 255).astype(np.uint8)).float() / 255
    linear = (0.5 * seen[..., 0] - 0.2 * seen[..., 2] + 0.3)[None]
    torch.testing.assert_close(fit_to_picture(linear, seen.numpy(), flatness=1e-7), linear, atol=1e-3, rtol=0)
    flat = fit_to_picture(torch.full((1, 4, 4), 0.7), np.full((16, 16, 3), 90, np.uint8))
    torch.testing.assert_close(flat, torch.full((1, 16, 16), 0.7))


def test_maps_in_parts_are_those_of_all_at_once(monkeypatch):
    picture, inside = disc(48)
    maps = maps_on_grid(inside, 12)
    whole = fit_to_picture(maps, picture)
    monkeypatch.setattr("attnscope.segmentation.picture_edges._NUMBERS_AT_ONCE", 1)
    torch.testing.assert_close(fit_to_picture(maps, picture), whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": torch.ones(4, 4)}, r"of shape \(4, 4\); expected finite"),
        ({"maps": torch.full((1, 4, 4), torch.inf)}, "expected finite"),
        ({"cells": 0}, "cells is 0; expected a radius above 0"),
        ({"flatness": -1}, "flatness is -1; expected a variance above 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(ParameterError, match=message):
        fit_to_picture(**{"maps": torch.ones(1, 4, 4), "picture": disc(16)[0], **change})


def test_a_picture_that_can_not_be_read_is_refused(tmp_path):
    with pytest.raises(ImageError):
        fit_to_picture(torch.ones(1, 4, 4), tmp_path / "none.png")
