"""A word's heat map: its numbers, and how they are drawn and written."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from attnscope.errors import ParameterError
from attnscope.files import check_free, whole_file
from attnscope.pictures.axes import new_axes, write_title
from attnscope.pictures.heat_colours import blend_heat, heat_picture
from attnscope.pictures.maps import resize_maps
from attnscope.pictures.overlays import png_bytes
from attnscope.pictures.reading import Picture, load_picture
from attnscope.pictures.sizes import size_hw
from attnscope.pictures.writing import write_picture

if TYPE_CHECKING:
    from PIL.Image import Image

MASK_THRESHOLD = 0.4
"""Share of a map's maximum from which a place counts as the word's."""


@dataclass(frozen=True, eq=False, repr=False)
class HeatMap:
    """Where a word landed: the attention that it receives at each place of the picture.

    Attributes:
        array: At latent size, the share of attention that one token of the word receives, 0..1 (a sum with 'daam').
        image_size_hw: (height, width) of the picture in pixels, None if unknown.
        picture: The picture that the run made, None if the trace has none.
        tensor: The numbers in autograd's graph, for traces of `capture(grad=True)`; None for others.
    """

    array: Float[np.ndarray, "height width"]
    word: str
    image_size_hw: tuple[int, int] | None = None
    picture: Image | None = None
    tensor: torch.Tensor | None = None

    @classmethod
    def of(
        cls, tensor: torch.Tensor, word: str, image_size_hw: tuple[int, int] | None, picture: Image | None
    ) -> HeatMap:
        """A map from its numbers, which are kept in autograd's graph if they are in one.

        Args:
            tensor: The numbers.
            word: The word.
            image_size_hw: Of the picture in pixels.
            picture: The picture.
        """
        array = tensor.detach().cpu().numpy().astype(np.float32)
        return cls(array, word, image_size_hw, picture, tensor if tensor.requires_grad else None)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The map's numbers, for `np.asarray(heat_map)` and `plt.imshow(heat_map)`."""
        # None: as NumPy 2 means it, which NumPy 1 can't be told
        return np.asarray(self.array, dtype) if copy is None else np.array(self.array, dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        """The same word with the same numbers."""
        if not isinstance(other, HeatMap):
            return NotImplemented
        return self.word == other.word and np.array_equal(self.array, other.array)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        height, width = self.array.shape
        low, high = self.array.min(), self.array.max()
        return f"<HeatMap {self.word!r}, {height}x{width}, {low:.3g} to {high:.3g}, largest at {self.peak}>"

    @property
    def peak(self) -> tuple[int, int]:
        """(row, column) of the largest value on the latent grid."""
        row, column = np.unravel_index(int(self.array.argmax()), self.array.shape)
        return int(row), int(column)

    def resized(self, to_hw: tuple[int, int] | None = None) -> Float[np.ndarray, "height width"]:
        """The map at another size: bicubic, kept inside its own range.

        Args:
            to_hw: (height, width). Default: the picture's, or else the map's own.
        """
        target = to_hw or self.image_size_hw or self.array.shape
        larger = resize_maps(torch.from_numpy(self.array), target, mode="bicubic")
        return larger.clamp(float(self.array.min()), float(self.array.max())).numpy()

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
        under = self.picture if picture is None else load_picture(picture)
        if under is None:
            raise ParameterError(
                f"the heat map of {self.word!r} has no picture to lie on: give one, overlay(picture)"
            )
        top = float(self.array.max()) if maximum is None else maximum
        values = self.resized(size_hw(under)) / top if top > 0 else np.zeros(size_hw(under), np.float32)
        return blend_heat(under, values, opacity=opacity)

    def _repr_png_(self) -> bytes:
        """For notebooks: the overlay, or the map by itself where there is no picture."""
        return png_bytes(heat_picture(self.array) if self.picture is None else self.overlay())

    def plot(self, ax: Any = None, *, picture: Picture | None = None) -> Any:
        """Draw the overlay with matplotlib, with a colour bar of the true values, and return the axes.

        Args:
            ax: matplotlib axes. Default: a new figure.
            picture: Default: the picture of the run.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        axes = new_axes() if ax is None else ax
        under = self.picture if picture is None else load_picture(picture)
        values = self.array if under is None else self.resized(size_hw(under))
        if under is not None:
            axes.imshow(under)
        drawn = axes.imshow(values, cmap="inferno", alpha=0.6 if under is not None else 1.0, vmin=0)
        axes.figure.colorbar(drawn, ax=axes, label="share of attention")
        write_title(axes, self.word)
        axes.set_axis_off()
        return axes

    def save(self, path: str | Path, *, picture: Picture | None = None, overwrite: bool = False) -> Path:
        """Write the overlay or the numbers to a file, whole or not at all, and return its path.

        Args:
            path: Ends in .png, .jpg or .webp for the overlay, in .npy for the numbers.
            picture: What lies under the overlay. Default: the picture of the run.
            overwrite: Write over a file that is there already.

        Raises:
            OutputError: The file is there already, or can't be written.
            ParameterError: The name has another ending.
        """
        target = Path(path)
        if target.suffix.lower() not in (".npy", ".png", ".jpg", ".jpeg", ".webp"):
            raise ParameterError(f"{target}: expected .png, .jpg, .webp (a picture) or .npy (the numbers)")
        check_free([target], overwrite=overwrite)
        if target.suffix.lower() != ".npy":
            write_picture(self.overlay(picture), target)
            return target
        made = io.BytesIO()  # numpy takes a write that a full disk cuts short for a whole one
        np.save(made, self.array)
        with whole_file(target) as partial:
            partial.write_bytes(made.getbuffer())
        return target
