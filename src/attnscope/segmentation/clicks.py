"""Clicks on a picture, and the mask that they give."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.markov.bilateral import Upsampling
from attnscope.markov.borders import STEPS, border_scores
from attnscope.markov.flooding import flood_fill
from attnscope.markov.nearest import nearest_click
from attnscope.markov.powers import ChainPowers
from attnscope.markov.walking import THRESHOLD, iterations, start_of_place
from attnscope.pictures.axes import new_axes
from attnscope.pictures.maps import resize_maps
from attnscope.pictures.overlays import png_bytes
from attnscope.pictures.sizes import size_hw
from attnscope.records.layers import SizeHW
from attnscope.segmentation.click_overlay import Click, checked_clicks, click_overlay
from attnscope.segmentation.files import write_files

KEPT = 20
"""Maps of clicks."""
SMALLEST = 1e-7
"""Of thresholds, by which maps are divided."""


@dataclass(frozen=True, eq=False, repr=False)
class Clicks:
    """A picture that can be clicked on. The model is not needed any more.

    Attributes:
        chain: The picture's attention, sharpened and balanced, from place to place.
        grid: (height, width) of the places.
        upsample: Brings maps of the grid to the size at which clicks are decided.
        picture: Upright RGB.
        origin: Where the attention is from: timestep, layers ...
        powers: Those of the chain, with which a click takes a quarter of its time; None: it is walked step by step.
    """

    chain: Float[Tensor, "place place"]
    grid: SizeHW
    upsample: Upsampling
    picture: Image.Image
    origin: dict[str, Any]
    powers: ChainPowers | None = None
    _distances: OrderedDict[tuple[float, float, float], np.ndarray] = field(
        default_factory=OrderedDict, init=False
    )

    def __repr__(self) -> str:
        (height, width), (rows, columns) = size_hw(self.picture), self.grid
        return f"<Clicks on {height}x{width} px, by the attention of a {rows}x{columns} grid>"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_distances": OrderedDict()}

    @property
    def bytes(self) -> int:
        """What it keeps in memory before the first click; each of the last 20 clicks has a map more."""
        powers = () if self.powers is None else self.powers.transposed
        weights = (band.weights for band in self.upsample.bands)
        return sum(tensor.nbytes for tensor in (self.chain, *powers, *weights))

    def mask(
        self, plus: Sequence[Click], minus: Sequence[Click] = (), *, threshold: float = THRESHOLD
    ) -> ClickMask:
        """The mask of some clicks.

        Args:
            plus: (x, y) in pixels of the picture, from its upper left corner, on the thing.
            minus: (x, y) beside it.
            threshold: See `attnscope.markov.markov_map`.

        Raises:
            ParameterError: There is no plus click, or a click is outside of the picture or both plus and minus.

        Cost: of a click that is new: docs/clicks.md. The last 20 are kept.
        """
        pluses, minuses = self._checked(plus, "plus"), self._checked(minus, "minus")
        if not pluses:
            raise ParameterError(
                "there is no plus click; expected at least one, plus=[(x, y)], on the thing itself"
            )
        points = [self._point(click) for click in (*pluses, *minuses)]
        inside, outside = points[: len(pluses)], points[len(pluses) :]
        if both := [click for click, point in zip(pluses, inside, strict=True) if point in outside]:
            raise ParameterError(f"{both[0]} is a plus and a minus click; take one of them away")
        maps, scores = [], []
        for number, click in enumerate((*pluses, *minuses)):
            own, other = (inside, outside) if number < len(pluses) else (outside, inside)
            distances = self.distances(click, threshold)
            best, score = border_scores(distances, own, other).best
            maps.append(distances / max(best, SMALLEST))
            scores.append(score / STEPS)
        signs = [True] * len(pluses) + [False] * len(minuses)
        mask = self._at_size(nearest_click(np.stack(maps), signs, points))
        for (x, y), sign in zip((*pluses, *minuses), signs, strict=True):
            mask[min(round(y), len(mask) - 1), min(round(x), mask.shape[1] - 1)] = sign
        score = float(np.mean(scores[: len(pluses)]))
        return ClickMask(mask, score, np.stack(maps), pluses, minuses, self, threshold)

    def distances(self, click: Click, threshold: float = THRESHOLD) -> Float[np.ndarray, "height width"]:
        """How far every pixel is from a click, 0 to 1, at the size at which clicks are decided.

        Args:
            click: (x, y) in pixels of the picture.
            threshold: See `attnscope.markov.markov_map`.
        """
        key = (*click, threshold)
        if key not in self._distances:
            self._distances[key] = self._computed(click, threshold)
            while len(self._distances) > KEPT:
                self._distances.popitem(last=False)
        return self._distances[key]

    def _computed(self, click: Click, threshold: float) -> Float[np.ndarray, "height width"]:
        point = self._point(click)
        place = [
            at * (cells - 1) / side
            for at, cells, side in zip(point, self.grid, self._decided_hw, strict=True)
        ]
        start = start_of_place(place, self.grid, dtype=self.chain.dtype)
        chain = self.chain if self.powers is None else self.powers
        steps = iterations(chain, start.view(1, -1), threshold=threshold).view(self.grid)
        return _to_one(flood_fill(_to_one(self.upsample(steps).numpy()), point))

    @property
    def _decided_hw(self) -> SizeHW:
        return self.upsample.size_hw

    def _point(self, click: Click) -> tuple[int, int]:
        """(row, column) of a click at the size at which clicks are decided."""
        x, y = (
            min(round(at * to / side), to - 1)
            for at, to, side in zip(click, self._decided_hw[::-1], self.picture.size, strict=True)
        )
        return y, x

    def _checked(self, clicks: Sequence[Click], name: str) -> tuple[Click, ...]:
        return checked_clicks(clicks, name, self.picture.size)

    def _at_size(self, mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
        """A mask at the picture's own size; a pixel is in if it is more in than out."""
        if mask.shape == (size := size_hw(self.picture)):
            return mask
        return (resize_maps(torch.from_numpy(mask).float()[None], size)[0] > 0.5).numpy()


