"""DiffSeg in float64, element by element, loop by loop: slow, literal, and independent of attnscope.

It shares no code with the package, works on NumPy arrays, and is meant for grids of a few positions a side.
"""

from __future__ import annotations

import math

import numpy as np


def resize_bilinear(image: np.ndarray, out_hw: tuple[int, int]) -> np.ndarray:
    """(h, w) -> out_hw with half-pixel centres and no anti-aliasing, one output value at a time."""
    h, w = image.shape
    out = np.zeros(out_hw)
    for y in range(out_hw[0]):
        for x in range(out_hw[1]):
            sy = min(max((y + 0.5) * h / out_hw[0] - 0.5, 0), h - 1)
            sx = min(max((x + 0.5) * w / out_hw[1] - 0.5, 0), w - 1)
            y0, x0 = math.floor(sy), math.floor(sx)
            y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
            fy, fx = sy - y0, sx - x0
            upper = (1 - fx) * image[y0, x0] + fx * image[y0, x1]
            lower = (1 - fx) * image[y1, x0] + fx * image[y1, x1]
            out[y, x] = (1 - fy) * upper + fy * lower
    return out


def aggregate(layers: list[tuple[np.ndarray, tuple[int, int]]]) -> np.ndarray:
    grids = list(dict.fromkeys(size for _, size in layers))
    big_h, big_w = max(grids, key=lambda size: size[0] * size[1])
    denominator = sum(math.sqrt(h * w) for h, w in grids)
    result = np.zeros((big_h, big_w, big_h, big_w))
    for h, w in grids:
        of_this_grid = [np.asarray(m, np.float64) for m, size in layers if size == (h, w)]
        mean = sum(of_this_grid) / len(of_this_grid)
        resized = []
        for query in range(h * w):
            key_map = resize_bilinear(mean[query].reshape(h, w), (big_h, big_w))
            resized.append(key_map / key_map.sum())
        for y in range(big_h):
            for x in range(big_w):
                query = int((y + 0.5) * h / big_h) * w + int((x + 0.5) * w / big_w)
                result[y, x] += math.sqrt(h * w) / denominator * resized[query]
    return result


def distance(x: np.ndarray, y: np.ndarray) -> float:
    kl_xy = float(np.sum(x * (np.log(x) - np.log(y))))
    kl_yx = float(np.sum(y * (np.log(y) - np.log(x))))
    return (kl_xy + kl_yx) / 2


def distance_float16(x: np.ndarray, y: np.ndarray) -> np.float16:
    """The arithmetic of the authors' program: float16 elements, float32 sums."""
    with np.errstate(all="ignore"):
        x, y = x.astype(np.float16), y.astype(np.float16)
        q = np.log(x.astype(np.float32)).astype(np.float16) - np.log(y.astype(np.float32)).astype(np.float16)
        kl_xy = np.float16(np.sum((x * q).astype(np.float32))) / np.float16(2)
        kl_yx = -np.float16(np.sum((y * q).astype(np.float32))) / np.float16(2)
        return np.float16(kl_xy + kl_yx)


def anchors(side: int, count: int) -> list[int]:
    count = min(count, side)
    if count == 1:
        return [(side - 1) // 2]
    spacing = (side - 1) // (count - 1)
    start = (side - 1 - spacing * (count - 1)) // 2
    return [start + spacing * number for number in range(count)]


def merge(
    aggregated: np.ndarray, thresholds: list[float], *, count: int = 16, float16: bool = False
) -> np.ndarray:
    h, w = aggregated.shape[:2]
    every = [aggregated[y, x].astype(np.float64) for y in range(h) for x in range(w)]
    maps = []
    for y in anchors(h, count):
        for x in anchors(w, count):
            anchor = aggregated[y, x].astype(np.float64)
            if float16:
                near = [m for m in every if distance_float16(anchor, m) < np.float16(thresholds[0])]
            else:
                near = [m for m in every if distance(anchor, m) < thresholds[0]]
            if near:
                maps.append(sum(near) / len(near))
    for tau in thresholds[1:]:
        matched: set[int] = set()
        merged = []
        for number, anchor in enumerate(maps):
            if number in matched:
                continue
            near_numbers = [n for n, other in enumerate(maps) if n == number or distance(anchor, other) < tau]
            matched.update(near_numbers)
            merged.append(sum(maps[n] for n in near_numbers) / len(near_numbers))
        maps = merged
    return np.stack(maps)


def segment_map(merged: np.ndarray, out_hw: tuple[int, int]) -> np.ndarray:
    return np.argmax(np.stack([resize_bilinear(m, out_hw) for m in merged]), axis=0)
