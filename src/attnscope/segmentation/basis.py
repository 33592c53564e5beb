"""What methods look at: the attention of a picture, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from attnscope.diffseg.merging import ANCHORS, PRESETS, Merger
from attnscope.pictures.decoded import Decoded


@dataclass(frozen=True, eq=False, repr=False)
class Basis:
    """What methods look at: a picture's self-attention, and where each word landed. The model is not needed.

    Attributes:
        aggregated: DiffSeg's aggregate of self-attention on the latent grid, each place's map of sum 1.
        size_hw: Height and width of the labels in pixels.
        picture: The upright RGB picture that the labels lie on, None if unknown or too large to be kept.
        decode: Decodes it anew where it is too large to be kept.
        features: What one module gave, on its own grid; None where it was not asked.
        words: Words that may name segments.
        word_maps: Where each of them landed: cross-attention at the size that the model saw, None without words.
        origin: What is known of where the attention is from: timestep, noise, crop, steps ...
        model: Name of the model, for the threshold that it recommends.
    """

    aggregated: Float[Tensor, "grid_height grid_width grid_height grid_width"]
    size_hw: tuple[int, int]
    picture: Image.Image | None = None
    words: tuple[str, ...] = ()
    word_maps: Float[Tensor, "word input_height input_width"] | None = None
    origin: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    decode: Callable[[], Decoded] | None = None
    features: Float[Tensor, "feature_height feature_width channel"] | None = None
    _mergers: dict[tuple[str, Any], Merger] = field(default_factory=dict, init=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_mergers": {}}  # copies and pickles compute distances again

    def __repr__(self) -> str:
        height, width = self.aggregated.shape[:2]
        named = f", words {', '.join(self.words)}" if self.words else ""
        return f"<{type(self).__name__} of a {height}x{width} grid for {self.size_hw[0]}x{self.size_hw[1]} px{named}>"

    def merger(self, preset: str = PRESETS[0], anchors: int | tuple[int, int] = ANCHORS) -> Merger:
        """The distances that merging needs, computed once for each preset and anchors.

        Args:
            preset: "paper" or "reference".
            anchors: A side, or rows and columns.

        Cost: 0.3 s at a 64x64 grid on two cores; 16 bytes for each pair of anchor and place are kept.
        """
        merger = self._mergers.get((preset, anchors))
        if merger is None:
            merger = Merger(self.aggregated, preset, anchors=anchors)
            while len(self._mergers) > 1:  # the first, which all thresholds share, and one more
                self._mergers.popitem()
            self._mergers[preset, anchors] = merger
        return merger
