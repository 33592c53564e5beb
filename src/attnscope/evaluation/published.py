"""What papers say of the same data sets. Each number stands with its paper and protocol."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A row of a paper's table, in per cent.

    Attributes:
        method: Its name.
        miou: Mean IoU.
        accuracy: Share of right pixels; None where the paper has none.
        protocol: How segments got their classes.
        source: The paper and what it ran.
    """

    method: str
    miou: float
    accuracy: float | None
    protocol: str
    source: str


_DIFFSEG = "Tian et al., Diffuse, Attend, and Segment, CVPR 2024; Stable Diffusion v1.4, 512x512"
_DIFFCUT = "Couairon et al., DiffCut, 2024; SSD-1B, 1024x1024, compared at 128x128"
_AGAIN = "others' run of DiffSeg's program, not its authors' number"
_MERGED = "per-image, unmatched segments merged into the background"

PUBLISHED: dict[str, tuple[Published, ...]] = {
    "coco-stuff-27": (
        Published("DiffSeg", 43.6, 72.5, "per-image", _DIFFSEG),
        Published("DiffSeg, run again", 44.2, None, "per-image", _AGAIN),
        Published("DiffCut", 49.1, None, "per-image", _DIFFCUT),
    ),
    "cityscapes": (
        Published("DiffSeg", 21.2, 76.0, "per-image", _DIFFSEG),
        Published("DiffSeg, run again", 16.8, None, "per-image", _AGAIN),
        Published("DiffCut", 30.6, None, "per-image", _DIFFCUT),
    ),
    "voc2012": (
        Published("DiffSeg, run again", 49.8, None, _MERGED, _AGAIN),
        Published("DiffCut", 65.2, None, _MERGED, _DIFFCUT),
    ),
}
"""By the name of the data set; the others have none that was read."""
