"""Words as segments: where a word landed, spread by self-attention to the whole thing, and the background."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError, missing_extra, nearest
from attnscope.ncut.affinity import row_affinity
from attnscope.probability.places import place_matrix

ENTROPY_WEIGHT = 0.2
"""lambda of iSeg for open vocabulary; its authors take 0.002 to 0.2, by data set."""
_STEPS = {"power": 1, "entropy": 10, "affinity": 10}

WordMaps = Float[Tensor, "word height width"]
Transitions = Float[Tensor, "place next"]


def spread(
    seeds: WordMaps,
    attention: Float[Tensor, "height width height width"],
    form: str = "power",
    *,
    steps: int | None = None,
    entropy_weight: float = ENTROPY_WEIGHT,
) -> WordMaps:
    """Where words landed, spread along self-attention: places that look at the same thing get alike values.

    Args:
        seeds: A map a word, not negative, on the grid of the attention: `attnscope.diffseg.word_maps`, resized.
        attention: P, as `attnscope.diffseg.aggregate` returns it; each place's map sums to 1.
        form: "power": c <- P c, so a place's value is the mean of the seeds where the random walk from it is after so
            many hops. "entropy": iSeg's, with P's weak values taken out and the least value of a map taken off after
            each step. "affinity": c <- W c with the likeness of rows that normalised cuts use, rows divided by their
            sums; many steps do not blur it.
        steps: How often; 1 for "power", 10 for the others by default (iSeg takes 5 to 10). The wider attention
            is, the fewer it takes until all words look alike.
        entropy_weight: lambda of "entropy".

    Returns:
        The maps, of the seeds' size, float32 (float64 for float64). With "entropy" each sums to 1.

    Raises:
        ParameterError: Sizes do not fit, values are no maps or no attention, or a choice is outside its range.

    Cost: a product of words by places by places a step; "affinity" has that of `attnscope.ncut.row_affinity` besides.
    Source: "entropy": Sun et al., "iSeg", 2024, and the authors' program; "power": P^k of Ivanova et al. 2024.
    """
    _check(form, steps, entropy_weight)
    matrix = place_matrix(attention)
    _check_seeds(seeds, attention)
    maps = seeds.detach().flatten(1).to(torch.promote_types(matrix.dtype, torch.float32))
    matrix = matrix.to(maps)
    times = _STEPS[form] if steps is None else steps
    return _FORMS[form](maps, matrix, times, entropy_weight).view(seeds.shape)


def _power(maps: Tensor, matrix: Transitions, steps: int, _: float) -> Tensor:
    for _step in range(steps):
        maps = maps @ matrix.T
    return maps


def _affinity(maps: Tensor, matrix: Transitions, steps: int, _: float) -> Tensor:
    affinity = row_affinity(matrix)
    return _power(maps, affinity.div_(affinity.sum(1, keepdim=True)), steps, 0)


def _entropy(maps: Tensor, matrix: Transitions, steps: int, weight: float) -> Tensor:
    transitions = entropy_reduced(matrix, weight)
    maps = _shares(maps)
    for _step in range(steps):
        maps = _shares(maps @ transitions.T)
    return maps


def entropy_reduced(matrix: Transitions, weight: float = ENTROPY_WEIGHT) -> Transitions:
    """iSeg's self-attention of less entropy: weak values become 0, rows sum to 1.

    Args:
        matrix: P.
        weight: lambda. A key's values t, as shares of its largest, become 0 where t + lambda log10(e t) is below 0.

    Raises:
        ParameterError: A place keeps nothing.

    Source: the authors' program: T = P / its column's maximum; T += lambda log10(e T) where T > 0; negative to 0; rows
    divided by their sums.
    """
    shares = matrix / _or_infinite(matrix.amax(0, keepdim=True))
    kept = (shares + weight * torch.where(shares > 0, torch.log10(math.e * shares), 0)).clamp_(min=0)
    sums = kept.sum(1, keepdim=True)
    if not (sums > 0).all():
        raise ParameterError(
            f"with entropy_weight={weight:g} {int((sums == 0).sum())} places keep no attention; use a "
            "smaller one"
        )
    return kept / sums


def _shares(maps: Tensor) -> Tensor:
    """Maps whose least value is 0 and whose sum is 1; a map that is alike everywhere is zeros."""
    above = maps - maps.amin(1, keepdim=True)
    return above / _or_infinite(above.sum(1, keepdim=True))


def _or_infinite(numbers: Tensor) -> Tensor:
    return numbers.masked_fill(numbers == 0, torch.inf)


_FORMS: dict[str, Callable[[Tensor, Tensor, int, float], Tensor]] = {
    "power": _power,
    "entropy": _entropy,
    "affinity": _affinity,
}


def with_background(
    maps: WordMaps, threshold: float | None = None
) -> Float[Tensor, "background_and_word height width"]:
    """Words' maps from 0 to 1 each, and before them the background's: what no word reaches is background.

    The background's map is the threshold everywhere, so the largest map at a place is the background's where every word
    stays below: `attnscope.diffseg.segment_map` gives 0 for it and 1 + its number for a word.

    Args:
        maps: As `spread` returns them.
        threshold: Share of a word's range, 0..1. None: Otsu's of this picture, which parts the largest values
            at each place into high ones and low ones with the least variance in both.

    Raises:
        ParameterError: The threshold is outside its range, or maps are no maps.
        MissingExtraError: scikit-image is not installed.

    Source: Otsu 1979, by scikit-image. iSeg thresholds by a number a data set or adds words for backgrounds,
    FA-Seg takes 0.55 or 0.6.
    """
    _check_maps(maps)
    low, high = (function(maps, dim=(1, 2), keepdim=True) for function in (torch.amin, torch.amax))
    stretched = (maps - low) / _or_infinite(high - low)
    if threshold is None:
        threshold = _otsu(stretched.amax(0))
    elif isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise ParameterError(
            f"threshold is {threshold!r}; expected a share of a word's range, 0 to 1, or None"
        )
    return torch.cat([torch.full_like(stretched[:1], threshold), stretched])


def _otsu(values: Float[Tensor, "height width"]) -> float:
    try:
        from skimage.filters import threshold_otsu
    except ImportError as cause:
        raise missing_extra(
            "Otsu's threshold", "scikit-image", "segment", ", or give a number, threshold="
        ) from cause
    return float(threshold_otsu(values.cpu().numpy()))


def _check(form: str, steps: int | None, weight: float) -> None:
    if form not in _STEPS:
        raise ParameterError(f"form is {form!r}; expected one of {nearest(str(form), tuple(_STEPS))}")
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 0):
        raise ParameterError(f"steps is {steps!r}; expected a whole number from 0")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise ParameterError(f"entropy_weight is {weight!r}; expected a number from 0")


def _check_seeds(seeds: Tensor, attention: Tensor) -> None:
    _check_maps(seeds)
    if tuple(attention.shape) != (*seeds.shape[1:], *seeds.shape[1:]):
        raise ParameterError(
            f"seeds are {tuple(seeds.shape)} and attention {tuple(attention.shape)}; expected (word, height, width) "
            "and (height, width, height, width) of the same grid: resize the words' maps to it"
        )


def _check_maps(maps: Tensor) -> None:
    if maps.ndim != 3 or 0 in maps.shape or not maps.is_floating_point():
        raise ParameterError(
            f"words' maps are {maps.dtype} of shape {tuple(maps.shape)}; expected floating-point (word, height, width)"
        )
    if not maps.isfinite().all() or (maps < 0).any():
        raise ParameterError(
            "words' maps hold NaN, infinite or negative numbers; expected attention, 0 or more"
        )
