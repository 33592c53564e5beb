"""Maps at other sizes: every map that attnscope makes larger or smaller goes through here."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from attnscope.records.layers import SizeHW


def resize_maps(
    maps: Float[Tensor, "*maps h w"], to_hw: SizeHW, *, mode: Literal["bilinear", "bicubic"] = "bilinear"
) -> Float[Tensor, "*maps height width"]:
    """Maps at another size; pixels are areas, so corners do not lie on corners, and nothing is smoothed.

    Args:
        maps: Any number of leading axes.
        to_hw: Height and width.
        mode: Bilinear keeps the range of the values; bicubic may leave it.
    """
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    larger = interpolate(flat, size=tuple(to_hw), mode=mode, align_corners=False)
    return larger.reshape(*maps.shape[:-2], *to_hw)
