"""Which maps are within tau of each anchor: decided exactly, mostly with float32 products.

Float32 products take half the time of float64 ones, and their error is bounded. A pair whose distance is
further from tau than the bound is settled; the others are computed again in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnscope.diffseg.distance import symmetric_kl

UNIT = 2.0**-24  # relative rounding of one float32 operation
CHAIN = 1024  # positions summed in float32; sums of these sums are float64


class Screened(NamedTuple):
    """Distances in float32's precision, and how far off they can be.

    Attributes:
        distance: Distance of every anchor to every map, in nats.
        error: An upper bound of the distance's error; negative for one that is exact.
    """

    distance: Float[Tensor, "anchor map"]
    error: Float[Tensor, "anchor map"]


class ExactNeighbours:
    """Decides whether `symmetric_kl(anchors, maps) < tau`. Distances are computed once and serve any tau.

    Args:
        anchors: Maps that sum to 1 over position.
    """

    def __init__(self, anchors: Float[Tensor, "anchor position"]) -> None:
        self.anchors = anchors
        self.centre = anchors.float().clamp_min(torch.finfo(torch.float32).tiny).log().mean(0)
        self.logs = _CentredLogs.of(anchors, self.centre)

    def distances(self, maps: Float[Tensor, "map position"]) -> Screened:
        """Distances to the anchors: float32 with a bound on the error, or float64 where float32 products are inexact.

        Args:
            maps: Maps that sum to 1 over position.
        """
        if not _float32_products_are_float32(maps):
            return self.settled(maps)
        return _screened(self.logs, _CentredLogs.of(maps, self.centre))

    def settled(self, maps: Float[Tensor, "map position"]) -> Screened:
        """Distances in float64, which decide every tau. Takes twice the time of `distances`.

        Args:
            maps: Maps that sum to 1 over position.
        """
        exact = symmetric_kl(self.anchors, maps)
        return Screened(exact, exact.new_tensor(-1.0))

    def near(
        self, maps: Float[Tensor, "map position"], distances: Screened, tau: float
    ) -> Bool[Tensor, "anchor map"]:
        """Whether each map is closer than tau to each anchor. Pairs too close to call are computed again in float64.

        Args:
            maps: The maps that `distances` got.
            distances: What `distances` or `settled` returned for them.
            tau: Threshold in nats.
        """
        near = distances.distance < tau
        is_open = (distances.distance - tau).abs() <= distances.error
        rows, columns = is_open.any(1).nonzero()[:, 0], is_open.any(0).nonzero()[:, 0]
        if len(rows):
            near[rows[:, None], columns] = symmetric_kl(self.anchors[rows], maps[columns]) < tau
        return near


@dataclass(frozen=True)
class _CentredLogs:
    """Maps and their logs in float32, minus a constant per position, which cancels in D.

    plogp: sum of maps times logs, float64. mass: sum of maps. reach: largest |log|, infinite for a map with a
    0. rounding: bound on the error of one log.
    """

    maps: Float[Tensor, "map position"]
    logs: Float[Tensor, "map position"]
    plogp: Float[Tensor, " map"]
    mass: Float[Tensor, " map"]
    reach: Float[Tensor, " map"]
    rounding: Float[Tensor, " map"]

    @classmethod
    def of(cls, maps: Tensor, centre: Float[Tensor, " position"]) -> _CentredLogs:
        maps = maps.float()
        tiny = torch.finfo(torch.float32).tiny
        logs = maps.clamp_min(tiny).log_().sub_(centre)
        reach = torch.maximum(logs.amax(1), -logs.amin(1)).double()  # aminmax takes seven times as long
        rounding = 4 * UNIT * (reach + float(centre.abs().max()) + 1)
        reach.masked_fill_(maps.amin(1) <= tiny, torch.inf)
        plogp = (maps * logs).sum(1, dtype=torch.float64)
        return cls(maps, logs, plogp, maps.sum(1, dtype=torch.float64), reach, rounding)


def _screened(x: _CentredLogs, y: _CentredLogs) -> Screened:
    cross = torch.zeros(len(x.maps), len(y.maps), dtype=torch.float64)
    for px, lx, py, ly in zip(
        *(part.split(CHAIN, dim=1) for part in (x.maps, x.logs, y.maps, y.logs)), strict=True
    ):
        cross += (px @ ly.T).addmm_(lx, py.T)
    distance = (x.plogp[:, None] + y.plogp - cross) / 2
    # Higham 2002, section 3.1: a sum of n products is off by at most n units of the sum of their sizes, here
    # at most mass times reach; 16 more for the maps' own rounding, the products of plogp, and the last sums.
    mass = x.mass[:, None] + y.mass
    products = (2 * CHAIN + 16) * UNIT * mass * (x.reach[:, None] + y.reach) / 2
    return Screened(distance, products + mass * (x.rounding[:, None] + y.rounding))


def _float32_products_are_float32(maps: Tensor) -> bool:
    """Whether products are whole float32: not on a GPU (TF32), nor where the user allows fewer bits."""
    return maps.device.type == "cpu" and torch.get_float32_matmul_precision() == "highest"
