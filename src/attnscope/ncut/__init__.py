"""Segments by recursive normalised cuts of self-attention, or of features: pure functions of tensors.

Source: Shi and Malik, "Normalized Cuts and Image Segmentation", PAMI 2000; of attention as a random walk: Ivanova et
al., "Unsupervised Segmentation by Diffusing, Walking and Cutting", WACV 2026 (arXiv 2412.04678); of the constants, and
of features: Couairon et al., "DiffCut", NeurIPS 2024.

    maps = normalized_cut(aggregated)                 # (segment, H, W), one map a segment
    labels = segment_map(maps, (512, 512))            # attnscope.diffseg: (512, 512), the segment of every pixel

affinity.py   how alike two places are: the cosine of their rows of attention
cutting.py    one cut: the second eigenvector, and the best threshold of all
recursion.py  cuts of cuts, the least first, and where to stop
maps.py       the entry: from attention to a map a segment
features.py   another: from features to a map a segment, DiffCut

torch and scipy are loaded with the first use of a name, not with this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnscope.lazily import lazily

if TYPE_CHECKING:
    from attnscope.ncut.affinity import row_affinity
    from attnscope.ncut.cutting import Cut, best_cut
    from attnscope.ncut.features import feature_affinity, feature_cut
    from attnscope.ncut.maps import normalized_cut
    from attnscope.ncut.recursion import cut_recursively

_HOMES = {
    "Cut": "cutting",
    "best_cut": "cutting",
    "cut_recursively": "recursion",
    "feature_affinity": "features",
    "feature_cut": "features",
    "normalized_cut": "maps",
    "row_affinity": "affinity",
}

__all__ = [
    "Cut",
    "best_cut",
    "cut_recursively",
    "feature_affinity",
    "feature_cut",
    "normalized_cut",
    "row_affinity",
]

__getattr__, __dir__ = lazily(__name__, _HOMES)
