"""Masks of clicks on drawn scenes against their true masks, beside the DiffSeg segment under the same clicks.

    python benchmarks/clicks_on_scenes.py [--first 40000] [--scenes 100] [--clicks 3] [--pictures FOLDER]

The first click is the point of a thing's true mask that lies furthest from its edge; each further one the same point of
the largest wrong region, plus where the thing was missed and minus beside it. The naive opponent is the
DiffSeg segment under the first click; it has no use for further ones.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

import attnscope
from attnscope.demo.scenes import scene

LEAST_PIXELS = 64


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def inner_point(region: np.ndarray) -> tuple[int, int]:
    """(x, y) of the pixel furthest from the region's edge."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), region.shape)
    return int(x), int(y)


def next_click(mask: np.ndarray, truth: np.ndarray) -> tuple[tuple[int, int], bool] | None:
    """The inner point of the largest wrong region, and whether it is on the thing."""
    wrong = []
    for sign, part in ((True, truth & ~mask), (False, mask & ~truth)):
        labels, count = ndimage.label(part)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        if count:
            wrong.append((int(sizes.max()), labels == sizes.argmax() + 1, sign))
    if not wrong:
        return None
    _, region, sign = max(wrong, key=lambda each: each[0])
    return inner_point(region), sign


def under_click(labels: np.ndarray, plus: list[Any], minus: list[Any]) -> np.ndarray:
    (x, y), *_ = plus
    return labels == labels[y, x]


def by_maps(clicks: Any, plus: list[Any], minus: list[Any]) -> np.ndarray:
    return clicks.mask(plus, minus).mask


def clicked(first: Any, truth: np.ndarray, count: int) -> list[float]:
    """IoU after each of some clicks. `first` makes a mask of plus and minus clicks."""
    plus, minus, scores = [inner_point(truth)], [], []
    while True:
        mask = first(plus, minus)
        scores.append(iou(mask, truth))
        following = next_click(mask, truth) if len(scores) < count else None
        if following is None:
            return scores + scores[-1:] * (count - len(scores))
        (plus if following[1] else minus).append(following[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--first", type=int, default=40_000, help="seed of the first scene")
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--clicks", type=int, default=3)
    parser.add_argument("--pictures", type=Path, help="folder for overlays of each thing's first click")
    asked = parser.parse_args()
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    by_markov, by_diffseg, kinds, seconds = [], [], [], []
    for seed in range(asked.first, asked.first + asked.scenes):
        drawn = scene(seed)
        things = {word.text for word in drawn.words if word.kind == "thing"}
        labels = attnscope.segment(drawn.pil_image, pipe).labels
        clicks = attnscope.click(drawn.pil_image, [(0, 0)], pipe=pipe).clicks
        for number, part in enumerate(drawn.parts):
            truth = drawn.segments == number
            if truth.sum() < LEAST_PIXELS:
                continue
            start = time.perf_counter()
            one = clicks.mask([inner_point(truth)])
            seconds.append(time.perf_counter() - start)
            if asked.pictures:
                one.save(asked.pictures / f"{seed}-{part}", overwrite=True)
            by_markov.append(clicked(partial(by_maps, clicks), truth, asked.clicks))
            by_diffseg.append(clicked(partial(under_click, labels), truth, 1))
            kinds.append("thing" if part in things else "rest")
    for kind in ("thing", "rest", None):
        chosen = [kind in (None, each) for each in kinds]
        for name, scores in (("Markov maps", by_markov), ("DiffSeg segment", by_diffseg)):
            means = np.array(scores)[chosen].mean(0)
            over = (np.array(scores)[chosen] >= 0.8).mean(0)
            row = " | ".join(
                f"{mean:.3f} ({100 * share:.0f} %)" for mean, share in zip(means, over, strict=True)
            )
            print(f"| {kind or 'all'} ({sum(chosen)}) | {name} | {row} |")
    print(f"a click: median {np.median(seconds):.3f} s")


if __name__ == "__main__":
    main()
