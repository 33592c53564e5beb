"""The stuff of the picture-book world: sky, ground, water, wall and hills, shaded and textured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from PIL import Image

from attnscope.demo.scenes.palette import from_hex

Plane = Float[np.ndarray, "size size"]
Picture = Float[np.ndarray, "size size 3"]
Texture = Callable[[int, np.random.Generator], Picture]
"""Paints a full picture of one stuff, sRGB 0..1, from the picture's side in pixels and a source of chance.

What chance decides must not depend on the side, so that a scene is the same at every size."""


def smooth_noise(size_px: int, rng: np.random.Generator, cells: tuple[int, int]) -> Plane:
    """Noise of mean 0 and deviation 1 on a coarse grid, interpolated smoothly.

    Args:
        size_px: Side of the picture in pixels.
        rng: Source of chance.
        cells: (rows, columns) of the grid.
    """
    coarse = Image.fromarray(rng.standard_normal(cells, dtype=np.float32))
    return np.asarray(coarse.resize((size_px, size_px), Image.Resampling.BICUBIC))


def _mix(top: str, bottom: str, share: Float[np.ndarray, ...]) -> Float[np.ndarray, "... 3"]:
    return from_hex(top) + (from_hex(bottom) - from_hex(top)) * np.clip(share, 0, 1)[..., None].astype(
        np.float32
    )


def _down(size_px: int) -> Float[np.ndarray, "size 1"]:
    """0 at the top edge of the picture, 1 at the bottom."""
    return np.linspace(0, 1, size_px, dtype=np.float32)[:, None]


def day_sky(size_px: int, rng: np.random.Generator) -> Picture:
    """Blue above, pale towards the horizon, with a little haze.

    Args:
        size_px: Side of the picture in pixels.
        rng: Source of chance.
    """
    return _mix("4f9fe6", "d3ecfa", _down(size_px) * 1.5 + 0.06 * smooth_noise(size_px, rng, (4, 3)))


def sunset_sky(size_px: int, rng: np.random.Generator) -> Picture:
    """Violet above, then rose, then amber at the horizon.

    Args:
        size_px: Side of the picture in pixels.
        rng: Source of chance.
    """
    height = _down(size_px) * 1.7 + 0.05 * smooth_noise(size_px, rng, (7, 3))
    upper = _mix("6b4a9a", "ee7b79", height * 1.6)
    return upper + (from_hex("fcc76a") - upper) * np.clip(height * 1.6 - 0.75, 0, 1)[..., None]


def night_sky(size_px: int, rng: np.random.Generator) -> Picture:
    """Deep blue, with about forty points of light.

    Args:
        size_px: Side of the picture in pixels.
        rng: Source of chance.
    """
    sky = _mix("0c1238", "2c3a78", _down(size_px) * 1.5 + 0.05 * smooth_noise(size_px, rng, (4, 4)))
    rows, columns = (rng.random((2, 40)) * size_px).astype(int)
    sky[rows, columns] += rng.uniform(0.35, 0.8, 40)[:, None]
    radius = size_px // 256
    for row, column in zip(rows[:12], columns[:12], strict=True):
        sky[row : row + 1 + radius, column : column + 1 + radius] += 0.5
    return sky


def grass(size_px: int, rng: np.random.Generator) -> Picture:
    """Green, darker in front, in upright blades.

    Args:
        size_px: Side of the picture in pixels.
        rng: Source of chance.
    """
    blades = 0.16 * smooth_noise(size_px, rng, (22, 80)) + 0.1 * smooth_noise(size_px, rng, (5, 5))
    return _mix("8ccb52", "2f7d33", _down(size_px) * 1.1 - 0.25 + blades)


def sand(size_px: int, rng: np.random.Generator) -> Picture:
    """Warm beige in long low ripples, with grain.

    Args:
        size_px: Side of the picture in pixels.
        rng: Source of chance.
    """
    ripples = 0.13 * smooth_noise(size_px, rng, (26, 5)) + 0.07 * smooth_noise(size_px, rng, (64, 64))
    return _mix("f2dfa8", "cfa76a", _down(size_px) - 0.3 + ripples)


def sea(size_px: int, rng: np.random.Generator) -> Picture:
    """Teal to deep blue in level waves with pale crests.

    Args:
        size_px: Side of the picture in pixels.
        rng: Source of chance.
    """
    waves = smooth_noise(size_px, rng, (36, 7))
    water = _mix("3fa7b8", "1b5f8f", _down(size_px) * 1.3 - 0.35 + 0.14 * waves)
    return water + 0.22 * np.clip(waves - 1.2, 0, 1)[..., None]


def snow(size_px: int, rng: np.random.Generator) -> Picture:
    """Near white with soft blue hollows.

    Args:
        size_px: Side of the picture in pixels.
        rng: Source of chance.
    """
    return _mix(
        "fbfdff", "b9cfe6", 0.25 + 0.24 * smooth_noise(size_px, rng, (7, 4)) + 0.2 * (_down(size_px) - 0.5)
    )


def brick_wall(size_px: int, rng: np.random.Generator) -> Picture:
    """Sixteen courses of bricks, each its own shade, in pale mortar.

    Args:
        size_px: Side of the picture in pixels.
        rng: Source of chance.
    """
    courses, columns = 16, 8
    v, u = np.meshgrid(*(np.linspace(0, 1, size_px, endpoint=False, dtype=np.float32),) * 2, indexing="ij")
    row = (v * courses).astype(int)
    along = u * columns + 0.5 * (row % 2)
    shade = rng.uniform(0, 1, (courses, columns + 1))[row, along.astype(int)]
    bricks = _mix("b4583e", "8a3d2c", shade + 0.08 * smooth_noise(size_px, rng, (40, 40)))
    mortar = (np.abs((v * courses) % 1 - 0.5) > 0.41) | (np.abs(along % 1 - 0.5) > 0.455)
    return np.where(mortar[..., None], from_hex("cdb9a6"), bricks)


def green_hills(size_px: int, rng: np.random.Generator) -> Picture:
    """Hazy green with soft folds.

    Args:
        size_px: Side of the picture in pixels.
        rng: Source of chance.
    """
    return _mix("a9c98f", "6c9a6d", _down(size_px) * 1.4 - 0.2 + 0.16 * smooth_noise(size_px, rng, (6, 9)))


def dark_hills(size_px: int, rng: np.random.Generator) -> Picture:
    """Violet-grey, as hills look against a low light.

    Args:
        size_px: Side of the picture in pixels.
        rng: Source of chance.
    """
    return _mix("6f5f86", "40395f", _down(size_px) * 1.4 - 0.2 + 0.16 * smooth_noise(size_px, rng, (6, 9)))


SKIES: dict[str, Texture] = {"day": day_sky, "sunset": sunset_sky, "night": night_sky}
GROUNDS: dict[str, Texture] = {"grass": grass, "sand": sand, "snow": snow, "sea": sea}
