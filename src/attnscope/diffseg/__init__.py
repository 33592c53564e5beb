"""DiffSeg as pure functions of tensors: aggregate, merge, suppress, and optionally refine and name.

Source: Tian et al., "Diffuse, Attend, and Segment", CVPR 2024 (arXiv 2308.12469).

    aggregated = aggregate([(map, (height, width)), ...])     # (H, W, H, W), every map sums to 1
    merged = merge(aggregated, thresholds=[1.1, 1.1, 1.1])    # (segment, H, W)
    labels = segment_map(merged, (512, 512))                  # (512, 512), the segment of every pixel

torch is loaded with the first use of a name, not with this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnscope.lazily import lazily

if TYPE_CHECKING:
    from attnscope.diffseg.aggregation import aggregate
    from attnscope.diffseg.distance import symmetric_kl
    from attnscope.diffseg.labels import name_segments, unite_namesakes, word_maps
    from attnscope.diffseg.merging import anchor_points, merge
    from attnscope.diffseg.refinement import refine
    from attnscope.diffseg.suppression import segment_map

_HOMES = {
    "aggregate": "aggregation",
    "symmetric_kl": "distance",
    "name_segments": "labels",
    "unite_namesakes": "labels",
    "word_maps": "labels",
    "anchor_points": "merging",
    "merge": "merging",
    "refine": "refinement",
    "segment_map": "suppression",
}

__all__ = [
    "aggregate",
    "anchor_points",
    "merge",
    "name_segments",
    "refine",
    "segment_map",
    "symmetric_kl",
    "unite_namesakes",
    "word_maps",
]

__getattr__, __dir__ = lazily(__name__, _HOMES)
