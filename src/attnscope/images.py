"""The border to pictures: reading, sizes, colours, overlays. Sizes are (height, width) on this side of it."""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from attnscope.errors import ImageError, ParameterError

Picture: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray"
SizeHW = tuple[int, int]

MIN_SIDE_PX = 8
MAX_PIXELS = 160_000_000  # the largest cameras; 480 MB as RGB
MAX_ASPECT = (
    16  # longer side / shorter side; beyond it a latent of the model's area is thinner than its U-Net
)
MAX_COLOURS = 256  # what a PNG palette holds
SHADING = 0.7  # how strongly the light of the photo shades the colours laid over it


def load_picture(source: Picture) -> Image.Image:
    """An upright RGB picture from a file, a PIL image or an array.

    source: a path; a PIL image of any mode; an array (height, width) or (height, width, 1 | 3 | 4) of uint8,
    uint16, bool, or floats in 0..1. EXIF orientation is applied, transparency is laid over white, 16 bits
    become 8 by their high byte's scale (0..65535), of an animation the first frame counts.
    Raises ImageError for what is missing, empty, broken, no picture, smaller than 8 pixels a side or larger
    than 160 million pixels; sizes are read from the header before memory is taken.
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


def png_bytes(image: Image.Image) -> bytes:
    """The picture as a PNG file's content."""
    body = io.BytesIO()
    image.save(body, format="PNG")
    return body.getvalue()


def size_hw(image: Image.Image) -> SizeHW:
    """(height, width) of a PIL image in pixels."""
    return image.height, image.width


def fitted_size(size_hw: SizeHW, *, native_px: int, multiple_px: int) -> SizeHW:
    """(height, width) with the picture's aspect ratio, the model's area, and sides that its U-Net can halve.

    native_px: side of the square that the model was trained on. multiple_px: divides both sides.
    Of all such sizes the one with the least |log aspect error| + |log area error| / 2: shape before area.
    Raises ImageError for a picture more than 16 times as long as it is wide, or the reverse.
    """
    height, width = size_hw
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise ImageError(
            f"the picture is {height}x{width} (height x width), {max(size_hw) / min(size_hw):.0f}:1; at most "
            f"{MAX_ASPECT}:1 fits the model. Cut it into pieces, or take its middle square with crop=True"
        )
    most = MAX_ASPECT * native_px // multiple_px

    def misfit(rows: int, columns: int) -> float:
        shape, area = rows * width / (columns * height), rows * columns * (multiple_px / native_px) ** 2
        return abs(math.log(shape)) + abs(math.log(area)) / 2

    pairs = ((rows, max(round(rows * width / height), 1)) for rows in range(1, most + 1))
    rows, columns = min(pairs, key=lambda pair: misfit(*pair))
    return rows * multiple_px, columns * multiple_px


