"""Recursive normalised cuts of the random walk of self-attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from attnscope.ncut.maps import normalized_cut
from attnscope.segmentation.basis import Basis
from attnscope.segmentation.methods.cutting import CutChoices
from attnscope.segmentation.recipe import Found


@dataclass(frozen=True)
class NcutRecipe(CutChoices):
    """The choices of normalised cuts, see `attnscope.ncut.normalized_cut`; the others are those of all cuts.

    Attributes:
        power: Hops of the random walk; more make segments coarser.
    """

    method: ClassVar[str] = "ncut"
    power: int = 1

    def __str__(self) -> str:
        return f"normalised cuts {self.limit_text}"

    def find(self, basis: Basis, words: Sequence[int]) -> Found:
        """Cut.

        Args:
            basis: The picture's attention.
            words: Not asked here.
        """
        choices = {"power": self.power, "sharpness": self.sharpness, "limit": self.limit, "most": self.most}
        return Found(normalized_cut(basis.aggregated, **choices), self)  # type: ignore[arg-type]
