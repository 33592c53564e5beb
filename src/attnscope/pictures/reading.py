"""A picture from a file, an array or Pillow, upright, in RGB and of a sane size."""

from __future__ import annotations

import os
import warnings
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from attnscope.errors import ImageError
from attnscope.pictures.sizes import size_hw

Picture: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray"

MIN_SIDE_PX = 8
MAX_PIXELS = 160_000_000  # the largest cameras; 480 MB as RGB


def load_picture(source: Picture) -> Image.Image:
    """An upright RGB picture from a file, a PIL image or an array.

    EXIF orientation is applied. Transparent pixels are laid over white. Of an animation the first frame is read.

    Args:
        source: A path; a PIL image of any mode; or an array, (height, width) or (height, width, 1 | 3 | 4), of uint8,
            uint16, bool, or floats in 0..1. 16 bits (0..65535) are scaled to 8.

    Raises:
        ImageError: The file is missing, empty, broken or no picture; or the picture has a side of less than 8 pixels,
            or more than 160 million pixels. The size is read from the header before memory is taken.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        _check_size(source, "the picture")
        return _upright_rgb(source, "the picture")
    if isinstance(source, str | os.PathLike):
        return _from_file(Path(source))
    raise ImageError(
        f"got a {type(source).__name__}; expected a path, a PIL image, or a uint8 array (height, width, 3)"
    )


def _from_file(path: Path) -> Image.Image:
    if not path.exists():
        near = _similar_files(path)
        raise ImageError(f"no such file: {path}" + (f"; nearby there is {near}" if near else ""))
    if not path.is_file():
        raise ImageError(f"{path} is a folder; expected a picture file")
    if path.stat().st_size == 0:
        raise ImageError(
            f"{path} is empty (0 bytes); expected a picture file. Was it copied or downloaded in full?"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is checked next
            opened = Image.open(path)
    except UnidentifiedImageError as cause:
        raise ImageError(
            f"{path} is not a picture that Pillow can read; expected PNG, JPEG, TIFF, WebP ..."
        ) from cause
    except Image.DecompressionBombError as cause:
        raise ImageError(
            f"{path} is too large: {cause}; at most {MAX_PIXELS:,} pixels. Make it smaller"
        ) from cause
    except (OSError, ValueError, SyntaxError) as cause:
        raise ImageError(
            f"{path} can't be read: {cause}. Is the file complete, and may you read it?"
        ) from cause
    with opened:
        _check_size(opened, str(path))
        return _upright_rgb(opened, str(path))


def _similar_files(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return ""
    return ", ".join(repr(name) for name in get_close_matches(path.name, names, n=3, cutoff=0.6))


def _check_size(image: Image.Image, name: str) -> None:
    height, width = size_hw(image)
    if min(height, width) < MIN_SIDE_PX:
        raise ImageError(
            f"{name} is {height}x{width} pixels (height x width); expected at least {MIN_SIDE_PX} a side, "
            "there is nothing to see in less"
        )
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{name} is {height}x{width} (height x width), {height * width:,} pixels; at most {MAX_PIXELS:,} "
            "are read. Make it smaller first"
        )


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as cause:
        raise ImageError(f"{name} is broken: {cause}. Is the file complete?") from cause
    return _rgb(upright, name)


def _rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_grey(np.asarray(image), name)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _from_grey(values: np.ndarray, name: str) -> Image.Image:
    """Grey of more than 8 bits: 0..1, 0..255 or 0..65535, told apart by type and largest value."""
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535:
        raise ImageError(f"{name} has grey values from {values.min()} to {values.max()}; expected 0..65535")
    if values.dtype.kind == "f" and values.max() <= 1:
        full = 1
    else:
        full = 255 if values.dtype != np.uint16 and values.max() <= 255 else 65535
    grey = np.round(values.astype(np.float64) * (255 / full)).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _from_array(array: np.ndarray) -> Image.Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            f"got an array of shape {array.shape}; expected (height, width) or (height, width, 1 | 3 | 4)"
        )
    if array.dtype == bool:
        full = 1
    elif array.dtype in (np.uint8, np.uint16):
        full = int(np.iinfo(array.dtype).max)
    elif array.dtype.kind == "f" and np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1:
        full = 1
    else:
        raise ImageError(
            f"got an array of {array.dtype} with values from {array.min()} to {array.max()}; expected uint8, "
            "uint16, bool, or floats in 0..1"
        )
    scaled = array if array.dtype == np.uint8 else np.round(array * (255 / full)).astype(np.uint8)
    image = Image.fromarray(scaled[:, :, 0] if array.ndim == 3 and channels == 1 else scaled)
    _check_size(image, "the array")
    return _rgb(image, "the array")
