"""DiffSeg's first merging pass by matrix products against the element-wise form, in turns, in one run.

    python benchmarks/diffseg_merge.py [--grid 64] [--anchors 16] [--repeats 3]

The element-wise form is the paper's formula as it stands: for every anchor, log x - log y with all maps, two
products and two sums, in float32 with one array of maps by positions in memory (whole, 256 x 4096 x 4096
would be 17 GB). `merge` is timed as users call it, checks included.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import torch
from harness import Report, in_turns
from torch import Tensor

from attnscope.diffseg import aggregate, anchor_points, merge

LEAST_SPEED_UP = 50


def regions_attention(side: int) -> Tensor:
    """Aggregated attention of a made-up picture with eight regions and noise."""
    generator = torch.Generator().manual_seed(0)
    layers = []
    for size in (side, side // 2, side // 4, side // 8):
        y, x = torch.meshgrid(*[torch.arange(size) / size] * 2, indexing="ij")
        region = ((x * 4).long() + 4 * (y > 0.5)).flatten()
        scores = 3.0 * (region[:, None] == region[None, :])
        noisy = scores + 0.7 * torch.randn(size**2, size**2, generator=generator)
        layers.append((noisy.softmax(-1), (size, size)))
    return aggregate(layers)


def merge_element_wise(aggregated: Tensor, tau: float, anchors: int) -> Tensor:
    height, width = aggregated.shape[:2]
    maps = aggregated.view(height * width, height * width)
    points = anchor_points((height, width), anchors)
    logs = maps.log()
    merged = []
    for at in points[:, 0] * width + points[:, 1]:
        q = logs[at] - logs
        distance = ((maps[at] * q).sum(-1) - (maps * q).sum(-1)) / 2
        merged.append(maps[distance < tau].mean(0))
    return torch.stack(merged).view(-1, height, width)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--grid", type=int, default=64, help="side of the latent grid (default 64)")
    parser.add_argument("--anchors", type=int, default=16, help="anchors a side (default 16, which is 256)")
    parser.add_argument("--repeats", type=int, default=3, help="of each form, in turns (default 3)")
    asked = parser.parse_args()
    tau, maps = 0.5, regions_attention(asked.grid)
    anchors = len(anchor_points((asked.grid, asked.grid), asked.anchors))
    fast = partial(merge, maps, [tau], anchors=asked.anchors)
    slow = partial(merge_element_wise, maps, tau, asked.anchors)
    torch.testing.assert_close(fast(), slow().double(), rtol=1e-4, atol=0)  # the slow one is in float32
    timings = in_turns({"products": fast, "element-wise": slow}, repeats=asked.repeats, warm_up=0)
    positions = asked.grid**2
    report = Report(
        "diffseg_merge", f"{anchors} anchors x {positions} maps x {positions} positions, first pass"
    )
    report.add_timings(timings)
    report.add("matrix products", timings.median("products"), "s")
    report.add("element by element", timings.median("element-wise"), "s")
    speed_up = timings.ratio("element-wise", "products")
    report.add("element by element / matrix products", speed_up, "times", f"at least {LEAST_SPEED_UP}")
    report.finish()
    return 0 if speed_up >= LEAST_SPEED_UP else 1


if __name__ == "__main__":
    sys.exit(main())
