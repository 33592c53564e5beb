"""Labels over a picture: colours, borders, names, palettes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, Integer, UInt8
from PIL import Image

from attnscope.errors import ParameterError
from attnscope.pictures.captions import placed_names, with_names
from attnscope.pictures.decoded import Decoded
from attnscope.pictures.lines import draw_lines
from attnscope.pictures.strips import Strips, strips

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
    overlay, top = image if in_place else Image.new("RGB", image.size), 0
    picture = Decoded(image, "the picture")
    for strip in overlay_strips(picture, labels, names=names, opacity=opacity).strips:
        overlay.paste(strip, (0, top))
        top += strip.height
    return overlay


def overlay_strips(
    picture: Decoded,
    labels: Integer[np.ndarray, "height width"],
    *,
    names: Mapping[int, str] | None = None,
    opacity: float = 0.8,
) -> Strips:
    """What `overlay_labels` gives, a few rows at a time from top to bottom.

    Args:
        picture: The picture.
        labels: As for `overlay_labels`.
        names: As for `overlay_labels`.
        opacity: As for `overlay_labels`.

    Raises:
        ParameterError: As for `overlay_labels`.
    """
    if labels.shape != picture.size_hw:
        raise ParameterError(
            f"labels are {labels.shape[0]}x{labels.shape[1]} and the picture "
            f"{picture.size_hw[0]}x{picture.size_hw[1]} (height x width); expected the same size"
        )
    if not 0 <= opacity <= 1:
        raise ParameterError(f"opacity is {opacity}; expected 0 (only the picture) to 1 (only the colours)")
    return Strips(picture.size_hw, _overlaid(picture, labels, names or {}, opacity))


def _overlaid(
    picture: Decoded, labels: np.ndarray, names: Mapping[int, str], opacity: float
) -> Iterator[Image.Image]:
    lit, captions = _lit_colours(int(labels.max()) + 1, opacity), placed_names(labels, names)
    for rows in strips(*labels.shape):
        photo = picture.rows(rows)
        strip = Image.blend(photo, _lit_as(photo, labels[rows], lit), opacity)
        draw_lines(strip, labels, rows)
        yield with_names(strip, rows, captions)


def _lit_colours(count: int, opacity: float) -> UInt8[np.ndarray, "colour light 4"]:
    """Each segment's colour in each light of the photo, 0..255; a plain blend would turn both to mud."""
    light = np.arange(256, dtype=np.float32)[:, None] / 255
    contrast = min(SHADING, 5 * SHADING * (1 - opacity))  # none where only the colours are asked for
    colours = segment_colours(count)[:, None]
    lit = np.full((count, 256, 4), 255, np.uint8)
    lit[..., :3] = np.clip(colours * (1 + contrast * (light - 0.64)), 0, 255).astype(np.uint8)
    return lit


def _lit_as(photo: Image.Image, labels: np.ndarray, lit: UInt8[np.ndarray, "colour light 4"]) -> Image.Image:
    """The segments' colours, lit as the photo is."""
    light = np.asarray(photo.convert("L"))
    pixels = lit.view(np.uint32).ravel()[labels * np.uint32(256) + light]  # a whole pixel at a time
    return Image.frombytes("RGB", photo.size, pixels.tobytes(), "raw", "RGBX")


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


def png_bytes(image: Image.Image) -> bytes:
    """The contents of a PNG file with this picture.

    Args:
        image: The picture.
    """
    body = io.BytesIO()
    image.save(body, format="PNG")
    return body.getvalue()
