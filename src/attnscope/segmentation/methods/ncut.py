"""Recursive normalised cuts of the random walk of self-attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from attnscope.ncut.affinity import SHARPNESS
from attnscope.ncut.maps import normalized_cut
from attnscope.ncut.recursion import MOST_SEGMENTS
from attnscope.segmentation.basis import Basis
from attnscope.segmentation.recipe import WEAK, Found, check_weak


@dataclass(frozen=True)
class NcutRecipe:
    """The choices of normalised cuts, see `attnscope.ncut.normalized_cut`.

    Attributes:
        power: Hops of the random walk; more make segments coarser.
        sharpness: Exponent of the likeness; more part places that are less unlike.
        limit: Cuts of this NCut or more are not made; None: the widest gap between the picture's own cuts.
        most: No more segments than this.
        fit: Draw segments to the picture's own edges.
        unite: Segments of one word are one segment.
        weak: The least score of a segment's name, see `attnscope.segment`.
    """

    method: ClassVar[str] = "ncut"
    power: int = 1
    sharpness: float = SHARPNESS
    limit: float | None = None
    most: int = MOST_SEGMENTS
    fit: bool = False
    unite: bool = True
    weak: float = WEAK

    def __post_init__(self) -> None:
        """The other numbers are checked where they are used."""
        check_weak(self.weak)

    def __str__(self) -> str:
        limit = "by the widest gap" if self.limit is None else f"below {self.limit:g}"
        return f"normalised cuts {limit}"

    @property
    def least_score(self) -> float:
        """Of a name."""
        return self.weak

    def find(self, basis: Basis, words: Sequence[int]) -> Found:
        """Cut.

        Args:
            basis: The picture's attention.
            words: Not asked here.
        """
        choices = {"power": self.power, "sharpness": self.sharpness, "limit": self.limit, "most": self.most}
        return Found(normalized_cut(basis.aggregated, **choices), self)  # type: ignore[arg-type]
