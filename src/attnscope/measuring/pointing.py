"""How well a map points at a mask: exact, also where cells of the map are partly in the mask."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Map = Float[np.ndarray, "height width"]


class Pointing(NamedTuple):
    """How well a map points at a mask, 0..1 each.

    Attributes:
        average_precision: Area under precision over recall, the map's values being scores of cells. A map that knows
            nothing reaches the mask's share of the picture.
        auc: How often a place in the mask has a larger value than one outside. A map that knows nothing reaches 0.5.
        iou: Intersection over union of the mask and of the places with at least a share of the map's largest value.
    """

    average_precision: float
    auc: float
    iou: float


def pointing(heat: Map, inside: Map, threshold: float) -> Pointing:
    """How well a map points at a mask.

    Args:
        heat: The map.
        inside: Of each cell the share that is in the mask, 0..1, of the same size; neither 0 nor 1 everywhere.
        threshold: Share of the map's largest value from which a place counts in `iou`, 0..1.

    Source: average precision is the sum over steps of recall, as in scikit-learn; ties are one step. A cell that is
    partly in the mask counts with its share inside, and with the rest outside.
    """
    above = (heat >= threshold * heat.max()) & (heat > 0)
    both = float(inside[above].sum())
    _, rank = np.unique(-heat.ravel(), return_inverse=True)
    hits = np.cumsum(np.bincount(rank.ravel(), inside.ravel()))
    misses = np.cumsum(np.bincount(rank.ravel(), 1.0 - inside.ravel()))
    recall, more = np.diff(hits, prepend=0.0) / hits[-1], np.diff(misses, prepend=0.0)
    mean_hits = (hits + np.concatenate([[0.0], hits[:-1]])) / 2
    return Pointing(
        float((recall * hits / (hits + misses)).sum()),
        float((more * mean_hits).sum() / (hits[-1] * misses[-1])),
        both / (float(above.sum()) + float(inside.sum()) - both),
    )