def _to_one(values: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    greatest = values.max()
    return values / greatest if greatest > 0 else values


@dataclass(frozen=True, eq=False)
class ClickMask:
    """The thing that was clicked on.

    Attributes:
        mask: Its pixels, at the picture's size.
        score: 0 to 1: how sharp the border around each plus click is beside the sharpest edge of its map, on average.
        maps: Of each click, plus clicks first: distances divided by the threshold, up to 1 within; at the size
            at which clicks are decided.
        plus: (x, y) in pixels.
        minus: (x, y) in pixels.
        clicks: What further clicks are answered from.
        threshold: At which places count as reached.
    """

    mask: Bool[np.ndarray, "height width"]
    score: float
    maps: Float[np.ndarray, "click map_height map_width"]
    plus: tuple[Click, ...]
    minus: tuple[Click, ...]
    clicks: Clicks
    threshold: float = THRESHOLD

    @property
    def picture(self) -> Image.Image:
        """The upright RGB picture."""
        return self.clicks.picture

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The mask, for `np.asarray(clicked)` and `plt.imshow(clicked)`."""
        return np.asarray(self.mask, dtype) if copy is None else np.array(self.mask, dtype, copy=copy)

    def __repr__(self) -> str:
        (height, width), share = self.mask.shape, 100 * self.mask.mean()
        counts = f"{len(self.plus)} plus, {len(self.minus)} minus"
        return f"<ClickMask {share:.1f} % of {height}x{width} px, {counts}, score {self.score:.2f}>"

    def again(self, plus: Sequence[Click] = (), minus: Sequence[Click] = ()) -> ClickMask:
        """The mask with further clicks on the same picture; the model is not needed.

        To take clicks away, give those that stay to `clicked.clicks.mask(plus, minus)`.

        Args:
            plus: (x, y) of further clicks on the thing.
            minus: (x, y) of further clicks beside it.

        Raises:
            ParameterError: A click is outside of the picture.

        Cost: of the new clicks only: docs/clicks.md.
        """
        pluses, minuses = self.clicks._checked(plus, "plus"), self.clicks._checked(minus, "minus")
        every = (*self.plus, *pluses), (*self.minus, *minuses)
        return self.clicks.mask(*every, threshold=self.threshold)

    def overlay(self, *, opacity: float = 0.6) -> Image.Image:
        """The picture, the thing in colour with a line around it, and the clicks: plus white, minus black.

        Args:
            opacity: Of the colour, 0 to 1.

        Raises:
            ParameterError: `opacity` is outside 0..1.
        """
        return click_overlay(self.picture, self.mask, self.plus, self.minus, opacity=opacity)

    def mask_image(self) -> Image.Image:
        """The mask as a picture: 255 on the thing, 0 beside it."""
        return Image.fromarray(self.mask.astype(np.uint8) * 255)

    def cutout(self) -> Image.Image:
        """The thing by itself: the picture with an alpha channel, transparent and black beside the thing."""
        nothing = Image.new("RGBA", self.picture.size)
        return Image.composite(self.picture.convert("RGBA"), nothing, self.mask_image())

    def _repr_png_(self) -> bytes:
        """For notebooks: the overlay."""
        return png_bytes(self.overlay())

    def plot(self, ax: Any = None) -> Any:
        """Draw the overlay on matplotlib axes.

        Args:
            ax: Axes to draw on; new ones by default.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        axes = new_axes() if ax is None else ax
        axes.imshow(self.overlay())
        axes.set_axis_off()
        return axes

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pixels, as plain values for JSON."""
        height, width = self.mask.shape
        return {
            "size": {"height": height, "width": width},
            "units": {"plus": "x, y in px", "minus": "x, y in px", "area": "px"},
            "plus": [list(click) for click in self.plus],
            "minus": [list(click) for click in self.minus],
            "area": int(self.mask.sum()),
            "score": self.score,
            "threshold": self.threshold,
            "origin": self.clicks.origin,
        }

    def save(self, name: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write NAME.mask.png, NAME.overlay.png and NAME.json.

        Args:
            name: NAME with or without a folder; a picture's ending or .json is taken off.
            overwrite: Write over files that are there already.

        Returns:
            The paths, in this order.

        Raises:
            OutputError: One of the files is there already, or can't be written.
        """
        pictures: dict[str, Any] = {".mask.png": self.mask_image, ".overlay.png": self.overlay}
        return write_files(Path(name), pictures, self.to_dict(), overwrite=overwrite)
