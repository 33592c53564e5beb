"""The authors' float16 comparison of two maps, repeated decision by decision.

Their program casts two maps x, y to float16 and computes q = log x - log y, D = sum(x q)/2 - sum(y q)/2,
every element rounded to float16, each sum taken in float32 and rounded. A value that rounds to 0 makes D
NaN, and NaN < tau is false.

Element by element that is 4 billion roundings for 256 anchors at 64x64. But the roundings move D by a bounded
amount, so the exact distance of the ROUNDED maps and logs, two matrix products, settles every pair further
from tau than the bound. Only the few others are computed element by element.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

UNIT = 2.0**-11  # relative rounding of float16
SUBNORMAL = 2.0**-25  # absolute rounding of float16 below its normal range
UNIT_32 = 2.0**-24  # relative rounding of float32
PAIR_VALUES = 2**20  # pairs times positions that are held at once: 2 MiB an array, within a core's cache


class Float16Neighbours:
    """Decides whether the authors' float16 distance is below tau, which is rounded as well. Serves any tau.

    Args:
        anchors: Maps that sum to 1 over position.
    """

    def __init__(self, anchors: Float[Tensor, "anchor position"]) -> None:
        self.anchors, self.logs = _rounded(anchors)

    def distances(self, maps: Float[Tensor, "map position"]) -> tuple[Tensor, Tensor]:
        """Distances of the rounded maps, and how far the float16 result can be from each.

        Args:
            maps: Maps that sum to 1 over position.
        """
        return _distance_and_error(self.anchors, self.logs, *_rounded(maps))

    def settled(self, maps: Float[Tensor, "map position"]) -> tuple[Tensor, Tensor]:
        """The same as `distances`: which pairs are open depends on tau, because the authors round it.

        Args:
            maps: Maps that sum to 1 over position.
        """
        return self.distances(maps)

    def near(
        self, maps: Float[Tensor, "map position"], distances: tuple[Tensor, Tensor], tau: float
    ) -> Bool[Tensor, "anchor map"]:
        """Whether each map is closer than tau to each anchor, as the authors' program decides it.

        Args:
            maps: The maps that `distances` got.
            distances: What `distances` returned for them.
            tau: Threshold in nats, rounded to float16 here.
        """
        x, log_x = self.anchors, self.logs
        y, log_y = _rounded(maps)
        limit = float(torch.tensor(tau, dtype=torch.float16))
        distance, error = distances
        near = distance < limit
        is_open = (distance - limit).abs() <= error
        for pairs in is_open.nonzero().split(max(PAIR_VALUES // x.shape[1], 1)):
            i, j = pairs.unbind(1)
            near[i, j] = float16_distance(x[i], log_x[i], y[j], log_y[j]) < limit
        return near & x.all(1)[:, None] & y.all(1)


def _rounded(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Maps and their logs, in float16."""
    maps = maps.half()
    return maps, maps.float().log().half()


def float16_distance(
    x: Float[Tensor, "pair position"],
    log_x: Float[Tensor, "pair position"],
    y: Float[Tensor, "pair position"],
    log_y: Float[Tensor, "pair position"],
) -> Float[Tensor, " pair"]:
    """The authors' distance of pairs of float16 maps, element by element, in float16.

    Args:
        x: The first map of each pair, float16.
        log_x: Its logarithm, float16.
        y: The second map of each pair, float16.
        log_y: Its logarithm, float16.
    """
    q = log_x - log_y
    kl_x = (x * q).sum(-1, dtype=torch.float32).half() / 2
    kl_y = -(y * q).sum(-1, dtype=torch.float32).half() / 2
    return kl_x + kl_y


def _distance_and_error(
    x: Tensor, log_x: Tensor, y: Tensor, log_y: Tensor
) -> tuple[Float[Tensor, "x y"], Float[Tensor, "x y"]]:
    """D of the rounded maps without further rounding, and how far the float16 result can be from it."""
    positions = x.shape[1]
    x, log_x, y, log_y = (part.double().nan_to_num(neginf=0.0) for part in (x, log_x, y, log_y))
    plogp_x, plogp_y = (
        torch.einsum("ij,ij->i", x, log_x)[:, None],
        torch.einsum("ij,ij->i", y, log_y)[None, :],
    )
    cross_x, cross_y = x @ log_y.T, log_x @ y.T
    sum_x, sum_y = plogp_x - cross_x, cross_y - plogp_y  # of x q and of y q
    distance = (sum_x - sum_y) / 2
    # |q| <= |log x| + |log y|, and logs of probabilities are not above 0
    magnitude = -(plogp_x + plogp_y + cross_x + cross_y) / 2
    per_element = (2 * UNIT + UNIT**2 + positions * UNIT_32) * magnitude + positions * SUBNORMAL
    at_the_end = UNIT * (sum_x.abs() + sum_y.abs()) + UNIT * distance.abs() + 4 * SUBNORMAL
    error = 1.01 * (per_element + at_the_end)
    if max(float(x.max()), float(y.max())) > 1:  # no probabilities: the bound does not hold
        error.fill_(torch.inf)
    return distance, error
