"""Symmetric Kullback-Leibler divergence between many maps at once, by matrix products."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def symmetric_kl(x: Float[Tensor, "x position"], y: Float[Tensor, "y position"]) -> Float[Tensor, "x y"]:
    """Symmetric Kullback-Leibler divergence: the mean of KL(x||y) and KL(y||x), for every map of x and every map of y.

    Args:
        x: Maps that sum to 1 over position.
        y: Maps that sum to 1 over position.

    Returns:
        Distances in nats, float64. Infinite where one map is 0 and the other is not; 0 log 0 counts as 0.

    Cost: two matrix products of x by y by position, in float64, because the result is a small difference of large sums.
    Source: Tian et al. 2024, the distance of "Iterative Attention Merging".

    >>> import torch
    >>> p = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    >>> [round(float(d), 6) for d in symmetric_kl(p[:1], p)[0]]   # log(3) / 8
    [0.0, 0.137327]
    """
    x, y = x.double(), y.double()
    log_x, log_y = (p.log().masked_fill_(p == 0, 0) for p in (x, y))
    plogp_x, plogp_y = (torch.einsum("ij,ij->i", p, log_p) for p, log_p in ((x, log_x), (y, log_y)))
    # D = (KL(x||y) + KL(y||x)) / 2 = (x.log x + y.log y - x.log y - y.log x) / 2
    distance = (plogp_x[:, None] + plogp_y - (x @ log_y.T).addmm_(log_x, y.T)).div_(2)
    if not (x.all() and y.all()):
        distance.masked_fill_(_only_one_is_zero(x, y), torch.inf)
    return distance


def _only_one_is_zero(x: Tensor, y: Tensor) -> Bool[Tensor, "x y"]:
    """Whether a position exists where one map is 0 and the other is not."""
    x_is_zero, y_is_zero = (x == 0).double(), (y == 0).double()
    return ((1 - x_is_zero) @ y_is_zero.T + x_is_zero @ (1 - y_is_zero).T) > 0
