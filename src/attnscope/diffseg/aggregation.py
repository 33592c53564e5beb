"""Step 1 of DiffSeg: the self-attention of all layers becomes one map per latent position."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.pictures.maps import resize_maps
from attnscope.records.layers import SizeHW

OVERFLOW = "NaN often means a float16 overflow: run the model in float32 or bfloat16"


def aggregate(
    layers: Iterable[tuple[Float[Tensor, "query query"], SizeHW]],
    *,
    grid: SizeHW | None = None,
    weights: Mapping[SizeHW, float] | None = None,
) -> Float[Tensor, "height width height width"]:
    """DiffSeg's first step: the self-attention of all layers as one map for each latent position.

    Args:
        layers: Pairs of a head-mean attention map (query, key) and its grid (height, width), in any order. Arrays
            are taken too. An iterator is read one map at a time.
        grid: (height, width) of the result. Default: the largest grid of the layers. Where it is no whole multiple of
            a layer's grid, each position takes the nearest query.
        weights: One number for each grid, {(64, 64): 64, (32, 32): 32, ...}, scaled to sum 1 here. Default:
            sqrt(height * width), the paper's 64:32:16:8.

    Returns:
        Float32 (float64 if a layer is), on the layers' device. `result[y, x]` is the map of position (y, x); it is
        not negative and sums to 1.

    Raises:
        ParameterError: There are no layers; shapes, grids or weights do not fit; or a map holds NaN, infinite or
            negative values or sums to 0.

    Cost: one sum for each grid, and the map at hand. The finest grid's sum becomes the result: 64 MiB at 64x64.
    Source: Tian et al. 2024, "Attention Aggregation". As in the authors' program, layers of one grid are averaged
    first, so five layers at 64x64 do not outweigh one at 8x8 beyond the weights.

    >>> import torch
    >>> fine, coarse = torch.full((16, 16), 1 / 16), torch.eye(4)
    >>> maps = aggregate([(fine, (4, 4)), (coarse, (2, 2))])
    >>> maps.shape, round(float(maps[0, 0].sum()), 5)
    (torch.Size([4, 4, 4, 4]), 1.0)
    """
    sums = ScaleSums()
    for number, (attention, given_size) in enumerate(layers):
        size = _checked_size(given_size, f"the grid of layer {number}")
        probs = _checked_map(attention, size, number)
        sums.add(size, partial(_added, probs))
    return sums.aggregated(grid=grid, weights=weights)


def _added(probs: Tensor, total: Tensor | None) -> Tensor:
    return probs.clone() if total is None else total.add_(probs)  # the caller's tensor must not change


class ScaleSums:
    """Running sums of head-mean maps, one for each grid.

    A layer can be added straight from its Q and K. The finest sum becomes the result in place, so nothing of that
    size is held twice.
    """

    def __init__(self) -> None:
        self._sums: dict[SizeHW, Tensor] = {}

    def add(self, size: SizeHW, add_to: Callable[[Tensor | None], Tensor]) -> None:
        """Add one layer's map to the sum of its grid.

        Args:
            size: The layer's grid, (height, width).
            add_to: Called with the sum so far, None at first. Adds the (query, key) map to it and returns it.
        """
        self._sums[size] = add_to(self._sums.get(size))

    def aggregated(
        self, *, grid: SizeHW | None = None, weights: Mapping[SizeHW, float] | None = None
    ) -> Float[Tensor, "height width height width"]:
        """The result of `aggregate`. It uses up the sums.

        Args:
            grid: As for `aggregate`.
            weights: As for `aggregate`.

        Raises:
            ParameterError: As in `aggregate`.
        """
        sums, self._sums = self._sums, {}
        if not sums:
            raise ParameterError(
                "aggregate() got no layers; expected at least one pair (map, (height, width))"
            )
        target = max(sums, key=math.prod) if grid is None else _checked_size(grid, "grid")
        shares = _shares(sums, weights)
        widest = max((total.dtype for total in sums.values()), key=lambda dtype: dtype.itemsize)
        if target in sums:
            result = sums.pop(target).to(widest).view(*target, *target)
            _share_out(result, shares[target])
        else:
            device = next(iter(sums.values())).device
            result = torch.zeros((*target, *target), dtype=widest, device=device)
        for size in sorted(sums, key=math.prod, reverse=True):
            _add_scale(result, sums.pop(size), size, shares[size])
        return result


def _share_out(maps: Float[Tensor, "y x height width"], share: float) -> None:
    """Make every map sum to share."""
    sums = maps.sum((2, 3), keepdim=True)
    of_layers = f"the attention of the {maps.shape[0]}x{maps.shape[1]} layers"
    if not torch.isfinite(sums).all():
        raise ParameterError(f"{of_layers} holds NaN or infinite values. {OVERFLOW}")
    if sums.min() <= 0:
        raise ParameterError(
            f"{of_layers} has {int((sums <= 0).sum())} places whose map sums to 0: a mask hides all of their keys, so "
            "they belong to no segment. Leave out the layers or steps that have the mask"
        )
    maps.mul_(share / sums)


def _add_scale(result: Tensor, total: Tensor, size: SizeHW, share: float) -> None:
    """Add one scale's maps, resized to the result's grid over keys and repeated over queries."""
    height, width = result.shape[:2]
    maps = resize_maps(total.view(*size, *size), (height, width))
    _share_out(maps, share)
    rows, columns = (_nearest(of, to, result.device) for of, to in zip(size, (height, width), strict=True))
    for y, row in enumerate(rows.tolist()):  # a row at a time: no second (H, W, H, W)
        result[y] += maps[row, columns]


def _nearest(size: int, out_size: int, device: torch.device) -> Tensor:
    """The source position under the middle of each output position; plain repetition for whole ratios."""
    return (torch.arange(out_size, device=device) * 2 + 1) * size // (2 * out_size)


def _shares(sizes: Iterable[SizeHW], weights: Mapping[SizeHW, float] | None) -> dict[SizeHW, float]:
    """The weight of each grid, summing to 1."""
    sizes = list(sizes)
    if weights is None:
        raw = {size: math.sqrt(size[0] * size[1]) for size in sizes}
    else:
        weight_of = {tuple(size): float(value) for size, value in weights.items()}
        missing = [size for size in sizes if size not in weight_of]
        if missing:
            raise ParameterError(
                f"weights name the grids {sorted(weight_of)}, but the layers also have {sorted(missing)}; "
                "give each grid a number (0 leaves it out)"
            )
        raw = {size: weight_of[size] for size in sizes}
    total = sum(raw.values())
    if not all(math.isfinite(value) and value >= 0 for value in raw.values()) or total <= 0:
        raise ParameterError(f"weights are {raw}; expected numbers from 0, not all of them 0")
    return {size: value / total for size, value in raw.items()}


def _checked_size(size: object, name: str) -> SizeHW:
    try:
        height, width = (int(side) for side in size)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as cause:
        raise ParameterError(f"{name} is {size!r}; expected (height, width), two whole numbers") from cause
    if height < 1 or width < 1:
        raise ParameterError(f"{name} is {height}x{width}; expected a height and a width of at least 1")
    return height, width


def _checked_map(attention: object, size: SizeHW, number: int) -> Tensor:
    probs = torch.as_tensor(attention)
    positions = size[0] * size[1]
    if tuple(probs.shape) != (positions, positions):
        raise ParameterError(
            f"layer {number} has a map of shape {tuple(probs.shape)}; its grid {size[0]}x{size[1]} needs "
            f"({positions}, {positions}): the mean over heads of one image's self-attention"
        )
    probs = probs.to(torch.promote_types(probs.dtype, torch.float32))
    low, high = (float(value) for value in probs.aminmax())
    if not (low >= 0 and math.isfinite(high)) or float(probs.sum(-1).min()) <= 0:
        raise ParameterError(
            f"layer {number} (grid {size[0]}x{size[1]}) has values from {low:.3g} to {high:.3g}, or a map "
            f"that sums to 0; expected probabilities. {OVERFLOW}"
        )
    return probs
