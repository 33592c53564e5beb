"""What a heat map and a difference of two have in common: how numbers of places are drawn and written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

from attnscope.errors import ParameterError
from attnscope.files import check_free, whole_file
from attnscope.pictures.axes import new_axes, write_title
from attnscope.pictures.maps import resize_maps
from attnscope.pictures.reading import Picture, load_picture
from attnscope.pictures.sizes import size_hw
from attnscope.pictures.writing import write_picture

if TYPE_CHECKING:
    from PIL.Image import Image

SHARE = "share of attention"


class DrawnMap:
    """Numbers of a picture's places, at latent size.

    Attributes:
        array: The numbers.
        image_size_hw: (height, width) of the picture in pixels, None if unknown.
        picture: What the map lies on, None if there is none.
        unit: What the numbers are.
    """

    array: Float[np.ndarray, "height width"]
    image_size_hw: tuple[int, int] | None
    picture: Image | None
    unit: str

    @property
    def title(self) -> str:
        """What the map shows."""
        raise NotImplementedError

    @property
    def _colours(self) -> dict[str, Any]:
        """What matplotlib has to know of the map's colours."""
        raise NotImplementedError

    def _ground(self, picture: Image) -> Image:
        """A picture as the map lies on it in a plot."""
        return picture

    def overlay(self, picture: Picture | None = None) -> Image:
        """The map over a picture.

        Args:
            picture: Default: the picture of the run.
        """
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The map's numbers, for `np.asarray(heat_map)` and `plt.imshow(heat_map)`."""
        # None: as NumPy 2 means it, which NumPy 1 can't be told
        return np.asarray(self.array, dtype) if copy is None else np.array(self.array, dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        """The same words with the same numbers."""
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.title == other.title and np.array_equal(self.array, other.array)

    __hash__ = None  # type: ignore[assignment]

    def resized(self, to_hw: tuple[int, int] | None = None) -> Float[np.ndarray, "height width"]:
        """The map at another size: bicubic, kept inside its own range.

        Args:
            to_hw: (height, width). Default: the picture's, or else the map's own.
        """
        target = to_hw or self.image_size_hw or self.array.shape
        larger = resize_maps(torch.from_numpy(self.array), target, mode="bicubic")
        return larger.clamp(float(self.array.min()), float(self.array.max())).numpy()

    def _under(self, picture: Picture | None) -> Image:
        """What the map lies on."""
        under = self.picture if picture is None else load_picture(picture)
        if under is None:
            raise ParameterError(
                f"the heat map of {self.title!r} has no picture to be drawn on: give one, overlay(picture)"
            )
        return under

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
            axes.imshow(self._ground(under))
        drawn = axes.imshow(values, alpha=0.6 if under is not None else 1.0, **self._colours)
        axes.figure.colorbar(drawn, ax=axes, label=self.unit)
        write_title(axes, self.title)
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
