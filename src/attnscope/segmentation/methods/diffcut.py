"""DiffCut: recursive normalised cuts of features, the output of one module, in place of attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from attnscope.errors import ParameterError
from attnscope.ncut.affinity import SHARPNESS
from attnscope.ncut.features import LIMIT, feature_cut
from attnscope.ncut.recursion import MOST_SEGMENTS
from attnscope.segmentation.basis import Basis
from attnscope.segmentation.recipe import WEAK, Found, check_weak

TIMESTEP = 50
"""Of the pass over a photo; Couairon et al. 2024."""
NOISE_SEED = 42
"""Of its noise: the seed of the authors' program, whose generator is the device's."""


@dataclass(frozen=True)
class DiffCutRecipe:
    """The choices of DiffCut, see `attnscope.ncut.feature_cut`.

    Attributes:
        sharpness: Exponent of the likeness; more part places that are less unlike.
        limit: Cuts of this NCut or more are not made; None: the widest gap between the picture's own cuts.
        most: No more segments than this.
        fit: Draw segments to the picture's own edges.
        unite: Segments of one word are one segment.
        weak: The least score of a segment's name, see `attnscope.segment`.
    """

    method: ClassVar[str] = "diffcut"
    sharpness: float = SHARPNESS
    limit: float | None = LIMIT
    most: int = MOST_SEGMENTS
    fit: bool = False
    unite: bool = True
    weak: float = WEAK

    def __post_init__(self) -> None:
        """The other numbers are checked where they are used."""
        check_weak(self.weak)

    def __str__(self) -> str:
        limit = "by the widest gap" if self.limit is None else f"below {self.limit:g}"
        return f"normalised cuts of features {limit}"

    @property
    def least_score(self) -> float:
        """Of a name."""
        return self.weak

    def find(self, basis: Basis, words: Sequence[int]) -> Found:
        """Cut.

        Args:
            basis: The picture's features.
            words: Not asked here.

        Raises:
            ParameterError: There are no features.
        """
        if basis.features is None:
            raise ParameterError(
                "the method 'diffcut' cuts by features, the output of a module, and none were kept here: segment the "
                "photo with method='diffcut', or with features='...attn1' beside another method; or capture the run "
                "with outputs=['...attn1'], the path of the last self-attention of the last down block, and segment "
                "its trace"
            )
        maps = feature_cut(basis.features, sharpness=self.sharpness, limit=self.limit, most=self.most)
        return Found(maps, self)
