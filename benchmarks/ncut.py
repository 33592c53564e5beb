"""Normalised cuts of 4,096 places against dense eigenvectors, in turns, in one run.

    python benchmarks/ncut.py [--grid 64] [--repeats 3]

The opponent does the same with `torch.linalg.eigh` of each part's whole Laplacian and 100 thresholds, each
counted by itself: the form of published programs, with the same affinity and limit. The floor is the product of
the attention with itself, without which there is no affinity of rows.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import torch
from diffseg_merge import regions_attention
from harness import Report, in_turns
from torch import Tensor

from attnscope.ncut import cut_recursively, normalized_cut, row_affinity

LIMIT, THRESHOLDS = 0.5, 100
MOST_SECONDS = 2.0


def dense_cuts(affinity: Tensor, places: Tensor) -> list[Tensor]:
    """Segments by dense eigenvectors; the affinity of the part is taken out of the whole."""
    part = affinity[places[:, None], places]
    degrees = part.sum(1)
    root = degrees.rsqrt()
    laplacian = torch.eye(len(part)) - part * root[:, None] * root
    values = root * torch.linalg.eigh(laplacian)[1][:, 1]
    sides = [values > threshold for threshold in torch.linspace(values.min(), values.max(), THRESHOLDS)[:-1]]
    ncuts = [ncut(part, degrees, side.float()) for side in sides]
    best = min(range(len(ncuts)), key=ncuts.__getitem__)
    if ncuts[best] >= LIMIT:
        return [places]
    return [segment for side in (sides[best], ~sides[best]) for segment in dense_cuts(affinity, places[side])]


def ncut(part: Tensor, degrees: Tensor, side: Tensor) -> float:
    between = side @ part @ (1 - side)
    return float(between / (degrees @ side) + between / (degrees @ (1 - side)))


def naive(attention: Tensor) -> Tensor:
    rows = torch.nn.functional.normalize(attention, dim=1)
    affinity = (rows @ rows.T) ** 10
    labels = torch.empty(len(attention), dtype=torch.long)
    for number, places in enumerate(sorted(dense_cuts(affinity, torch.arange(len(attention))), key=min)):
        labels[places] = number
    return labels


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--grid", type=int, default=64, help="side of the latent grid (default 64)")
    parser.add_argument("--repeats", type=int, default=3, help="of each form, in turns (default 3)")
    asked = parser.parse_args()
    places = asked.grid**2
    attention = regions_attention(asked.grid).view(places, places)
    affinity = row_affinity(attention)
    ours = partial(normalized_cut, attention)
    assert torch.equal(ours().argmax(0), naive(attention))
    runs = {
        "all": ours,
        "affinity": partial(row_affinity, attention),
        "cuts": partial(cut_recursively, affinity),
        "product": lambda: attention @ attention.T,
    }
    timings = in_turns(runs, repeats=asked.repeats)
    dense = in_turns({"dense": partial(naive, attention)}, repeats=1, warm_up=0)
    report = Report("ncut", f"{places} places, eight regions")
    report.add_timings(timings)
    report.add("normalized_cut", timings.median("all"), "s", f"at most {MOST_SECONDS:g}")
    report.add("of it the affinity", timings.median("affinity"), "s")
    report.add("of it the cuts", timings.median("cuts"), "s")
    report.add("floor: the product of attention with itself", timings.median("product"), "s")
    report.add("dense eigenvectors, 100 thresholds", dense.median("dense"), "s")
    report.add("dense / ours", dense.median("dense") / timings.median("all"), "times")
    report.finish()
    return 0 if asked.grid > 64 or timings.median("all") <= MOST_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
