"""Previews of a run's steps in a trace's folder: for each image one PNG, its steps one below the other."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image as Pillow

from attnscope.pictures.writing import write_picture
from attnscope.storage.pictures import StoredPictures
from attnscope.storage.plain_files import damaged
from attnscope.storage.values import brief, items, number

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_STEPS = 1 << 14
MAX_IMAGES = 1 << 10


def write_previews(folder: Path, prefix: str, previews: Mapping[int, Sequence[Image]]) -> dict[str, Any]:
    """Write a pass's previews, and return the manifest's entry: {} without any.

    Args:
        folder: The trace's folder.
        prefix: What the files' names begin with.
        previews: By step, one an image; all of an image have one size.

    Raises:
        OutputError: A file can't be written.
    """
    if not previews:
        return {}
    digests = []
    for image, of_image in enumerate(zip(*previews.values(), strict=True)):
        path = folder / preview_name(prefix, image)
        write_picture(_stacked(of_image), path)
        digests.append(zlib.crc32(path.read_bytes()))
    return {"steps": list(previews), "digests": digests}


def parse_previews(item: Any) -> dict[str, Any]:
    """The manifest's entry, checked.

    Args:
        item: Its JSON value.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: It is no such entry.
    """
    if not item:
        return {}
    steps = [number(step, least=0) for step in items(item["steps"])]
    digests = [number(each, least=0, most=2**32 - 1) for each in items(item["digests"])]
    if set(item) != {"steps", "digests"} or steps != sorted(set(steps)) or not steps or not digests:
        raise ValueError(f"previews {brief(item)}")
    if len(steps) > MAX_STEPS or len(digests) > MAX_IMAGES:
        raise ValueError(f"previews of {len(steps)} steps and {len(digests)} images")
    return {"steps": steps, "digests": digests}


class StoredPreviews(Mapping[int, Sequence["Image"]]):
    """Previews in a trace's folder, by step, decoded when they are asked for.

    Args:
        folder: The trace's folder.
        prefix: What the files' names begin with.
        entry: The manifest's entry.

    Raises:
        TraceFormatError: A file is missing, or no PNG of a size that fits.
    """

    def __init__(self, folder: Path, prefix: str, entry: Mapping[str, Any]) -> None:
        digests = entry.get("digests", ())
        known = {preview_name(prefix, image): each for image, each in enumerate(digests)}
        self._steps: list[int] = entry.get("steps", [])
        self._stacks = StoredPictures(folder, known, _of_any_size)
        for name, (height, _) in zip(known, self._stacks.sizes, strict=True):
            if height % len(self._steps):
                raise damaged(folder / name, f"{height} rows are not {len(self._steps)} previews")

    def __getitem__(self, step: int) -> list[Image]:
        at = self._steps.index(step) if step in self._steps else None
        if at is None:
            raise KeyError(step)
        return [self._cut(stack, at) for stack in self._stacks]

    def __iter__(self) -> Iterator[int]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)

    def _cut(self, stack: Image, at: int) -> Image:
        height = stack.height // len(self._steps)
        return stack.crop((0, at * height, stack.width, (at + 1) * height))


def preview_files(prefix: str, entry: Mapping[str, Any]) -> dict[str, int]:
    """Digest of each file of previews, by name.

    Args:
        prefix: What the files' names begin with.
        entry: The manifest's entry.
    """
    return {preview_name(prefix, image): each for image, each in enumerate(entry.get("digests", ()))}


def preview_name(prefix: str, image: int) -> str:
    """File name of an image's previews.

    Args:
        prefix: What it begins with.
        image: Which image of the batch, from 0.
    """
    return f"{prefix}previews-{image:02d}.png"


def _of_any_size(contents: bytes) -> Image:
    """A picture, which may be narrower than a photo can be."""
    from attnscope.pictures.decoding import bytes_contents, decoding, opened

    with decoding("it"), opened(bytes_contents(contents, "it"), "it") as picture:
        return picture.convert("RGB")


def _stacked(pictures: Sequence[Image]) -> Image:
    width, height = pictures[0].size
    stack = Pillow.new("RGB", (width, height * len(pictures)))
    for at, picture in enumerate(pictures):
        stack.paste(picture, (0, at * height))
    return stack
