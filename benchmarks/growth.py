"""How the cost of a layer's head mean grows, with the fused attention and the naive form beside it; draws a plot.

A 512x512 picture has 64x64 places in SD v1's finest layers, a 1024x1024 one 128x128: 16 times as many scores.

    python benchmarks/growth.py [--repeats 5] [--plot docs/images/growth.png]
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from harness import Report, in_turns

from attnscope import probability

DIM = 40
SIDES_PX = (256, 384, 512, 768, 1024)
HEADS = (1, 2, 4, 8, 16)
NAIVE_BYTES = 4e9
"""The naive form is left out where its probabilities would take more."""
STYLES = {
    "fused attention": {"color": "#767676", "marker": "s"},
    "head mean": {"color": "#0b6e8a", "marker": "o"},
    "naive": {"color": "#b5502e", "marker": "^"},
}


def forms(heads: int, places: int) -> dict[str, partial]:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(heads, places, DIM, generator=generator) for _ in range(3))
    found = {
        "fused attention": partial(F.scaled_dot_product_attention, query[None], key[None], value[None]),
        "head mean": partial(probability.reduce, query, key, scale=DIM**-0.5, over=("head",)),
    }
    if 4 * heads * places**2 < NAIVE_BYTES:
        found["naive"] = partial(naive, query, key)
    return found


def naive(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    return (query @ key.transpose(1, 2) * DIM**-0.5).softmax(-1).mean(0)


def measure(report: Report, points: dict[int, tuple[int, int]], unit: str, repeats: int) -> dict:
    """Medians: form -> {x: seconds}. points: x -> (heads, places)."""
    medians: dict[str, dict[int, float]] = {}
    for x, (heads, places) in points.items():
        timings = in_turns(forms(heads, places), repeats=repeats)
        for name, values in timings.seconds.items():
            medians.setdefault(name, {})[x] = timings.median(name)
            report.seconds[f"{name} at {x} {unit}"] = values
        report.add(
            f"head mean / fused attention at {x} {unit}", timings.ratio("head mean", "fused attention"), ""
        )
    return medians


def plot(by_size: dict, by_heads: dict, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharey=True)
    labels = ("side of a square picture, px (8 heads)", "heads (512x512)")
    for ax, medians, label in zip(axes, (by_size, by_heads), labels, strict=True):
        for name, points in medians.items():
            ax.plot(list(points), list(points.values()), label=name, **STYLES[name])
        ticks = sorted({x for points in medians.values() for x in points})
        ax.set(xscale="log", yscale="log", xlabel=label)
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("seconds")
    axes[0].legend(frameon=False)
    figure.suptitle("One self-attention layer of SD v1's finest scale, two CPU cores")
    figure.savefig(path, dpi=140)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="draw the figure here")
    given = parser.parse_args()
    report = Report("growth", f"one self-attention layer, head_dim {DIM}, float32")
    by_size = measure(report, {side: (8, (side // 8) ** 2) for side in SIDES_PX}, "px", given.repeats)
    by_heads = measure(report, {heads: (heads, 64 * 64) for heads in HEADS}, "heads", given.repeats)
    if given.plot:
        plot(by_size, by_heads, given.plot)
    report.finish()


if __name__ == "__main__":
    main()
