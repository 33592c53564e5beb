"""DiffCut: recursive normalised cuts of features, the output of one module, in place of attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from attnscope.errors import ParameterError
from attnscope.ncut.features import LIMIT, feature_cut
from attnscope.segmentation.basis import Basis
from attnscope.segmentation.methods.cutting import CutChoices
from attnscope.segmentation.recipe import Found

TIMESTEP = 50
"""Of the pass over a photo; Couairon et al. 2024."""
NOISE_SEED = 42
"""Of its noise: the seed of the authors' program, whose generator is the device's."""


@dataclass(frozen=True)
class DiffCutRecipe(CutChoices):
    """The choices of DiffCut, see `attnscope.ncut.feature_cut`; the others are those of all cuts.

    Attributes:
        limit: Cuts of this NCut or more are not made; None: the widest gap between the picture's own cuts.
    """

    method: ClassVar[str] = "diffcut"
    limit: float | None = LIMIT

    def __str__(self) -> str:
        return f"normalised cuts of features {self.limit_text}"

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
