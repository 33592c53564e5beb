"""DiffSeg's first merging pass by matrix products against the element-wise form, in turns, in one run.

    python benchmarks/diffseg_merge.py [--grid 64] [--anchors 16] [--repeats 3]

The element-wise form is the paper's formula as it stands: for every anchor, log x - log y with all maps, two
products and two sums, in float32 with one array of maps by positions in memory (whole, 256 x 4096 x 4096
would be 17 GB). `merge` is timed as users call it, checks included.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable

import torch
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


def seconds(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grid", type=int, default=64, help="side of the latent grid (default 64)")
    parser.add_argument("--anchors", type=int, default=16, help="anchors a side (default 16, which is 256)")
    parser.add_argument("--repeats", type=int, default=3, help="of each form, in turns (default 3)")
    asked = parser.parse_args()
    tau, maps, positions = 0.5, regions_attention(asked.grid), asked.grid**2
    anchors = len(anchor_points((asked.grid, asked.grid), asked.anchors))
    say = sys.stdout.write
    say(f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; ")
    say(f"Python {platform.python_version()}, torch {torch.__version__}\n")
    say(f"{anchors} anchors x {positions} maps x {positions} positions\n")
    merge(maps, [tau], anchors=asked.anchors)  # warm
    fast, slow = [], []
    for turn in range(asked.repeats):
        quick, merged = seconds(lambda: merge(maps, [tau], anchors=asked.anchors))
        long, expected = seconds(lambda: merge_element_wise(maps, tau, asked.anchors))
        torch.testing.assert_close(merged, expected.double(), rtol=1e-4, atol=0)  # slow one: float32
        fast.append(quick)
        slow.append(long)
        say(f"turn {turn + 1}: products {quick:.2f} s, element-wise {long:.1f} s, {long / quick:.0f}x\n")
    speed_up = statistics.median(slow) / statistics.median(fast)
    say(f"median: {statistics.median(fast):.2f} s, {statistics.median(slow):.1f} s, {speed_up:.0f}x ")
    say(f"(asked: at least {LEAST_SPEED_UP}x)\n")
    return 0 if speed_up >= LEAST_SPEED_UP else 1


if __name__ == "__main__":
    sys.exit(main())
