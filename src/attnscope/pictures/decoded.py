"""A picture as its file stores it, of which upright RGB is made: whole, small, or a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from PIL import Image

from attnscope.pictures.decoding import decoding
from attnscope.pictures.orientation import Box, is_sideways, stored_box, upright
from attnscope.pictures.sizes import middle_box, resized, size_hw
from attnscope.pictures.strips import strips
from attnscope.records.layers import SizeHW

BACKGROUND = "white"
"""What transparent pixels lie over."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture, decoded and otherwise as its file stores it, so that a large one is in memory once.

    Attributes:
        stored: The pixels, of any mode with at most 8 bits a channel.
        name: What it is called in messages.
        turn: What makes it upright.
        part: (left, top, right, bottom) of the upright picture in pixels; None for all of it.
    """

    stored: Image.Image
    name: str
    turn: Image.Transpose | None = None
    part: Box | None = None

    @property
    def size_hw(self) -> SizeHW:
        """(height, width) in pixels, upright."""
        left, top, right, bottom = self._box
        return bottom - top, right - left

    @property
    def _box(self) -> Box:
        if self.part is not None:
            return self.part
        width, height = self.stored.size[::-1] if is_sideways(self.turn) else self.stored.size
        return 0, 0, width, height

    def middle_square(self) -> Decoded:
        """The largest square in the middle of it."""
        return replace(self, part=middle_box(self.size_hw))

    def whole(self) -> Image.Image:
        """The upright RGB picture; the very picture that is stored where that is so already."""
        if self.part is not None:
            return self.rows(slice(0, self.size_hw[0]))
        with decoding(self.name):
            return _rgb(upright(self.stored, self.turn))

    def rows(self, rows: slice) -> Image.Image:
        """Some rows of the upright RGB picture.

        Args:
            rows: From the first to the one after the last.
        """
        left, top, right, _ = self._box
        box = (left, top + rows.start, right, top + rows.stop)
        with decoding(self.name):
            stored = self.stored.crop(stored_box(box, self.turn, size_hw(self.stored)))
            return _rgb(upright(stored, self.turn))

    def resized(self, at_size_hw: SizeHW) -> Image.Image:
        """The upright RGB picture at another size, smoothed as by `sizes.resized`.

        Rows are made narrower first, a few at a time, and then fewer. Pillow rounds to 8 bits in between, and from
        version 13 on it begins with the columns where that is less work: a large picture then differs by 1 of 255.

        Args:
            at_size_hw: (height, width) in pixels.
        """
        height, width = self.size_hw
        narrow = Image.new("RGB", (at_size_hw[1], height))
        for rows in strips(height, width):
            strip = self.rows(rows)
            narrow.paste(resized(strip, (strip.height, at_size_hw[1])), (0, rows.start))
        return resized(narrow, at_size_hw)

    def sampled(self, at_size_hw: SizeHW) -> Float[np.ndarray, "height width 3"]:
        """The upright RGB picture at another size, 0..255: each pixel from the four nearest, and nothing smoothed.

        What torch's `interpolate(mode="bilinear")` gives, from the rows and columns that it reads.

        Args:
            at_size_hw: (height, width) in pixels.
        """
        (above, below, down), (left, right, along) = map(_between, self.size_hw, at_size_hw)
        lines = {row: np.asarray(self.rows(slice(row, row + 1)))[0] for row in {*above, *below}}
        down, along = down[:, None, None], along[:, None]
        upper, lower = (
            (1 - along) * rows[:, left] + along * rows[:, right]
            for rows in (np.stack([lines[row] for row in of]).astype(np.float32) for of in (above, below))
        )
        return (1 - down) * upper + down * lower


def _between(length: int, to: int) -> tuple[list[int], list[int], Float[np.ndarray, " place"]]:
    """For each of some places along a side the two old places around it, and how far it is from the first, 0..1."""
    at = (np.arange(to, dtype=np.float32) + np.float32(0.5)) * np.float32(length / to) - np.float32(0.5)
    at = np.clip(at, 0, None)
    first = at.astype(np.int64)
    return first.tolist(), np.minimum(first + 1, length - 1).tolist(), at - first.astype(np.float32)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "La":  # Pillow turns it into LA alone
        image = image.convert("LA")
    keyed = "transparency" in image.info and image.mode in ("1", "L", "RGB", "P")
    if keyed or image.mode in ("RGBA", "LA", "PA", "RGBa"):
        return _over_background(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _over_background(image: Image.Image) -> Image.Image:
    """The picture over white, a strip at a time."""
    result = Image.new("RGB", image.size)
    for rows in strips(image.height, image.width):
        box = (0, rows.start, image.width, rows.stop)
        layer = image.crop(box).convert("RGBA")
        result.paste(
            Image.alpha_composite(Image.new("RGBA", layer.size, BACKGROUND), layer).convert("RGB"), box
        )
    return result
