"""What one heat map has more of than another: two words, two runs, before and after an edit, other steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

from attnscope.errors import ParameterError
from attnscope.heatmap.drawn import DrawnMap
from attnscope.heatmap.result import HeatMap
from attnscope.pictures.heat_colours import blend_signed, signed_colours, signed_picture
from attnscope.pictures.maps import resize_maps
from attnscope.pictures.overlays import png_bytes
from attnscope.pictures.reading import Picture
from attnscope.pictures.sizes import size_hw

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False, repr=False)
class MapDifference(DrawnMap):
    """One heat map less another, place by place. Drawn in orange where there is more, in blue where less.

    Attributes:
        array: The first map less the second one, in their unit: positive where the first one is larger.
        words: The word of each map.
        image_size_hw: (height, width) of the picture in pixels, None if unknown.
        picture: The first map's picture, or else the second one's; None if neither has one.
        unit: What the numbers of both maps are.
    """

    array: Float[np.ndarray, "height width"]
    words: tuple[str, str]
    image_size_hw: tuple[int, int] | None
    picture: Image | None
    unit: str

    def __repr__(self) -> str:
        height, width = self.array.shape
        return (
            f"<MapDifference {self.title!r}, {height}x{width}, "
            f"{self.array.min():.3g} to {self.array.max():.3g}>"
        )

    @property
    def title(self) -> str:
        """Both words, or the one that both maps are of."""
        first, second = self.words
        return f"{first}: a less b" if first == second else f"{first} less {second}"

    @property
    def largest(self) -> float:
        """The largest number without its sign, which has the strongest colour."""
        return float(np.abs(self.array).max())

    @property
    def _colours(self) -> dict[str, Any]:
        from matplotlib.colors import ListedColormap

        ramp = ListedColormap(signed_colours(np.linspace(-1, 1, 256)) / 255)
        return {"cmap": ramp, "vmin": -self.largest, "vmax": self.largest}

    def _ground(self, picture: Image) -> Image:
        return picture.convert("L").convert("RGB")

    def overlay(
        self, picture: Picture | None = None, *, opacity: float = 0.8, largest: float | None = None
    ) -> Image:
        """The difference over a picture, which is grey and shows where there is none.

        Args:
            picture: Default: the picture of the run.
            opacity: Opacity of the colours where the difference is largest, 0..1.
            largest: The number with the strongest orange, its negative with the strongest blue. Default: the
                difference's own. Give one number to compare differences.

        Raises:
            ParameterError: No picture is known and none is given.
        """
        under = self._under(picture)
        values, top = self.resized(size_hw(under)), self.largest if largest is None else largest
        return blend_signed(under, values / top if top > 0 else np.zeros_like(values), opacity=opacity)

    def _repr_png_(self) -> bytes:
        """For notebooks: the overlay, or the difference by itself where there is no picture."""
        return png_bytes(signed_picture(self.array) if self.picture is None else self.overlay())


def difference(map_a: HeatMap, map_b: HeatMap) -> MapDifference:
    """What one heat map has more of than another: map_a less map_b.

    Args:
        map_a: The map of a word, a run, some steps; for an edit the map after it.
        map_b: What is taken from it: another word, another run, other steps; for an edit the map before it.

    Returns:
        Signed shares of attention at latent size. Where sizes differ, the smaller map is resized to the larger one's
        bilinearly: a share does not depend on how many places there are.

    Raises:
        ParameterError: The maps are of pictures of different shapes, or their numbers have different units, as with and
            without a preset.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> with attnscope.capture(pipe, kind="cross") as trace:
    ...     result = pipe("a red house", num_inference_steps=2)
    >>> attnscope.difference(attnscope.heat_map(trace, "house"), attnscope.heat_map(trace, "red")).array.shape
    (32, 32)
    """
    for name, heat in (("map_a", map_a), ("map_b", map_b)):
        if not isinstance(heat, HeatMap):
            raise ParameterError(
                f"{name} is a {type(heat).__name__}; expected a HeatMap, from attnscope.heat_map(trace, word)"
            )
    _check_units(map_a, map_b)
    shapes = map_a.array.shape, map_b.array.shape
    _check_shapes(*shapes)
    larger = max(shapes, key=lambda shape: shape[0] * shape[1])
    minuend, subtrahend = (_at_size(heat.array, larger) for heat in (map_a, map_b))
    size = map_a.image_size_hw or map_b.image_size_hw
    picture = map_b.picture if map_a.picture is None else map_a.picture
    return MapDifference(minuend - subtrahend, (map_a.word, map_b.word), size, picture, map_a.unit)


def _check_units(map_a: HeatMap, map_b: HeatMap) -> None:
    if map_a.unit != map_b.unit:
        raise ParameterError(
            f"map_a is {map_a.unit!r} and map_b {map_b.unit!r}, which can't be subtracted from each other: "
            "make both as means, without preset"
        )


def _check_shapes(shape_a: tuple[int, ...], shape_b: tuple[int, ...]) -> None:
    """Two pictures have the same places if their shapes are the same, but for what is less than a place."""
    (rows_a, columns_a), (rows_b, columns_b) = sorted((shape_a, shape_b))
    if abs(rows_b - columns_b * rows_a / columns_a) > max(1, rows_b / rows_a, columns_b / columns_a) / 2:
        raise ParameterError(
            f"map_a is {shape_a[0]}x{shape_a[1]} places and map_b {shape_b[0]}x{shape_b[1]} (height x width): pictures "
            "of different shapes have no places in common; make both pictures in one shape"
        )


def _at_size(array: Float[np.ndarray, "h w"], size: tuple[int, ...]) -> Float[np.ndarray, "height width"]:
    if array.shape == size:
        return array
    return resize_maps(torch.from_numpy(array), (size[0], size[1])).numpy()
