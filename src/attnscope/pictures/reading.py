"""A picture from a file, bytes, an array or Pillow: upright, in RGB and of a sane size."""

from __future__ import annotations

import os
from typing import IO, TypeAlias

import numpy as np
import torch
from PIL import Image

from attnscope.errors import ImageError
from attnscope.pictures.decoded import Decoded
from attnscope.pictures.decoding import (
    MAX_PIXELS,
    bytes_contents,
    decoding,
    file_contents,
    opened,
    shown,
    stream_contents,
)
from attnscope.pictures.orientation import turn_of
from attnscope.pictures.sizes import size_hw
from attnscope.pictures.tones import bytes_of_array, bytes_of_grey

Picture: TypeAlias = (
    "str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | np.ndarray | torch.Tensor | Decoded"
)

MIN_SIDE_PX = 8


def load_picture(source: Picture) -> Image.Image:
    """An upright RGB picture from a file, its bytes, a PIL image, an array or a tensor.

    The orientation in EXIF or XMP is applied wherever it can be read; broken EXIF is otherwise ignored. Transparent
    pixels are laid over white. Of an animation or a file of several pages the first one is read.

    Args:
        source: A path; the contents of a picture file, as bytes or an open binary file; a PIL image of any mode; or an
            array or tensor, (height, width) or (height, width, 1 | 3 | 4), of uint8, uint16, bool, or floats in 0..1.
            In 16 bits white is 65535. In PIL's float pictures it is 1, or 255, or 65535, the least that holds all
            values; in its 32-bit integers 255 or 65535. Where that would leave a picture all but black, it is refused.

    Raises:
        ImageError: The file is missing, empty, broken or no picture; or the picture has a side of less than 8 pixels,
            or more than 160 million pixels. The size is read from the header before memory is taken.
    """
    picture = decoded_picture(source).whole()
    return picture.copy() if picture is source else picture


def decoded_picture(source: Picture) -> Decoded:
    """A picture that is read as by `load_picture`, and made upright and RGB when rows of it are asked for.

    Args:
        source: As for `load_picture`, or what this function gave before.

    Raises:
        ImageError: As for `load_picture`.
    """
    if isinstance(source, Decoded):
        return source
    if isinstance(source, torch.Tensor):
        return _from_array(_array_of_tensor(source))
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        with decoding("the picture"):
            return _decoded(source, "the picture")
    name, contents = _contents(source)
    with contents, decoding(name), opened(contents, name) as picture:
        return _decoded(picture, name)


def check_header(source: Picture) -> None:
    """Refuse a picture file that is missing, none, or of no size that is read; its pixels are left alone.

    Args:
        source: A path, or a file's contents.

    Raises:
        ImageError: As for `load_picture`.
    """
    name, contents = _contents(source)
    with contents, decoding(name), opened(contents, name) as picture:
        _check_size(picture, name)


def _contents(source: Picture) -> tuple[str, IO[bytes]]:
    """What a picture file is called and what is in it."""
    if isinstance(source, str | os.PathLike):
        return shown(source), file_contents(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return "the data", bytes_contents(source, "the data")
    if hasattr(source, "read"):
        named = getattr(source, "name", None)
        name = shown(named) if isinstance(named, str) else "the open file"
        return name, stream_contents(source, name)
    raise ImageError(
        f"got a {type(source).__name__}; expected a path, a PIL image, or a uint8 array (height, width, 3)"
    )


def _decoded(image: Image.Image, name: str) -> Decoded:
    _check_size(image, name)
    image.load()
    turn = turn_of(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):  # what is white depends on all of it
        image = Image.fromarray(bytes_of_grey(image, name))
    return Decoded(image, name, turn)


def _check_size(image: Image.Image, name: str) -> None:
    height, width = size_hw(image)
    if min(height, width) < MIN_SIDE_PX:
        raise ImageError(
            f"{name} is {height}x{width} pixels (height x width); expected at least {MIN_SIDE_PX} a side; "
            "there is nothing to see in less"
        )
    check_pixels(height, width, name)


def check_pixels(height: int, width: int, name: str) -> None:
    """Refuse a picture whose pixels would take too much memory.

    Args:
        height: In pixels.
        width: In pixels.
        name: What it is called in messages.

    Raises:
        ImageError: It has more than `MAX_PIXELS`.
    """
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{name} is {height}x{width} (height x width), {height * width:,} pixels; at most {MAX_PIXELS:,} "
            "are read. Make it smaller first"
        )


def _array_of_tensor(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's numbers, from any device and of any type that NumPy lacks."""
    try:
        small = tensor.is_floating_point() and tensor.element_size() <= 2  # bfloat16, float8
        return (tensor.float() if small else tensor).numpy(force=True)
    except (RuntimeError, TypeError, NotImplementedError, ValueError) as cause:
        raise ImageError(
            f"got a tensor whose numbers can't be read ({tensor.dtype}, {tensor.layout}, on "
            f"{tensor.device}); expected a uint8 tensor (height, width, 3)"
        ) from cause


def _from_array(array: np.ndarray) -> Decoded:
    if array.ndim >= 2:
        check_pixels(array.shape[0], array.shape[1], "the array")
    tones = bytes_of_array(array)
    with decoding("the array"):
        return _decoded(Image.fromarray(tones), "the array")
