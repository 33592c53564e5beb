"""Words as segments: where each word landed, spread by self-attention; what no word reaches is background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch.nn.functional import adaptive_avg_pool2d

from attnscope.errors import ParameterError
from attnscope.segmentation.basis import Basis
from attnscope.segmentation.recipe import Found
from attnscope.segmentation.spreading import ENTROPY_WEIGHT, spread, with_background


@dataclass(frozen=True)
class WordsRecipe:
    """The choices of words as segments, see `attnscope.segmentation.spreading`.

    Attributes:
        form: How words are spread: "power", "entropy" (iSeg's) or "affinity".
        steps: How often; None: as often as suits the form.
        entropy_weight: lambda of "entropy".
        background: Share of a word's range below which a place is background, 0 to 1; None: Otsu's of the picture.
        fit: Draw segments to the picture's own edges.
    """

    method: ClassVar[str] = "words"
    unite: ClassVar[bool] = True
    least_score: ClassVar[float] = 0.0
    form: str = "power"
    steps: int | None = None
    entropy_weight: float = ENTROPY_WEIGHT
    background: float | None = None
    fit: bool = False

    def __str__(self) -> str:
        return f"words spread by {self.form}"

    def find(self, basis: Basis, words: Sequence[int]) -> Found:
        """Spread the words, and put the background below them.

        Args:
            basis: The picture's attention, with word maps.
            words: Numbers of the words that become segments.

        Raises:
            ParameterError: There are no words.
        """
        if basis.word_maps is None or not words:
            raise ParameterError(
                "the method 'words' makes segments of words: give them with labels=['house', 'sky']"
            )
        grid = (basis.aggregated.shape[0], basis.aggregated.shape[1])
        seeds = adaptive_avg_pool2d(basis.word_maps[list(words)].to(basis.aggregated), grid)
        maps = spread(
            seeds, basis.aggregated, self.form, steps=self.steps, entropy_weight=self.entropy_weight
        )
        names = (None, *(basis.words[at] for at in words))
        return Found(with_background(maps, self.background), self, names)
