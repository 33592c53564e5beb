"""Heads that do alike, from how alike each two of them are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from attnscope.errors import ParameterError

ALIKE = 0.8
"""Heads are in one group if they are so alike on average, unless another number is given."""


def clusters(similarity: Float[np.ndarray, "head head"], alike: float = ALIKE) -> tuple[tuple[int, ...], ...]:
    """Groups of heads, the largest first, then by their first head. Every head is in one group.

    Args:
        similarity: Of each two heads, 0..1.
        alike: How alike two groups must be to become one, on average over pairs of their heads.

    Raises:
        ParameterError: alike is outside 0..1.

    Source: average linkage (UPGMA), by `scipy.cluster.hierarchy`.

    >>> clusters(np.array([[1.0, 0.95, 0.2], [0.95, 1.0, 0.3], [0.2, 0.3, 1.0]]))
    ((0, 1), (2,))
    """
    if not 0 <= alike <= 1:
        raise ParameterError(f"alike is {alike}: expected 0 (all heads in one group) to 1 (only equal ones)")
    if len(similarity) == 1:
        return ((0,),)
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    apart = np.clip(1 - (similarity + similarity.T) / 2, 0, None)
    np.fill_diagonal(apart, 0)
    labels = fcluster(linkage(squareform(apart), "average"), 1 - alike + 1e-9, "distance")
    groups = [tuple(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)]
    return tuple(sorted(groups, key=lambda heads: (-len(heads), heads)))
