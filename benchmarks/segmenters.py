"""Ways to segment on scenes of the demo world that training has never seen, against their true masks.

    python benchmarks/segmenters.py [--scenes 200] [--first 40000]

Segments: mean IoU over the true parts of a scene, each matched with at most one segment, the F of lines as
`attnscope evaluate` counts it, how many segments there are, and the seconds that the method takes without the pass of
the model. Words: the things of a scene are the words, the rest is background; IoU of each word's mask, and of the
background. The opponents: DiffSeg with the demo's own threshold, and cross-attention as it is. Takes 3 s a scene.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from harness import Report

import attnscope
from attnscope.demo.scenes import scenes
from attnscope.demo.scoring import matched_iou
from attnscope.diffseg import segment_map
from attnscope.evaluation.edges import edge_counts
from attnscope.segmentation.features import usual_module
from attnscope.segmentation.result import Segmentation
from attnscope.segmentation.spreading import spread, with_background

METHODS = {
    "DiffSeg": {},
    "DiffSeg, auto": {"thresholds": "auto"},
    "cuts": {"method": "ncut"},
    "cuts, limit 0.5": {"method": "ncut", "limit": 0.5},
    "cuts, power 2": {"method": "ncut", "power": 2},
    "cuts, power 3": {"method": "ncut", "power": 3},
    "cuts, sharpness 5": {"method": "ncut", "sharpness": 5},
    "cuts, sharpness 20": {"method": "ncut", "sharpness": 20},
    "DiffSeg, fitted": {"fit": True},
    "DiffSeg, auto, fitted": {"thresholds": "auto", "fit": True},
    "cuts, fitted": {"method": "ncut", "fit": True},
    "DiffCut": {"method": "diffcut"},
    "DiffCut, fitted": {"method": "diffcut", "fit": True},
}
SPREADS = {
    "power 1": {},
    "power 2": {"steps": 2},
    "entropy 1": {"form": "entropy", "steps": 1},
    "entropy 2": {"form": "entropy", "steps": 2},
    "entropy 10": {"form": "entropy"},
    "affinity 10": {"form": "affinity"},
}


def of_words(found: Segmentation) -> Iterator[tuple[str, np.ndarray]]:
    """Labels by each way to spread words: 0 is background."""
    aggregated = found.aggregated
    pixels = found.evidence.word_maps[None]
    seeds = torch.nn.functional.adaptive_avg_pool2d(pixels, tuple(aggregated.shape[:2]))[0]
    spreads = {name: spread(seeds, aggregated, **choice) for name, choice in SPREADS.items()}
    for name, maps in {"cross-attention": seeds, **spreads}.items():
        for rule, threshold in (("Otsu", None), ("0.4", 0.4), ("0.5", 0.5)):
            yield f"{name}, {rule}", segment_map(with_background(maps, threshold), found.labels.shape).numpy()


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--first", type=int, default=40_000, help="seed of the first (default 40000)")
    asked = parser.parse_args()
    pipe = attnscope.load_pipeline("demo")
    scores: dict[str, list[float]] = defaultdict(list)
    for picture in scenes(range(asked.first, asked.first + asked.scenes)):
        things = list(dict.fromkeys(word.text for word in picture.words if word.kind == "thing"))
        found = attnscope.segment(
            picture.pil_image, pipe, labels=things or None, unite=False, features=usual_module(pipe)
        )
        for name, choice in METHODS.items():
            began = time.perf_counter()
            labels = found.again(**choice).labels
            scores[f"{name}: seconds"].append(time.perf_counter() - began)
            scores[f"{name}: mIoU"].append(matched_iou(labels, picture.segments))
            scores[f"{name}: segments"].append(len(np.unique(labels)))
            scores[f"{name}: boundary F"].append(edge_counts(labels, picture.segments).f)
        masks = picture.masks
        for name, labels in of_words(found) if things else ():
            for number, thing in enumerate(things, start=1):
                scores[f"{name}: words"].append(iou(labels == number, masks[thing]))
            rest = ~np.any([masks[thing] for thing in things], axis=0)
            scores[f"{name}: background"].append(iou(labels == 0, rest))
    report = Report("segmenters", f"{asked.scenes} scenes from seed {asked.first}")
    for name, values in scores.items():
        report.add(name, float(np.mean(values)), "")
    report.finish()


if __name__ == "__main__":
    main()
