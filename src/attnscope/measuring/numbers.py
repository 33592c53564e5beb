"""The numbers of one attention layer, for each of its heads in each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from attnscope.errors import ParameterError
from attnscope.measuring.clusters import ALIKE, clusters
from attnscope.records import Layer

Numbers = Float[np.ndarray, "step head"]
NAMES = (
    "entropy_bits",
    "entropy_share",
    "distance",
    "strongest_place",
    "text",
    "sink",
    "start",
    "end",
    "padding",
)
"""What there is of each step and head."""


@dataclass(frozen=True, eq=False, repr=False)
class LayerStatistics:
    """How one layer attends, by step and head; every number is a mean over the places of the picture.

    Attributes:
        layer: The layer: all of its softmax.
        steps: Numbers of the steps, along the first axis of every array.
        entropy_bits: Entropy of a row of P, in bits: how widely a place looks. 0 where all is on one key, log2(keys)
            where it is even.
        distance: How far a place looks: sum of P(q, k) |q - k| over the layer's own places, over the sum of P there,
            as a share of the grid's longer side. None where queries and keys are not one grid.
        even_distance: What that is where attention is even.
        strongest_place: The share of attention that the most attended place of the picture gets, by itself; even
            attention gives 1/places. None where keys are no places.
        text: The share that all tokens of the text get. None where keys are no text.
        start: The share of the start token. None where the tokens are unknown, as `end` and `padding`.
        end: The share of the end token.
        padding: The share of all padding tokens together.
        similarity: How alike two heads are: the cosine of their P, all steps and rows in one vector; 0..1.
    """

    layer: Layer
    steps: tuple[int, ...]
    entropy_bits: Numbers
    distance: Numbers | None
    even_distance: float | None
    strongest_place: Numbers | None
    text: Numbers | None
    start: Numbers | None
    end: Numbers | None
    padding: Numbers | None
    similarity: Float[np.ndarray, "head head"]

    @property
    def block(self) -> int:
        """Number of its block."""
        return self.layer.block

    @property
    def kind(self) -> str:
        """Its kind, 'self', 'cross' or another."""
        return self.layer.kind

    @property
    def entropy_share(self) -> Numbers:
        """Entropy as a share of what even attention over all keys has, log2(keys); NaN where there is one key."""
        most = np.log2(self.layer.keys)
        return self.entropy_bits / most if most > 0 else np.full_like(self.entropy_bits, np.nan)

    @property
    def sink(self) -> Numbers | None:
        """What start, end and padding tokens get together, which name nothing; None where the tokens are unknown."""
        if self.start is None or self.end is None or self.padding is None:
            return None
        return self.start + self.end + self.padding

    def numbers(self, name: str) -> Numbers | None:
        """One of the numbers, by step and head; None where the layer has no such.

        Args:
            name: Such as 'distance'.

        Raises:
            ParameterError: There is no such name.
        """
        if name not in NAMES:
            raise ParameterError(
                f"{name!r} is not a number that layers have: expected one of {', '.join(map(repr, NAMES))}"
            )
        numbers: Numbers | None = getattr(self, name)
        return numbers

    def mean(self, name: str) -> float | None:
        """The mean over steps and heads; None where the layer has no such.

        Args:
            name: As for `numbers`.
        """
        numbers = self.numbers(name)
        return None if numbers is None else float(numbers.mean())

    @property
    def mean_similarity(self) -> float | None:
        """How alike two different heads are on average; None where there is one head."""
        heads = len(self.similarity)
        if heads < 2:
            return None
        return float((self.similarity.sum() - np.trace(self.similarity)) / (heads * (heads - 1)))

    def clusters(self, alike: float = ALIKE) -> tuple[tuple[int, ...], ...]:
        """Groups of heads that do alike, the largest first.

        Args:
            alike: How alike the heads of a group are at least, on average; 0..1.

        Raises:
            ParameterError: alike is outside 0..1.
        """
        return clusters(self.similarity, alike)

    def __repr__(self) -> str:
        said = [f"{name} {mean:.3g}" for name in NAMES if (mean := self.mean(name)) is not None]
        sizes = f"{len(self.steps)} steps, {self.layer.heads} heads"
        return f"<LayerStatistics {self.layer.id}, {sizes}: {', '.join(said)}>"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: each array as lists, by step and head."""
        arrays = {name: self.numbers(name) for name in NAMES}
        return {
            "block": self.block,
            "kind": self.kind,
            "path": self.layer.path,
            "stage": self.layer.stage,
            "grid": list(self.layer.grid),
            "heads": self.layer.heads,
            "keys": self.layer.keys,
            "steps": list(self.steps),
            "even_distance": self.even_distance,
            **{name: None if array is None else array.tolist() for name, array in arrays.items()},
            "similarity": self.similarity.tolist(),
        }
