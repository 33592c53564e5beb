"""Where a picture's things end, by its attention: neighbours on either side of an edge look at different places."""

from __future__ import annotations

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.pictures.maps import resize_maps
from attnscope.probability.places import place_matrix
from attnscope.records.layers import SizeHW

Rows = Float[Tensor, "height width key"]


def edges(aggregated: Float[Tensor, "height width height width"]) -> Float[Tensor, "height width"]:
    """How differently the places on either side of each place look around: above and below, and left and right.

    Args:
        aggregated: P, as `attnscope.diffseg.aggregate` returns it; each place's map sums to 1.

    Returns:
        Nats, 0 or more, float32: symmetric Kullback-Leibler divergence of the maps of opposite neighbours, the two
        directions added. On the border the place itself stands in for the neighbour that is missing.
        `attnscope.pictures.maps.resize_maps` brings it to the picture's size.

    Raises:
        ParameterError: It is no attention of places on a grid.

    Cost: two passes over the attention, and its logarithms: 64 MB at 64x64.
    Source: TRACE, the part that is not learnt. Differs: the mean of both orders of the divergence, as in
    `attnscope.diffseg.symmetric_kl`, so that a mirrored picture has mirrored edges; the step of the model is the
    caller's choice. A zero, which softmax gives where numbers end, counts as the least normal number.

    >>> import torch
    >>> halves = torch.block_diag(*[torch.full((2, 2), 0.5)] * 2).view(1, 4, 1, 4)
    >>> (edges(halves) > 0).tolist()
    [[False, True, True, False]]
    """
    if torch.as_tensor(aggregated).ndim != 4:
        raise ParameterError(
            f"aggregated has shape {tuple(aggregated.shape)}; expected (height, width, height, width), as aggregate() "
            "returns"
        )
    rows = place_matrix(aggregated).float().view(*aggregated.shape[:2], -1)
    logs = rows.clamp(min=torch.finfo(torch.float32).tiny).log()
    return _across(rows, logs) + _across(rows.transpose(0, 1), logs.transpose(0, 1)).T


def _across(rows: Rows, logs: Rows) -> Float[Tensor, "height width"]:
    """Divergence of the maps above and below each place."""
    numbers = torch.arange(len(rows), device=rows.device)
    above, below = (numbers - 1).clamp(min=0), (numbers + 1).clamp(max=len(rows) - 1)
    # (KL(x||y) + KL(y||x)) / 2 = sum of (x - y) (log x - log y) / 2
    strips = [
        ((rows[up] - rows[down]) * (logs[up] - logs[down])).sum(-1) / 2
        for up, down in zip(above, below, strict=True)
    ]
    return torch.stack(strips).clamp_(min=0)


def edge_image(at_places: Float[Tensor, "height width"], size_hw: SizeHW) -> Image.Image:
    """Edges in grey, white where attention changes most.

    Args:
        at_places: As `edges` returns them.
        size_hw: Height and width of the picture in pixels.
    """
    at_pixels = resize_maps(at_places[None], size_hw)[0]
    grey = (at_pixels / at_pixels.max().clamp_min(torch.finfo(torch.float32).tiny) * 255).round()
    return Image.fromarray(grey.byte().cpu().numpy())
