"""Labels over a picture: colours, borders, names, palettes."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from PIL import Image, ImageDraw

from attnscope.errors import ParameterError
from attnscope.pictures.lettering import fitted_line, line_of
from attnscope.pictures.sizes import size_hw
from attnscope.pictures.strips import strips

MAX_COLOURS = 256  # what a PNG palette holds
SHADING = 0.7  # how strongly the light of the photo shades the colours laid over it


def segment_colours(count: int) -> UInt8[np.ndarray, "colour 3"]:
    """sRGB colours for segments 0, 1, 2, ...: equally strong, and far apart in hue from one number to the next.

    Colour n does not depend on count. Hues step by the golden angle in OKLCH; lightness and chroma repeat every five.

    Args:
        count: How many colours.
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
    in_place: bool = False,
) -> Image.Image:
    """A picture under the colours of its segments, with a thin white line between segments.

    Args:
        image: The picture.
        labels: The segment of every pixel, at the picture's size.
        names: Text to write in the middle of some of the segments, by their numbers.
        opacity: Opacity of the colours: 0 shows only the picture, 1 only the colours.
        in_place: Draw on the picture itself, which must be RGB, and return it: saves the memory of a second one.

    Raises:
        ParameterError: The sizes differ, or opacity is outside 0..1.
    """
    if labels.shape != size_hw(image):
        raise ParameterError(
            f"labels are {labels.shape[0]}x{labels.shape[1]} and the picture {image.height}x{image.width} "
            "(height x width); expected the same size"
        )
    if not 0 <= opacity <= 1:
        raise ParameterError(f"opacity is {opacity}; expected 0 (only the picture) to 1 (only the colours)")
    blended = image if in_place else image.convert("RGB").copy()
    colours, width_px = segment_colours(int(labels.max()) + 1), max(1, round(min(labels.shape) / 500))
    for rows in strips(*labels.shape):
        box = (0, rows.start, labels.shape[1], rows.stop)
        strip = _tinted(blended.crop(box), colours[labels[rows]], opacity)
        for grow_px, colour in ((width_px, (20, 22, 28)), (0, (255, 255, 255))):  # a dark seam on both sides
            mask = _lines_in(labels, rows, width_px + 2 * grow_px)
            strip.paste(colour, mask=Image.fromarray(mask.astype(np.uint8) * (110 if grow_px else 235)))
        blended.paste(strip, box)
    if names:
        _write_names(blended, labels, names)
    return blended


def _lines_in(labels: np.ndarray, rows: slice, width_px: int) -> Bool[np.ndarray, "rows width"]:
    """`boundaries` of some rows, which those near by reach into."""
    first = max(0, rows.start - width_px - 1)
    lines = boundaries(labels[first : rows.stop + width_px + 1], width_px)
    return lines[rows.start - first :][: rows.stop - rows.start]


def _tinted(photo: Image.Image, colours: UInt8[np.ndarray, "height width 3"], opacity: float) -> Image.Image:
    """The photo under colours that are lit as the photo is; a plain blend would turn both to mud."""
    light = np.asarray(photo.convert("L"), dtype=np.float32)[..., None] / 255
    contrast = min(SHADING, 5 * SHADING * (1 - opacity))  # none where only the colours are asked for
    lit = np.clip(colours * (1 + contrast * (light - 0.64)), 0, 255)
    return Image.blend(photo, Image.fromarray(lit.astype(np.uint8)), opacity)


def boundaries(
    labels: Integer[np.ndarray, "height width"], width_px: int = 1
) -> Bool[np.ndarray, "height width"]:
    """The pixels on the lines between segments. The picture's own border has none.

    Args:
        labels: The segment of every pixel.
        width_px: Width of the lines in pixels.
    """
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
    """A label map as a palette picture: a pixel's value is its segment, shown in the colour of the overlay.

    Args:
        labels: The segment of every pixel, 0..255.

    Raises:
        ParameterError: A label is outside 0..255.
    """
    if labels.min() < 0 or labels.max() >= MAX_COLOURS:
        raise ParameterError(
            f"labels go from {labels.min()} to {labels.max()}; an indexed PNG holds 0..{MAX_COLOURS - 1}. "
            "Use fewer anchors or a larger threshold"
        )
    image = Image.fromarray(labels.astype(np.uint8, copy=False))
    image.putpalette(segment_colours(MAX_COLOURS).tobytes())
    return image


def _srgb_from_oklab(lab: Float[np.ndarray, "colour 3"]) -> UInt8[np.ndarray, "colour 3"]:
    """sRGB of OKLab colours, clipped (Ottosson 2020, "A perceptual color space for image processing")."""
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
    rim_px = max(2, text_px // 9)
    for number, name in names.items():
        if not any((labels[rows] == number).any() for rows in strips(*labels.shape)):
            continue
        is_tiny = image.width < 4 * text_px  # a part of the name says more than an ellipsis
        line = line_of(name, text_px) if is_tiny else fitted_line(name, image.width - 2 * rim_px, text_px)
        height_px = line.ascent_px + line.descent_px
        y, x = _widest_place(labels, number)
        left = min(max(x - line.width_px / 2, rim_px), max(image.width - line.width_px - rim_px, rim_px))
        top = min(max(y - height_px / 2, rim_px), max(image.height - height_px - rim_px, rim_px))
        line.draw(draw, (left, top), "white", rim_px=rim_px, rim=(20, 22, 28))


def _widest_place(labels: np.ndarray, number: int, *, at_most_px: int = 192) -> tuple[float, float]:
    """(y, x) in pixels of the place that survives erosion longest, found on a coarse copy of the map."""
    step = max(1, -(-max(labels.shape) // at_most_px))
    inside = labels[step // 2 :: step, step // 2 :: step] == number
    if not inside.any():  # thinner than the coarse copy
        own = [(rows.start, *np.nonzero(labels[rows] == number)) for rows in strips(*labels.shape)]
        places = np.concatenate([np.stack([top + ys, xs], 1) for top, ys, xs in own])
        y, x = places[len(places) // 2].tolist()
        return float(y), float(x)
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


def png_bytes(image: Image.Image) -> bytes:
    """The contents of a PNG file with this picture.

    Args:
        image: The picture.
    """
    body = io.BytesIO()
    image.save(body, format="PNG")
    return body.getvalue()
