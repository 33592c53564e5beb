"""A word's heat map: its numbers, and how they are drawn and written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from attnscope.errors import ParameterError
from attnscope.heatmap.drawn import SHARE, DrawnMap
from attnscope.heatmap.legend import legend_under
from attnscope.pictures.heat_colours import blend_heat, heat_picture
from attnscope.pictures.overlays import png_bytes
from attnscope.pictures.reading import Picture
from attnscope.pictures.sizes import size_hw

if TYPE_CHECKING:
    from PIL.Image import Image

MASK_THRESHOLD = 0.4
"""Share of a map's maximum from which a place counts as the word's."""


@dataclass(frozen=True, eq=False, repr=False)
class HeatMap(DrawnMap):
    """Where a word landed: the attention that it receives at each place of the picture.

    Attributes:
        array: At latent size, the share of attention that one token of the word receives, 0..1 (a sum with 'daam').
        image_size_hw: (height, width) of the picture in pixels, None if unknown.
        picture: The picture that the run made, None if the trace has none.
        tensor: The numbers in autograd's graph, for traces of `capture(grad=True)`; None for others.
        unit: What the numbers are; with a preset over how much they are summed.
    """

    array: Float[np.ndarray, "height width"]
    word: str
    image_size_hw: tuple[int, int] | None = None
    picture: Image | None = None
    tensor: torch.Tensor | None = None
    unit: str = SHARE

    @classmethod
    def of(
        cls,
        tensor: torch.Tensor,
        word: str,
        image_size_hw: tuple[int, int] | None,
        picture: Image | None,
        unit: str = SHARE,
    ) -> HeatMap:
        """A map from its numbers, which are kept in autograd's graph if they are in one.

        Args:
            tensor: The numbers.
            word: The word.
            image_size_hw: Of the picture in pixels.
            picture: The picture.
            unit: What the numbers are.
        """
        array = tensor.detach().cpu().numpy().astype(np.float32)
        return cls(array, word, image_size_hw, picture, tensor if tensor.requires_grad else None, unit)

    def __repr__(self) -> str:
        height, width = self.array.shape
        low, high = self.array.min(), self.array.max()
        return f"<HeatMap {self.word!r}, {height}x{width}, {low:.3g} to {high:.3g}, largest at {self.peak}>"

    @property
    def title(self) -> str:
        """The word."""
        return self.word

    @property
    def _colours(self) -> dict[str, Any]:
        return {"cmap": "inferno", "vmin": 0}

    @property
    def peak(self) -> tuple[int, int]:
        """(row, column) of the largest value on the latent grid."""
        row, column = np.unravel_index(int(self.array.argmax()), self.array.shape)
        return int(row), int(column)

    def mask(self, threshold: float = MASK_THRESHOLD) -> Bool[np.ndarray, "height width"]:
        """The places whose value is at least a share of the map's maximum, at latent size.

        Args:
            threshold: The share, 0..1.
        """
        if not 0 <= threshold <= 1:
            raise ParameterError(f"threshold {threshold}: expected a share of the map's maximum, 0 to 1")
        return (self.array >= threshold * self.array.max()) & (self.array > 0)

    def iou(
        self, other: HeatMap | Bool[np.ndarray, "height width"], *, threshold: float = MASK_THRESHOLD
    ) -> float:
        """Intersection over union of this map's mask and another mask, 0..1.

        Args:
            other: A heat map, or a mask of any size.
            threshold: As for `mask`.
        """
        theirs = other.mask(threshold) if isinstance(other, HeatMap) else np.asarray(other, dtype=bool)
        ours = self.mask(threshold)
        if ours.shape != theirs.shape:
            values = self.resized(theirs.shape)
            ours = (values >= threshold * self.array.max()) & (values > 0)
        union = int((ours | theirs).sum())
        return int((ours & theirs).sum()) / union if union else 1.0

    def overlay(
        self, picture: Picture | None = None, *, opacity: float = 0.75, maximum: float | None = None
    ) -> Image:
        """The map over a picture.

        Args:
            picture: Default: the picture of the run.
            opacity: Opacity of the colours where the map is largest, 0..1.
            maximum: The value with the brightest colour. Default: the map's maximum. Give one number to compare maps.

        Raises:
            ParameterError: No picture is known and none is given.
        """
        under = self._under(picture)
        top = float(self.array.max()) if maximum is None else maximum
        values = self.resized(size_hw(under)) / top if top > 0 else np.zeros(size_hw(under), np.float32)
        return blend_heat(under, values, opacity=opacity)

    def with_legend(self, picture: Picture | None = None, *, note: str = "") -> Image:
        """The map over a picture, and under it the word and the colours with their numbers.

        Args:
            picture: Default: the picture of the run. Without any the map is shown by itself.
            note: What else is written below, such as which block and step it is of.
        """
        is_alone = self.picture is None and picture is None
        shown = heat_picture(self.array) if is_alone else self.overlay(picture)
        return legend_under(shown, self.word, float(self.array.max()), self.unit, note)

    def _repr_png_(self) -> bytes:
        """For notebooks: the overlay, or the map by itself where there is no picture."""
        return png_bytes(heat_picture(self.array) if self.picture is None else self.overlay())
