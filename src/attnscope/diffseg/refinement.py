"""Optional step of DiffSeg: k-means over all maps, started at the merged ones."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError, missing_extra


def refine(
    aggregated: Float[Tensor, "height width height width"], merged: Float[Tensor, "segment height width"]
) -> Float[Tensor, "segment height width"]:
    """DiffSeg's optional step: k-means over all maps, started at the merged ones.

    Args:
        aggregated: The result of `aggregate`.
        merged: The result of `merge`.

    Returns:
        The mean map of each cluster, float64 on merged's device, in the order of merged.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        ParameterError: The shapes do not fit.

    Cost: seconds at 64x64 (Lloyd's algorithm over height * width maps on the CPU).
    Source: the authors' program (on in their demonstration, off in their benchmark): one start, with scikit-learn's own
    defaults for iterations and tolerance.
    """
    if merged.ndim != 3 or aggregated.shape != merged.shape[1:] * 2:
        raise ParameterError(
            f"aggregated is {tuple(aggregated.shape)} and merged {tuple(merged.shape)}; expected "
            "(height, width, height, width) and (segment, height, width) of the same grid"
        )
    try:
        from sklearn.cluster import KMeans
    except ImportError as cause:
        raise missing_extra("refinement by k-means", "scikit-learn", "refine") from cause
    maps = aggregated.detach().flatten(2).flatten(0, 1).cpu().double()
    start = merged.detach().flatten(1).cpu().double()
    clusters = torch.as_tensor(KMeans(len(start), init=start.numpy(), n_init=1).fit(maps.numpy()).labels_)
    means = torch.stack([maps[clusters == number].mean(0) for number in clusters.unique()])
    return means.view(-1, *merged.shape[1:]).to(merged.device)
