"""The lines between segments."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Integer
from PIL import Image

DARK, LIGHT = (20, 22, 28), (255, 255, 255)
COLUMNS_AT_ONCE = 1024  # few of a large picture's blocks hold a line


def draw_lines(strip: Image.Image, labels: Integer[np.ndarray, "height width"], rows: slice) -> None:
    """Draw white lines with a dark seam on both sides on some rows of a picture.

    Args:
        strip: The rows, which are changed.
        labels: The segment of every pixel of the whole picture.
        rows: Which rows they are.
    """
    width_px = max(1, round(min(labels.shape) / 500))
    for columns in _blocks(labels, rows, 3 * width_px + 1):
        for wide_px, colour, opacity in ((3 * width_px, DARK, 110), (width_px, LIGHT, 235)):
            mask = _lines_in(labels, rows, columns, wide_px).astype(np.uint8) * np.uint8(opacity)
            box = (columns.start, 0, columns.stop, strip.height)
            strip.paste(colour, box, Image.fromarray(mask))


def _blocks(labels: np.ndarray, rows: slice, reach_px: int) -> Iterator[slice]:
    """Columns in blocks, those alone whose pixels in some rows, or some that near, are not all of one segment."""
    width = labels.shape[1]
    for left in range(0, width, COLUMNS_AT_ONCE):
        columns = slice(left, min(left + COLUMNS_AT_ONCE, width))
        near = labels[_wider(rows, reach_px), _wider(columns, reach_px)]
        if (near != near[0, 0]).any():
            yield columns


def _wider(span: slice, by_px: int) -> slice:
    return slice(max(0, span.start - by_px), span.stop + by_px)


def _lines_in(
    labels: np.ndarray, rows: slice, columns: slice, width_px: int
) -> Bool[np.ndarray, "rows columns"]:
    """`boundaries` in a part of the picture, which those near by reach into."""
    near = _wider(rows, width_px + 1), _wider(columns, width_px + 1)
    lines = boundaries(labels[near], width_px)[rows.start - near[0].start :, columns.start - near[1].start :]
    return lines[: rows.stop - rows.start, : columns.stop - columns.start]


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
    line = _grown(line, width_px // 2)
    return _grown(line[::-1, ::-1], (width_px - 1) // 2)[::-1, ::-1]


def _grown(line: Bool[np.ndarray, "height width"], by_px: int) -> Bool[np.ndarray, "height width"]:
    """Each pixel grown upwards and to the left to a triangle, of the pixels at most so far away by rows and columns.

    A triangle of side n, put down three times at most n // 2 + 1 apart, makes the larger one without a gap.
    """
    done = 0
    while done < by_px:
        step = min(done // 2 + 1, by_px - done)
        wider = line.copy()
        wider[:-step] |= line[step:]
        wider[:, :-step] |= line[:, step:]
        line, done = wider, done + step
    return line
