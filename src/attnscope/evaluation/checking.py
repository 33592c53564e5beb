"""What is wrong with a data set, said before the first pass of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from attnscope.errors import ImageError, ParameterError
from attnscope.evaluation.datasets import DRAWN, Dataset, Sample, picture_of, truth_of
from attnscope.pictures.sizes import size_hw


def check_dataset(
    dataset: Dataset, *, whole: bool = True, progress: Callable[[int, int], None] | None = None
) -> None:
    """Refuse a data set that is not all there, or not what it should be.

    Args:
        dataset: With the pictures that are to be judged.
        whole: As many pictures as published have to be there.
        progress: Called as progress(done, total).

    Raises:
        ParameterError: Files are missing.
        ImageError: A file is broken, a mask holds numbers that are no classes, or has another size than its picture.

    Cost: every file is decoded: 50 ms a pair of 480x640 and 0.6 s one of 1024x2048 on one busy core.
    """
    if whole and len(dataset) < dataset.whole:
        raise ParameterError(
            f"{dataset.title} has {len(dataset):,} pictures there and {dataset.whole:,} as it is published; finish the "
            f"download, or score a part with limit={len(dataset)} (--limit {len(dataset)})"
        )
    _check_files(dataset)
    wrong: list[ImageError] = []
    for done, sample in enumerate(dataset.samples, start=1):
        try:
            _check_sample(dataset, sample)
        except ImageError as error:
            wrong.append(error)
        if progress is not None:
            progress(done, len(dataset))
    if wrong:
        others = f" ({len(wrong) - 1} more of {len(dataset)} are wrong, too)" if len(wrong) > 1 else ""
        raise ImageError(f"{wrong[0]}{others}")


def _check_files(dataset: Dataset) -> None:
    for what in ("picture", "truth"):
        paths = [getattr(sample, what) for sample in dataset.samples]
        missing = [path for path in paths if not path.startswith(DRAWN) and not Path(path).is_file()]
        if missing:
            called = "pictures" if what == "picture" else "masks"
            raise ParameterError(
                f"{dataset.title} lacks {len(missing):,} of {len(paths):,} {called}, the first is {missing[0]}; finish "
                "the download"
            )


def _check_sample(dataset: Dataset, sample: Sample) -> None:
    if sample.picture.startswith(DRAWN):
        return
    truth, picture = truth_of(dataset, sample), picture_of(sample)
    if truth.shape != size_hw(picture) and truth.shape == _stored(sample.picture):
        raise ImageError(
            f"{sample.picture} is rotated by its EXIF data and its mask is not; rotate the picture itself, "
            "or remove the EXIF data"
        )
    if truth.shape != size_hw(picture):
        height, width = size_hw(picture)
        raise ImageError(
            f"{sample.truth} is {truth.shape[0]}x{truth.shape[1]} and its picture {height}x{width} (height x width); "
            "expected the same size: one of them was resized"
        )


def _stored(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return size_hw(image)
