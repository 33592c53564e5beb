"""A data set as plain data: its classes, its pictures, and how its masks' numbers become classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Int
from PIL import Image

from attnscope.demo.scenes import Scene, scene
from attnscope.errors import ImageError, ParameterError
from attnscope.pictures.decoding import decoding, file_contents, opened, shown
from attnscope.pictures.reading import check_pixels, load_picture

DRAWN = "scene:"
"""How the address of a picture of the demo world begins; its seed comes then."""


@dataclass(frozen=True)
class Sample:
    """A picture and its truth.

    Attributes:
        name: Unique in the data set, without ending; may hold folders.
        picture: Path of the picture, or 'scene:SEED'.
        truth: Path of the mask, or 'scene:SEED'.
    """

    name: str
    picture: str
    truth: str


@dataclass(frozen=True)
class Dataset:
    """Pictures with masks.

    Attributes:
        name: As on the command line: 'voc2012'.
        title: As in a report: 'VOC2012 val'.
        classes: Names of the classes, in order.
        samples: What there is, by name.
        mapping: The class of each number in a mask, `IGNORE`, or None where the number is none of the data set's.
        whole: How many pictures the published set has; 0 if unknown.
        note: What a reader of scores should know about the set.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    mapping: tuple[int | None, ...]
    whole: int = 0
    note: str = ""

    def __len__(self) -> int:
        return len(self.samples)

    def first(self, limit: int | None) -> Dataset:
        """The data set with its first pictures alone.

        Args:
            limit: How many; None for all of them.

        Raises:
            ParameterError: It is less than 1, or there are fewer.
        """
        if limit is None:
            return self
        if not 1 <= limit <= len(self):
            raise ParameterError(
                f"limit is {limit}; expected 1 to {len(self)}, as many pictures as there are"
            )
        return replace(self, samples=self.samples[:limit])


def picture_of(sample: Sample) -> Image.Image:
    """A sample's upright RGB picture.

    Args:
        sample: Of a data set.

    Raises:
        ImageError: It can't be read.
    """
    if sample.picture.startswith(DRAWN):
        return _drawn(sample.picture).pil_image
    return load_picture(sample.picture)


def truth_of(dataset: Dataset, sample: Sample) -> Int[np.ndarray, "height width"]:
    """The class of each pixel, `IGNORE` where nothing is judged.

    Args:
        dataset: The sample's.
        sample: One of it.

    Raises:
        ImageError: The mask can't be read, is a picture in colours, or holds a number that is no class.
    """
    if sample.truth.startswith(DRAWN):
        return _classes_of_scene(_drawn(sample.truth), dataset.classes)
    numbers = mask_numbers(sample.truth)
    table = np.array([-1 if number is None else number for number in dataset.mapping])
    classes = table[np.minimum(numbers, 255)]
    classes[numbers > 255] = -1
    if (classes < 0).any():
        wrong = int(numbers[classes < 0].min())
        raise ImageError(
            f"{sample.truth} holds the number {wrong}, which is no class of {dataset.title} ({_told(dataset)}); "
            "expected that set's own masks, not converted ones"
        )
    return classes


def _told(dataset: Dataset) -> str:
    known = [number for number, meant in enumerate(dataset.mapping) if meant is not None and number < 255]
    return f"{known[0]} to {known[-1]}, and 255 for pixels to leave out" if known else "255 alone"


def mask_numbers(path: str | Path) -> Int[np.ndarray, "height width"]:
    """A mask's numbers as they stand in the file: a palette's index or a grey value, never a colour.

    Args:
        path: A PNG.

    Raises:
        ImageError: It is missing, broken, too large, or in colours.
    """
    name = shown(path)
    with file_contents(path) as contents, decoding(name), opened(contents, name) as image:
        check_pixels(image.height, image.width, name)
        mode, numbers = image.mode, np.asarray(image)
    if mode not in ("P", "L", "1", "I", "I;16", "I;16B"):
        raise ImageError(
            f"{name} is a picture in colours ({mode}); expected a palette or grey PNG whose values are numbers of "
            "classes: take the masks as published, not converted to colours"
        )
    return numbers.astype(np.int64)


@lru_cache(maxsize=1)  # picture and truth are asked for one after the other
def _drawn(address: str) -> Scene:
    return scene(int(address.removeprefix(DRAWN)))


def _classes_of_scene(drawn: Scene, classes: tuple[str, ...]) -> np.ndarray:
    return np.array([classes.index(part) for part in drawn.parts])[drawn.segments]