def middle_square(image: Image.Image) -> Image.Image:
    """The largest square in the middle, as the paper crops."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def resized(image: Image.Image, size_hw: SizeHW) -> Image.Image:
    """The picture at another size in pixels, smoothed before it is made smaller."""
    return (
        image
        if (image.height, image.width) == size_hw
        else image.resize(size_hw[::-1], Image.Resampling.LANCZOS)
    )


def segment_colours(count: int) -> UInt8[np.ndarray, "colour 3"]:
    """sRGB colours for segments 0, 1, ...; neighbours in number are far apart in hue, all equally strong.

    Colour n does not depend on count. Golden-angle hues in OKLCH, lightness and chroma in turns of five.
    """
    number = np.arange(count)
    hue = np.deg2rad((25 + 137.508 * number) % 360)
    lightness = np.array([0.70, 0.55, 0.83, 0.62, 0.76])[
        number % 5
    ]  # 8, 13, 21, 34 steps on, hues come close
    chroma = np.array([0.15, 0.14, 0.11, 0.14, 0.13])[number % 5]
    return _srgb_from_oklab(np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1))


def overlay_labels(
    image: Image.Image,
    labels: Integer[np.ndarray, "height width"],
    *,
    names: Mapping[int, str] | None = None,
    opacity: float = 0.8,
) -> Image.Image:
    """The picture under its segments' colours, a thin white line between segments, names in their middles.

    labels: the segment of every pixel, at the picture's size. names: text for some of the segments.
    opacity: of the colours, 0..1.
    Raises ParameterError if the sizes differ or opacity is outside its range.
    """
    if labels.shape != size_hw(image):
        raise ParameterError(
            f"labels are {labels.shape[0]}x{labels.shape[1]} and the picture {image.height}x{image.width} "
            "(height x width); expected the same size"
        )
    if not 0 <= opacity <= 1:
        raise ParameterError(f"opacity is {opacity}; expected 0 (only the picture) to 1 (only the colours)")
    blended = _tinted(image.convert("RGB"), segment_colours(int(labels.max()) + 1)[labels], opacity)
    width_px = max(1, round(min(labels.shape) / 500))
    for grow_px, colour in ((width_px, (20, 22, 28)), (0, (255, 255, 255))):  # a dark seam on both sides
        mask = boundaries(labels, width_px + 2 * grow_px)
        blended.paste(colour, mask=Image.fromarray(mask.astype(np.uint8) * (110 if grow_px else 235)))
    if names:
        _write_names(blended, labels, names)
    return blended


def _tinted(photo: Image.Image, colours: UInt8[np.ndarray, "height width 3"], opacity: float) -> Image.Image:
    """The colours, lit as the photo is, over the photo; a plain blend would mix both to mud."""
    light = np.asarray(photo.convert("L"), dtype=np.float32)[..., None] / 255
    contrast = min(SHADING, 5 * SHADING * (1 - opacity))  # none where only the colours are asked for
    lit = np.clip(colours * (1 + contrast * (light - 0.64)), 0, 255)
    return Image.blend(photo, Image.fromarray(lit.astype(np.uint8)), opacity)


def boundaries(
    labels: Integer[np.ndarray, "height width"], width_px: int = 1
) -> Bool[np.ndarray, "height width"]:
    """Pixels on the lines between segments; lines are width_px wide, none along the picture's border."""
    line = np.zeros(labels.shape, dtype=bool)
    line[1:] |= labels[1:] != labels[:-1]
    line[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    for turn in range(width_px - 1):
        wider = line.copy()
        if turn % 2:
            wider[1:] |= line[:-1]
            wider[:, 1:] |= line[:, :-1]
        else:
            wider[:-1] |= line[1:]
            wider[:, :-1] |= line[:, 1:]
        line = wider
    return line


def indexed_png(labels: Integer[np.ndarray, "height width"]) -> Image.Image:
    """The label map as a palette picture: pixel value = segment, colour = its colour in the overlay.

    Raises ParameterError for labels outside 0..255.
    """
    if labels.min() < 0 or labels.max() >= MAX_COLOURS:
        raise ParameterError(
            f"labels go from {labels.min()} to {labels.max()}; an indexed PNG holds 0..{MAX_COLOURS - 1}. "
            "Use fewer anchors or a larger threshold"
        )
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(segment_colours(MAX_COLOURS).tobytes())
    return image


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


def _srgb_from_oklab(lab: Float[np.ndarray, "colour 3"]) -> UInt8[np.ndarray, "colour 3"]:
    """Ottosson 2020, "A perceptual color space for image processing"; out of gamut is clipped."""
    to_lms = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.707614701],
        ]
    )
    linear = np.clip((lab @ to_lms.T) ** 3 @ to_rgb.T, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(srgb * 255).astype(np.uint8)


def _write_names(image: Image.Image, labels: np.ndarray, names: Mapping[int, str]) -> None:
    """Each name where its segment is widest, white with a dark rim, kept inside the picture."""
    draw = ImageDraw.Draw(image)
    text_px = max(11, round(min(image.size) / 24))
    font = ImageFont.load_default(size=text_px)
    rim_px = max(2, text_px // 9)
    for number, name in names.items():
        if not (labels == number).any():
            continue
        y, x = _widest_place(labels, number)
        left, top, right, bottom = draw.textbbox((0, 0), name, font=font, anchor="mm", stroke_width=rim_px)
        x = min(max(x, -left), max(image.width - right, -left))
        y = min(max(y, -top), max(image.height - bottom, -top))
        draw.text((x, y), name, "white", font, anchor="mm", stroke_width=rim_px, stroke_fill=(20, 22, 28))


def _widest_place(labels: np.ndarray, number: int, *, at_most_px: int = 192) -> tuple[float, float]:
    """(y, x) in pixels of the place that survives erosion longest, found on a coarse copy of the map."""
    step = max(1, -(-max(labels.shape) // at_most_px))
    inside = labels[step // 2 :: step, step // 2 :: step] == number
    if not inside.any():  # thinner than the coarse copy
        ys, xs = np.nonzero(labels == number)
        return float(ys[len(ys) // 2]), float(xs[len(xs) // 2])
    inside = np.pad(inside, 1)
    while True:
        core = inside.copy()
        core[1:-1, 1:-1] &= inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        if not core.any():
            break
        inside = core
    ys, xs = np.nonzero(inside)
    middle = np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2)
    return (ys[middle] - 1) * step + step // 2, (xs[middle] - 1) * step + step // 2
