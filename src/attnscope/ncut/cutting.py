"""One normalised cut: the second eigenvector of the normalised Laplacian, and the best threshold of all."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

_TOLERANCES = {4: (1e-5, 1e-3, 1e-1), 8: (1e-10, 1e-5, 1e-3, 1e-1)}  # of the eigenvalue, by bytes a number
_EQUAL = 1e-9  # cuts that cost the same but for rounding
_DENSE = 3  # ARPACK wants more places than vectors
_VECTORS, _RESTARTS = 20, 50


class Cut(NamedTuple):
    """Places in two parts.

    Attributes:
        ncut: Of both parts, the share of their affinity that goes to the other one, added: 0 where nothing joins them,
            1 where every two places are alike.
        inside: Whether each place is in the part that the vector's largest value lies in.
    """

    ncut: float
    inside: Bool[Tensor, " place"]


def best_cut(affinity: Float[Tensor, "place place"]) -> Cut:
    """The least normalised cut among those that a threshold on the second eigenvector makes.

    Args:
        affinity: Symmetric, not negative, at least two places; each with something above 0 in its row.

    Cost: some tens of products of the matrix with a vector, and one pass for all thresholds together: 0.3 s at 4,096
    places on one core.
    Source: Shi and Malik 2000, sections 2 and 3. Differs: every threshold is tried, not a number of them.
    """
    degrees = affinity.sum(1)
    return least_cut(affinity, degrees, second_eigenvector(affinity, degrees))


def second_eigenvector(
    affinity: Float[Tensor, "place place"], degrees: Float[Tensor, " place"]
) -> Float[Tensor, " place"]:
    """The solution of (D - W) y = m D y for the second least m; its value of largest size is positive.

    Args:
        affinity: W.
        degrees: The row sums of W, the diagonal of D.

    Source: Shi and Malik 2000, eq. 6 and 7: z = D^(1/2) y is an eigenvector of D^(-1/2) W D^(-1/2), whose first one,
    D^(1/2) 1, is known and taken out. So parts that nothing joins, whose eigenvalues are all 1, are found like others.
    """
    root = degrees.sqrt()
    scaled = (affinity / root[:, None]).div_(root)
    first = root / torch.linalg.vector_norm(root)
    vector = _largest(scaled, first) / root
    return vector if vector[vector.abs().argmax()] > 0 else -vector


def _largest(scaled: Float[Tensor, "place place"], first: Float[Tensor, " place"]) -> Float[Tensor, " place"]:
    """The eigenvector of the largest eigenvalue beside the first; 1 is added to all, so that tolerance is absolute:
    where everything is alike the others are 0 but for rounding, and none of them matters."""
    if len(scaled) <= _DENSE:
        return torch.linalg.eigh(scaled - 2 * torch.outer(first, first))[1][:, -1]

    def product(values: np.ndarray) -> np.ndarray:
        vector = torch.as_tensor(values.ravel()).to(scaled)
        return (scaled @ vector + vector - 2 * first * (first @ vector)).cpu().numpy()

    start = torch.from_numpy(np.random.default_rng(0).standard_normal(len(scaled))).to(scaled)
    return torch.from_numpy(_eigenvector(product, (start - first * (first @ start)).cpu().numpy())).to(scaled)


def _eigenvector(product: Any, start: np.ndarray) -> np.ndarray:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    size = len(start)
    matrix = LinearOperator((size, size), matvec=product, dtype=start.dtype)
    choice: dict[str, Any] = {
        "k": 1,
        "which": "LA",
        "v0": start,
        "ncv": min(_VECTORS, size),
        "maxiter": _RESTARTS,
    }
    *first, last = _TOLERANCES[start.dtype.itemsize]
    for tolerance in first:
        try:
            return eigsh(matrix, tol=tolerance, **choice)[1][:, 0]
        except ArpackNoConvergence:  # many eigenvalues nearly alike: a mixture of their vectors will do
            continue
    return eigsh(matrix, tol=last, **choice)[1][:, 0]


def least_cut(
    affinity: Float[Tensor, "place place"], degrees: Float[Tensor, " place"], values: Float[Tensor, " place"]
) -> Cut:
    """The least normalised cut of places above a threshold from those below, over all thresholds.

    Args:
        affinity: W.
        degrees: Its row sums.
        values: What thresholds are put on.

    Cost: one pass over the matrix.
    """
    order = values.argsort(stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    within = _affinity_within(affinity, rank)[order].cumsum(0)[:-1]
    below = degrees[order].double().cumsum(0)
    volume, whole = below[:-1], below[-1]
    between = (volume - within).clamp_(min=0)
    ncuts = between / volume + between / (whole - volume)
    equal = (ncuts <= ncuts.min() + _EQUAL).nonzero()[:, 0]
    at = int(equal[(2 * equal + 2 - len(order)).abs().argmin()])  # the most even of equal ones
    return Cut(float(ncuts[at]), rank > at)


def _affinity_within(affinity: Float[Tensor, "place place"], rank: Tensor) -> Float[Tensor, " place"]:
    """What each place adds to the affinity within a part when it joins all those of lower rank."""
    parts = []
    for rows, ranks in zip(affinity.split(256), rank.split(256), strict=True):
        parts.append((rows * (rank < ranks[:, None])).sum(1, dtype=torch.float64))
    return 2 * torch.cat(parts) + affinity.diagonal()
