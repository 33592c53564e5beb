"""What a further click costs: by powers of the chain, and walked step by step, in turns, in one run.

    python benchmarks/click_cost.py [--grid 64] [--side 512] [--repeats 5]

Attention and picture are made up: a few smooth regions with noise. The opponent reads the chain once a step, as the
authors' program does. The floor is reading the chain once for every 16 steps.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

import numpy as np
import torch
from harness import Report, in_turns, seconds_of
from PIL import Image
from torch import Tensor

from attnscope.markov import iterations, start_of_place
from attnscope.segmentation.click_evidence import prepared

MOST_SECONDS = 0.2


def smooth(channels: int, regions: int, side: int) -> Tensor:
    rough = torch.randn(1, channels, regions, regions)
    return torch.nn.functional.interpolate(rough, size=(side, side), mode="bicubic")[0]


def made_up(grid: int, side: int) -> tuple[Tensor, Image.Image]:
    """Attention of near places of like features, and a picture of the same regions."""
    features = smooth(8, 9, grid)
    y, x = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    places = torch.stack([y, x], -1).view(-1, 2) * (8 / grid)
    of_place = features.view(8, -1).T
    scores = -0.3 * torch.cdist(places, places) ** 2 - 1.5 * torch.cdist(of_place, of_place)
    scores += 0.3 * torch.randn_like(scores)
    large = torch.nn.functional.interpolate(features[None, :3], size=(side, side), mode="bicubic")[0]
    large = (large - large.min()) / (large.max() - large.min()) * 255 + 6 * torch.randn_like(large)
    pixels = large.clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return scores.softmax(1), Image.fromarray(pixels)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--grid", type=int, default=64, help="side of the latent grid (default 64)")
    parser.add_argument("--side", type=int, default=512, help="of the picture in pixels (default 512)")
    parser.add_argument("--repeats", type=int, default=5, help="clicks of each form, in turns (default 5)")
    asked = parser.parse_args()
    torch.manual_seed(0)
    attention, picture = made_up(asked.grid, asked.side)
    made: dict[str, object] = {}
    first = seconds_of(
        lambda: made.update(clicks=prepared(attention, (asked.grid,) * 2, picture, {}, temperature=0.65))
    )
    by_powers = made["clicks"]
    one_by_one = replace(by_powers, powers=None)
    points = np.random.default_rng(0).integers(0, asked.side, (asked.repeats + 1, 2)).tolist()
    turns = {name: iter(points) for name in ("powers", "steps")}
    forms = {
        "powers": lambda: by_powers.mask([next(turns["powers"])]),
        "steps": lambda: one_by_one.mask([next(turns["steps"])]),
    }
    timings = in_turns(forms, repeats=asked.repeats)
    starts = torch.stack(
        [start_of_place((at % asked.grid, at % 7), (asked.grid,) * 2).view(-1) for at in (3, 40)]
    )
    walked = [iterations(chain, starts.float()) for chain in (by_powers.powers, by_powers.chain)]
    report = Report("click_cost", f"grid {asked.grid}x{asked.grid}, {asked.side}x{asked.side} px")
    report.add("before the first click", first, "s")
    report.add("a further click", timings.median("powers"), "s", f"{MOST_SECONDS} at most at 64x64, 512 px")
    report.add("a click, step by step", timings.median("steps"), "s")
    report.add("step by step over powers", timings.ratio("steps", "powers"), "times")
    report.add("largest number of steps", float(walked[1].max()), "steps")
    report.add("largest difference of steps", float((walked[0] - walked[1]).abs().max()), "steps")
    report.add_timings(timings)
    report.finish()
    return int(timings.median("powers") > MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
