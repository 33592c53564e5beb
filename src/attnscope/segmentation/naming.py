"""Which word names a segment, and how well it fits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from attnscope.diffseg.labels import mean_inside, name_segments, unite_namesakes
from attnscope.diffseg.suppression import segment_map
from attnscope.pictures.strips import renumbered
from attnscope.segmentation.recipe import Recipe

Merged = Float[Tensor, "segment grid_height grid_width"]
_ROUNDING = 1e-9  # two sums of the same numbers, in float64
WordMaps = Float[Tensor, "word height width"]
Labels = Integer[np.ndarray, "height width"]


def names_of_segments(
    labels: Labels, merged: Merged, maps: WordMaps, words: Sequence[str], recipe: Recipe
) -> tuple[Labels, tuple[str | None, ...]]:
    """The name of each segment, None for one without, and the labels, whose namesakes are united if that is asked.

    Args:
        labels: The segment of every pixel, which may be changed.
        merged: The map of each segment on the grid.
        maps: Where each word landed.
        words: The words.
        recipe: The choices.
    """
    numbers = named_segments(labels, merged, maps, recipe.least_score)
    if recipe.unite:
        labels, numbers = united(labels, numbers)
    return labels, tuple(None if at < 0 else words[at] for at in numbers.tolist())


def named_segments(labels: Labels, merged: Merged, maps: WordMaps, weak: float) -> Int[Tensor, " segment"]:
    """The word of each segment, by its number; -1 where even the best fits worse than `weak`.

    Args:
        labels: The segment of every pixel.
        merged: The map of each segment on the grid.
        maps: Where each word landed.
        weak: The least score of a name, see `word_scores`.
    """
    at_maps = segment_map(merged, (maps.shape[1], maps.shape[2]))
    best = name_segments(at_maps, maps, count=len(merged)).cpu()
    through = _through_map(merged, maps)
    best = torch.where(best < 0, through.argmax(1), best)  # no pixel at the word maps' size
    scores = word_scores(labels, maps, count=len(merged))
    scores = torch.where(scores.isnan(), through / _means(maps), scores)
    fits = scores.gather(1, best[:, None])[:, 0] >= weak * (1 - _ROUNDING)
    return torch.where(fits, best, -1)


def word_scores(labels: Labels, maps: WordMaps, *, count: int) -> Float[Tensor, "segment word"]:
    """How much more attention each word gets inside each segment than in the picture on average: 1 is as much.

    Args:
        labels: The segment of every pixel, at any size.
        maps: Where each word landed.
        count: How many segments there are.

    Returns:
        NaN for a segment without a pixel at the size of maps.
    """
    return means_inside(labels, maps, count=count) / _means(maps)


def means_inside(labels: Labels, maps: WordMaps, *, count: int) -> Float[Tensor, "segment word"]:
    """The mean of every word's map inside every segment, at the size of the maps.

    Args:
        labels: The segment of every pixel, at any size; of each place of the maps the nearest pixel counts.
        maps: Where each word landed.
        count: How many segments there are.
    """
    rows, columns = (_nearest(side, to) for side, to in zip(labels.shape, maps.shape[1:], strict=True))
    at_maps = torch.from_numpy(labels[np.ix_(rows, columns)].astype(np.int64))
    return mean_inside(at_maps, maps.cpu(), count=count)


def _nearest(side: int, to: int) -> np.ndarray:
    """The pixel that torch takes for each place at another size."""
    return interpolate(torch.arange(side).double()[None, None], size=to, mode="nearest")[0, 0].long().numpy()


def _means(maps: WordMaps) -> Float[Tensor, " word"]:
    """The mean of each map, infinite where it is 0: a word that no place sees has the score 0."""
    means = maps.cpu().double().mean((1, 2))
    return means.masked_fill(means == 0, torch.inf)


def united(labels: Labels, named: Int[Tensor, " segment"]) -> tuple[Labels, Int[Tensor, " united"]]:
    """Segments of one word as one segment; those without a name stay apart.

    Args:
        labels: The segment of every pixel, which is changed.
        named: The word of each segment, -1 for none.

    Returns:
        The new segment of every pixel, and the word of each.
    """
    apart = -1 - torch.arange(len(named))
    numbers = unite_namesakes(torch.where(named >= 0, named, apart))
    firsts = [(numbers == number).nonzero()[0, 0] for number in numbers.unique()]
    return renumbered(labels, numbers.numpy().astype(labels.dtype)), named[torch.stack(firsts)]


def _through_map(merged: Merged, maps: WordMaps) -> Float[Tensor, "segment word"]:
    """The mean of every word's map, weighted by each segment's own map, whose sum is 1."""
    on_grid = adaptive_avg_pool2d(maps.cpu().double(), (merged.shape[1], merged.shape[2]))
    return merged.cpu().double().flatten(1) @ on_grid.flatten(1).T
