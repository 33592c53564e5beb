"""DiffSeg as pure functions of tensors: aggregate, merge, suppress, and optionally refine and name.

Source: Tian et al., "Diffuse, Attend, and Segment", CVPR 2024 (arXiv 2308.12469).

    aggregated = aggregate([(map, (height, width)), ...])     # (H, W, H, W), every map sums to 1
    merged = merge(aggregated, thresholds=[1.1, 1.1, 1.1])    # (segment, H, W)
    labels = segment_map(merged, (512, 512))                  # (512, 512), the segment of every pixel

torch is loaded with the first use of a name, not with this package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnscope.diffseg.aggregation import aggregate
    from attnscope.diffseg.distance import symmetric_kl
    from attnscope.diffseg.labels import name_segments, unite_namesakes, word_maps
    from attnscope.diffseg.merging import anchor_points, merge
    from attnscope.diffseg.refinement import refine
    from attnscope.diffseg.suppression import segment_map

_HOMES = {
    "aggregate": "attnscope.diffseg.aggregation",
    "symmetric_kl": "attnscope.diffseg.distance",
    "name_segments": "attnscope.diffseg.labels",
    "unite_namesakes": "attnscope.diffseg.labels",
    "word_maps": "attnscope.diffseg.labels",
    "anchor_points": "attnscope.diffseg.merging",
    "merge": "attnscope.diffseg.merging",
    "refine": "attnscope.diffseg.refinement",
    "segment_map": "attnscope.diffseg.suppression",
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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'attnscope.diffseg' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
