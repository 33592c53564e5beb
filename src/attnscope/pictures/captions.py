"""Names of segments, written where each segment is widest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from attnscope.pictures.lettering import Line, fitted_line, line_of
from attnscope.pictures.strips import strips

RIM = (20, 22, 28)


class Caption(NamedTuple):
    """A line of text and where it stands.

    Attributes:
        line: The text.
        left: Of its upper left corner in the whole picture, in pixels.
        top: The same.
        rim_px: Width of the dark rim around its letters.
    """

    line: Line
    left: float
    top: float
    rim_px: int

    def reaches(self, rows: slice) -> bool:
        """Whether it may touch some rows of the picture.

        Args:
            rows: From the first to the one after the last.
        """
        height_px = self.line.ascent_px + self.line.descent_px
        spare_px = height_px + self.rim_px  # letters may leave their line
        return self.top - spare_px < rows.stop and self.top + height_px + spare_px > rows.start


def placed_names(labels: np.ndarray, names: Mapping[int, str]) -> list[Caption]:
    """Each name where its segment is widest, kept inside the picture.

    Args:
        labels: The segment of every pixel.
        names: By the numbers of segments; those that have no pixel are left out.
    """
    height, width = labels.shape
    text_px = max(11, round(min(labels.shape) / 24))
    rim_px = max(2, text_px // 9)
    captions = []
    for number, name in names.items():
        if not any((labels[rows] == number).any() for rows in strips(*labels.shape)):
            continue
        is_tiny = width < 4 * text_px  # a part of the name says more than an ellipsis
        line = line_of(name, text_px) if is_tiny else fitted_line(name, width - 2 * rim_px, text_px)
        height_px = line.ascent_px + line.descent_px
        y, x = _widest_place(labels, number)
        left = min(max(x - line.width_px / 2, rim_px), max(width - line.width_px - rim_px, rim_px))
        top = min(max(y - height_px / 2, rim_px), max(height - height_px - rim_px, rim_px))
        captions.append(Caption(line, left, top, rim_px))
    return captions


def with_names(strip: Image.Image, rows: slice, captions: Iterable[Caption]) -> Image.Image:
    """Some rows of a picture, with names written on them, white with a dark rim.

    Args:
        strip: The rows.
        rows: Which they are.
        captions: All that the picture has, in their order.
    """
    near = [caption for caption in captions if caption.reaches(rows)]
    if not near:
        return strip
    first = min(
        rows.start, *(int(caption.top) for caption in near)
    )  # letters are set alike where y is positive
    canvas = Image.new("RGB", (strip.width, rows.stop - first))
    canvas.paste(strip, (0, rows.start - first))
    draw = ImageDraw.Draw(canvas)
    for line, left, top, rim_px in near:
        line.draw(draw, (left, top - first), "white", rim_px=rim_px, rim=RIM)
    return canvas.crop((0, rows.start - first, *canvas.size))


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
