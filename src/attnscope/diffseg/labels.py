"""Names for segments: the word whose cross-attention is strongest inside."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attnscope.diffseg.aggregation import OVERFLOW
from attnscope.errors import ParameterError, WordError
from attnscope.pictures.maps import resize_maps
from attnscope.records.layers import SizeHW


def word_maps(
    layers: Iterable[tuple[Float[Tensor, "query token"], SizeHW]],
    spans: Sequence[Sequence[int]],
    size_hw: SizeHW,
    *,
    weights: Mapping[SizeHW, float] | None = None,
) -> Float[Tensor, "word height width"]:
    """One map for each word, comparable between words: the cross-attention of all layers, with unit L2 norm.

    Args:
        layers: Pairs of a head-mean cross-attention map and its grid (height, width). Layers of one grid are added and
            the sum is normalised over tokens, so a common factor does not matter.
        spans: The token numbers of each word.
        size_hw: (height, width) of the result.
        weights: One number for each grid. Default: all grids count the same, as in the authors' demonstration.

    Returns:
        Float32, not negative. A word that no place sees, for a mask hides it, is zeros.

    Raises:
        ParameterError: There are no layers, a map holds NaN or infinite numbers, a span is empty, or a token is not
            there.

    Source: Tian et al. 2024, appendix on semantic labels, and the authors' program. Differs: a word is the mean over
    all of its tokens, where they take one (see `reference_tokens`).
    """
    sums: dict[SizeHW, Tensor] = {}
    for probs, (height, width) in layers:
        _check_layer(probs, (height, width), spans)
        probs = torch.as_tensor(probs).float()
        sums[height, width] = sums[height, width] + probs if (height, width) in sums else probs
    if not sums or not spans or not all(len(span) for span in spans):
        raise ParameterError(
            f"got cross-attention of {len(sums)} grids and token spans {list(spans)}; expected at least one "
            "layer, and at least one token for every word"
        )
    result = torch.zeros((len(spans), *size_hw), device=next(iter(sums.values())).device)
    for grid, total in sums.items():
        shares = total / _or_infinite(total.sum(-1, keepdim=True))
        maps = torch.stack([shares[:, list(span)].mean(-1) for span in spans]).view(-1, *grid)
        result += resize_maps(maps, size_hw) * (1.0 if weights is None else float(weights[grid]))
    return result / _or_infinite(torch.linalg.vector_norm(result, dim=(1, 2), keepdim=True))


def _or_infinite(sums: Tensor) -> Tensor:
    """Sums to divide by, so that what sums to 0 stays 0: places, or words, that a mask hides."""
    return sums.masked_fill(sums == 0, torch.inf)


def name_segments(
    labels: Int[Tensor, "height width"], maps: Float[Tensor, "word height width"], *, count: int | None = None
) -> Int[Tensor, " segment"]:
    """The word for each segment: the one whose map has the largest mean inside it.

    Args:
        labels: From `segment_map`, at the size of maps.
        maps: From `word_maps`.
        count: How many segments there are. Needed where the last may have no pixel.

    Returns:
        The number of the word; -1 for a segment without a pixel.

    Raises:
        ParameterError: Labels and maps differ in size.

    Source: the authors' program, its vote by the mean.
    """
    labels, maps = labels.cpu(), maps.cpu()  # not every device has float64
    if labels.shape != maps.shape[1:]:
        raise ParameterError(
            f"labels are {tuple(labels.shape)} and word maps {tuple(maps.shape)}; expected (height, width) "
            "and (word, height, width) of the same size"
        )
    means = mean_inside(labels, maps, count=count)
    named = means.argmax(1)
    named[means.isnan().all(1)] = -1
    return named


def mean_inside(
    labels: Int[Tensor, "height width"], maps: Float[Tensor, "word height width"], *, count: int | None = None
) -> Float[Tensor, "segment word"]:
    """The mean of every word's map inside every segment.

    Args:
        labels: The segment of every pixel.
        maps: From `word_maps`, at the size of labels.
        count: How many segments there are. Default: up to the largest label.

    Returns:
        Float64; NaN for a segment without a pixel.
    """
    flat = labels.flatten()
    segments = int(flat.max()) + 1 if count is None else count
    sums = torch.zeros(segments, len(maps), dtype=torch.float64)
    sums.index_add_(0, flat, maps.flatten(1).T.double())
    return sums / torch.bincount(flat, minlength=segments)[:, None]


def unite_namesakes(named: Int[Tensor, " segment"]) -> Int[Tensor, " segment"]:
    """New segment numbers that make all segments of one word the same segment.

    Args:
        named: The word of each segment, from `name_segments`.

    Returns:
        The new number of each old segment, in order of first appearance.

    >>> import torch
    >>> unite_namesakes(torch.tensor([2, 0, 2, 1])).tolist()
    [0, 1, 0, 2]
    """
    first: dict[int, int] = {}
    return torch.tensor([first.setdefault(word, len(first)) for word in named.tolist()], device=named.device)


def reference_tokens(prompt: str, words: Sequence[str]) -> list[list[int]]:
    """The one token that the authors' program takes for each word: the word's place in the prompt, plus 1.

    This is wrong as soon as an earlier word has two tokens. `preset="reference"` repeats it.

    Args:
        prompt: The text in which the words stand.
        words: The words. Of a phrase only the first word counts.

    Raises:
        WordError: A word is not in the prompt.

    >>> reference_tokens("a red house", ["house"])
    [[3]]
    """
    in_prompt = re.findall(r"\w+|[^\w\s]", prompt.lower())
    tokens = []
    for word in words:
        parts = re.findall(r"\w+|[^\w\s]", word.lower())
        if not parts or parts[0] not in in_prompt:
            raise WordError(f"{word!r} is not in the prompt {prompt!r}; expected one of {in_prompt}")
        tokens.append([in_prompt.index(parts[0]) + 1])
    return tokens


def _check_layer(probs: Tensor, grid: SizeHW, spans: Sequence[Sequence[int]]) -> None:
    last = max((max(span, default=0) for span in spans), default=0)
    if probs.ndim != 2 or probs.shape[0] != grid[0] * grid[1] or probs.shape[1] <= last:
        raise ParameterError(
            f"a cross-attention map has shape {tuple(probs.shape)}; its grid {grid[0]}x{grid[1]} and token "
            f"{last} need ({grid[0] * grid[1]}, more than {last}): the mean over heads of one image"
        )
    if not probs.isfinite().all():
        raise ParameterError(
            f"a cross-attention map of the grid {grid[0]}x{grid[1]} holds NaN or infinite numbers. {OVERFLOW}"
        )
