"""What a model is shown of a picture, and at which size segments are compared with the truth: papers differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer
from PIL import Image

from attnscope.errors import ImageError, ParameterError, nearest
from attnscope.pictures.sizes import resized, size_hw


@dataclass(frozen=True)
class Preparation:
    """A paper's way from files to what is compared.

    Attributes:
        name: Its name.
        about: What it does, in a sentence.
        square: The middle square is taken.
        less_px: The square's side is so much shorter than the picture's shorter side.
        side_px: The square is resized to it; 0 leaves the size alone.
        compared_px: Segments and truth are compared at this size; 0 for the picture's own.
    """

    name: str
    about: str
    square: bool = False
    less_px: int = 0
    side_px: int = 0
    compared_px: int = 0

    def picture(self, picture: Image.Image) -> Image.Image:
        """What is segmented.

        Args:
            picture: As the data set has it.
        """
        if self.square:
            picture = picture.crop(self._box(size_hw(picture)))
        return resized(picture, (self.side_px, self.side_px)) if self.side_px else picture

    def truth(self, truth: Integer[np.ndarray, "height width"]) -> Integer[np.ndarray, "height width"]:
        """The truth at the size of comparison, nearest pixels.

        Args:
            truth: As the data set has it.
        """
        if self.square:
            left, top, right, bottom = self._box((truth.shape[0], truth.shape[1]))
            truth = truth[top:bottom, left:right]
        return nearest_pixels(truth, self._compared((truth.shape[0], truth.shape[1])))

    def labels(self, labels: Integer[np.ndarray, "height width"]) -> Integer[np.ndarray, "height width"]:
        """Segments at the size of comparison, nearest pixels.

        Args:
            labels: Of what `picture` gave.
        """
        return nearest_pixels(labels, self._compared((labels.shape[0], labels.shape[1])))

    def _compared(self, own_hw: tuple[int, int]) -> tuple[int, int]:
        return (self.compared_px, self.compared_px) if self.compared_px else own_hw

    def _box(self, hw: tuple[int, int]) -> tuple[int, int, int, int]:
        side = min(hw) - self.less_px
        if side < 1:
            raise ImageError(
                f"a picture is {hw[0]}x{hw[1]}; {self.name} needs more than {self.less_px} pixels a side"
            )
        top, left = (hw[0] - side) // 2, (hw[1] - side) // 2
        return left, top, left + side, top + side


PREPARATIONS = {
    each.name: each
    for each in (
        Preparation("own", "The picture's own aspect ratio, compared at its own size."),
        Preparation("diffseg", "The middle square at 512x512, compared at 512x512.", True, 0, 512, 512),
        Preparation(
            "diffcut",
            "The middle square, a pixel less than the shorter side, at 1024x1024; compared at 128x128.",
            True,
            1,
            1024,
            128,
        ),
    )
}
"""By name: ours, and those of Tian et al. 2024 and of Couairon et al. 2024."""


def preparation(name: str) -> Preparation:
    """A preparation by its name.

    Args:
        name: 'own', 'diffseg' or 'diffcut'.

    Raises:
        ParameterError: There is none of this name.
    """
    if name not in PREPARATIONS:
        raise ParameterError(f"preparation is {name!r}; expected one of {nearest(name, PREPARATIONS)}")
    return PREPARATIONS[name]


def nearest_pixels(
    labels: Integer[np.ndarray, "h w"], to_hw: tuple[int, int]
) -> Integer[np.ndarray, "height width"]:
    """Labels at another size, each pixel the one under its middle.

    Args:
        labels: Numbers.
        to_hw: (height, width) in pixels.
    """
    rows, columns = (
        np.minimum((2 * np.arange(to) + 1) * side // (2 * to), side - 1)
        for side, to in zip(labels.shape, to_hw, strict=True)
    )
    return labels[rows[:, None], columns]
