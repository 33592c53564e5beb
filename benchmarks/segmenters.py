"""Normalised cuts, words and edges on scenes of the demo world that training has never seen, against their true masks.

    python benchmarks/segmenters.py [--scenes 200] [--first 40000]

Segments: mean IoU over the true parts of a scene, each matched with at most one segment. Edges: the F score of pixels
on an edge, right within two pixels. Words: the things of a scene are the words, the rest is background; IoU of each
word's mask, and of the background. An opponent for each: DiffSeg with the demo's own threshold, and
cross-attention as it is. Takes 2 to 6 s a scene.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from harness import Report
from scipy.ndimage import distance_transform_edt

import attnscope
from attnscope.demo.scenes import Scene, scenes
from attnscope.demo.scoring import matched_iou
from attnscope.diffseg import segment_map
from attnscope.ncut import normalized_cut
from attnscope.segmentation.picture_edges import fit_to_picture
from attnscope.segmentation.result import Segmentation
from attnscope.segmentation.spreading import spread, with_background

NEAR_PX = 2
CUTS = {
    "cuts": {},
    "cuts, limit 0.5": {"limit": 0.5},
    "cuts, power 2": {"power": 2},
    "cuts, power 3": {"power": 3},
    "cuts, sharpness 5": {"sharpness": 5},
    "cuts, sharpness 20": {"sharpness": 20},
}
SPREADS = {
    "power 1": {},
    "power 2": {"steps": 2},
    "entropy 1": {"form": "entropy", "steps": 1},
    "entropy 2": {"form": "entropy", "steps": 2},
    "entropy 10": {"form": "entropy"},
    "affinity 10": {"form": "affinity"},
}


def edge_pixels(labels: np.ndarray) -> np.ndarray:
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    return edge


def edge_score(found: np.ndarray, truth: np.ndarray) -> float:
    ours, true = edge_pixels(found), edge_pixels(truth)
    if not ours.any() or not true.any():
        return float(ours.any() == true.any())
    precision = (distance_transform_edt(~true)[ours] <= NEAR_PX).mean()
    recall = (distance_transform_edt(~ours)[true] <= NEAR_PX).mean()
    return 2 * precision * recall / max(precision + recall, 1e-9)


def of_segments(found: Segmentation, picture: Scene) -> Iterator[tuple[str, np.ndarray]]:
    """Labels by each way to segment."""
    size_hw = found.labels.shape
    yield "DiffSeg", found.labels
    for name, choice in CUTS.items():
        yield name, segment_map(normalized_cut(found.aggregated, **choice), size_hw).numpy()
    for name, maps in (("DiffSeg", found.merged), ("cuts", normalized_cut(found.aggregated))):
        yield f"{name}, fitted", fit_to_picture(maps, picture.pil_image).argmax(0).numpy()


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
        found = attnscope.segment(picture.pil_image, pipe, labels=things or None, unite=False)
        for name, labels in of_segments(found, picture):
            scores[f"{name}: mIoU"].append(matched_iou(labels, picture.segments))
            scores[f"{name}: segments"].append(len(np.unique(labels)))
            scores[f"{name}: edges"].append(edge_score(labels, picture.segments))
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
