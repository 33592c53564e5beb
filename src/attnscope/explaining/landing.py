"""Where a word landed, in numbers: how much, how much together, where it leads, on what it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer

from attnscope.heatmap.result import HeatMap
from attnscope.places.statistics import Statistics

Map = Float[np.ndarray, "height width"]
ALIKE, MOSTLY = 0.65, 0.5
EVEN_THIRDS = ("top", "middle", "bottom"), ("left", "middle", "right")


@dataclass(frozen=True)
class Landing:
    """Where a word landed. Shares are of all of the attention of a place, 0..1.

    Attributes:
        share: The mean over the picture, of all its tokens together.
        rank: 1 for the word of the text with the largest share; function words don't count.
        peak: The largest share that a token of it gets at any place, as on its heat map.
        peak_at: (row, column) of that place on the latent grid.
        where: The same in words, such as 'top left'.
        area: Part of the picture where its map is at least 0.4 of its peak.
        spread: Part of the picture that the map would fill evenly: 2 to its entropy, over the places. 1 is everywhere.
        leads: Part of the picture where a token of it gets more than one of any other word that may show something;
            words that stand right before it, as red before house, don't count.
    """

    share: float
    rank: int
    peak: float
    peak_at: tuple[int, int]
    where: str
    area: float
    spread: float
    leads: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "peak_at": list(self.peak_at)}


@dataclass(frozen=True)
class Overlap:
    """How two words' maps lie on each other.

    Attributes:
        other: The other word; 'blue (2)' is the second blue of the text.
        lies_on: Part of the word's own map that lies where the other's map is at least 0.4 of its peak.
        chance: Part of the picture that this place is: what an even map would reach.
        alike: What the two maps have in common, each of sum 1: 1 for equal ones.
    """

    other: str
    lies_on: float
    chance: float
    alike: float

    @property
    def lies_together(self) -> bool:
        """Whether the two maps are alike, or the word is mostly on the other's place and not by chance.

        In pictures of the demo model a colour has 0.83 or more in common with its thing nine times of ten, and with
        other things less than 0.6.
        """
        is_inside = self.lies_on >= MOSTLY and self.lies_on >= 3 * self.chance
        return self.alike >= ALIKE or is_inside


@dataclass(frozen=True)
class InSegments:
    """How a word's map agrees with the segments that self-attention makes.

    Attributes:
        segment: Number of the segment that fits its map best.
        iou: Intersection over union of both, the map's place being where it is at least 0.4 of its peak.
        inside: Part of the word's map that lies in that segment.
        area: Part of the picture that the segment is.
        best_word: The word that gets most attention inside the segment, beside what it gets in the picture.
    """

    segment: int
    iou: float
    inside: float
    area: float
    best_word: str | None


def landings(
    maps: Sequence[HeatMap],
    tokens: Sequence[int],
    rivals: Sequence[Sequence[int]],
    modifiers: Sequence[Sequence[int]],
) -> list[Landing]:
    """Where each of several words landed.

    Args:
        maps: A heat map for each word.
        tokens: How many tokens each word has.
        rivals: For each word the numbers of the words that it is compared with.
        modifiers: For each word the numbers of those among them that stand right before it.
    """
    shares = [
        float(heat.array.mean(dtype=np.float64)) * count for heat, count in zip(maps, tokens, strict=True)
    ]
    made = []
    for at, heat in enumerate(maps):
        statistics = Statistics.of(np.asarray(heat))
        others = [np.asarray(maps[other]) for other in rivals[at] if other not in modifiers[at]]
        made.append(
            Landing(
                shares[at],
                1 + sum(shares[other] > shares[at] for other in rivals[at]),
                statistics.maximum,
                statistics.peak,
                place_in_words(heat.peak, heat.array.shape),
                float(heat.mask().mean()),
                float(2**statistics.entropy_bits / heat.array.size) if statistics.maximum > 0 else 1.0,
                float((np.asarray(heat) > np.max([np.zeros(heat.array.shape), *others], axis=0)).mean()),
            )
        )
    return made


def overlap(heat: HeatMap, other: HeatMap, name: str | None = None) -> Overlap:
    """How a word's map lies on another's.

    Args:
        heat: The word's map.
        other: The other's.
        name: What the other is called; its word by default.
    """
    own, theirs, place = _even_sum(heat.array), _even_sum(other.array), other.mask()
    return Overlap(
        name or other.word, float(own[place].sum()), float(place.mean()), float(np.minimum(own, theirs).sum())
    )


def in_segments(
    heat: HeatMap, labels: Integer[np.ndarray, "height width"], maps: Mapping[str, HeatMap]
) -> InSegments | None:
    """How a word's map agrees with segments.

    Args:
        heat: The word's map.
        labels: The segment of every pixel.
        maps: The maps of all words that may name a segment.

    Returns:
        None for a word without any attention.
    """
    if not heat.mask().any():
        return None
    small, own = labels_at(labels, heat.array.shape), _even_sum(heat.array)
    ious = {int(number): heat.iou(small == number) for number in np.unique(small)}
    best = max(ious, key=lambda number: ious[number])
    inside = small == best
    fits = {word: _contrast(of_word.array, inside) for word, of_word in maps.items()}
    name = max(fits, key=lambda word: fits[word]) if fits and max(fits.values()) >= 1 else None
    return InSegments(best, ious[best], float(own[inside].sum()), float(inside.mean()), name)


def labels_at(
    labels: Integer[np.ndarray, "h w"], size: tuple[int, ...]
) -> Integer[np.ndarray, "height width"]:
    """Labels at the size of a map: of each place the pixel in its middle.

    Args:
        labels: The segment of every pixel.
        size: Height and width of the map.
    """
    rows, columns = (
        np.minimum((np.arange(to) + 0.5) * side // to, side - 1).astype(int)
        for side, to in zip(labels.shape, size, strict=True)
    )
    return labels[np.ix_(rows, columns)]


def place_in_words(at: tuple[int, int], shape: tuple[int, ...]) -> str:
    """A place of a picture, such as 'top left' or 'in the middle'.

    Args:
        at: (row, column).
        shape: Rows and columns of the grid.

    >>> place_in_words((3, 30), (32, 32))
    'top right'
    """
    row, column = (
        names[min(3 * (2 * number + 1) // (2 * count), 2)]
        for names, number, count in zip(EVEN_THIRDS, at, shape, strict=True)
    )
    if row == column:
        return "in the middle"
    return (
        f"{row} {column}".replace("middle left", "left")
        .replace("middle right", "right")
        .replace(" middle", "")
    )


def _even_sum(array: Map) -> Map:
    total = array.sum(dtype=np.float64)
    return array / total if total > 0 else np.full(array.shape, 1 / array.size)


def _contrast(array: Map, inside: Bool[np.ndarray, "height width"]) -> float:
    mean = array.mean()
    return float(array[inside].mean() / mean) if mean > 0 else 0.0
