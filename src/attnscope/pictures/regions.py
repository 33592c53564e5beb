"""Facts about each segment of a label map: area, box, centroid, COCO run lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer

from attnscope.pictures.strips import strips


@dataclass(frozen=True)
class Segment:
    """One segment of a label map.

    Attributes:
        id: The segment's number in the label map.
        label: Its name, None without names.
        area: Pixels in it.
        box: (left, top, width, height) in pixels, as in COCO.
        centroid: (x, y) in pixels: the mean of the pixel centres.
        rle: COCO's compressed run lengths of the mask, {"size": [height, width], "counts": "..."}.
    """

    id: int
    label: str | None
    area: int
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    rle: dict[str, Any]


def describe_segments(
    labels: Integer[np.ndarray, "height width"], names: tuple[str | None, ...] = ()
) -> tuple[Segment, ...]:
    """Every segment that has a pixel, in the order of their numbers.

    Args:
        labels: The segment of every pixel, from 0.
        names: The label of segment 0, 1, ..., None for one without; or () for none.
    """
    count = int(labels.max()) + 1
    starts, owners = _runs(labels)
    in_rows, in_columns = _pixels_by_line(starts, owners, labels.shape, count)
    areas = in_rows.sum(0)
    y_sums, x_sums = (np.arange(len(lines)) @ lines for lines in (in_rows, in_columns))
    tops, heights = _extent(in_rows > 0)
    lefts, widths = _extent(in_columns > 0)
    run_lengths = _run_lengths(starts, owners, labels.size, count)
    return tuple(
        Segment(
            id=number,
            label=names[number] if names else None,
            area=int(areas[number]),
            box=(int(lefts[number]), int(tops[number]), int(widths[number]), int(heights[number])),
            centroid=(float(x_sums[number] / areas[number]), float(y_sums[number] / areas[number])),
            rle={"size": list(labels.shape), "counts": _packed(run_lengths[number])},
        )
        for number in np.flatnonzero(areas).tolist()
    )


def rle_mask(rle: dict[str, Any]) -> Bool[np.ndarray, "height width"]:
    """The mask that COCO run lengths stand for.

    Args:
        rle: {"size": [height, width], "counts": ...}, the counts compressed (text) or plain (a list of numbers).

    >>> rle_mask({"size": [2, 2], "counts": [1, 2, 1]}).tolist()   # down each column
    [[False, True], [True, False]]
    """
    counts = rle["counts"]
    lengths = _unpacked(counts) if isinstance(counts, str) else counts
    height, width = rle["size"]
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(width, height).T


def _pixels_by_line(
    starts: np.ndarray, owners: np.ndarray, shape: tuple[int, int], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """How many pixels of each segment lie in each row, (height, segment), and in each column, (width, segment)."""
    height, width = shape
    tops = np.union1d(starts, np.arange(width) * height)  # of pieces of runs that end with their column
    lengths = np.diff(tops, append=height * width)
    owners = owners[np.searchsorted(starts, tops, side="right") - 1].astype(np.int64)
    columns, tops = np.divmod(tops, height)
    in_columns = np.bincount(columns * count + owners, lengths, minlength=width * count).astype(np.int64)
    begun, ended = (
        np.bincount(rows * count + owners, minlength=(height + 1) * count) for rows in (tops, tops + lengths)
    )
    in_rows = (begun - ended).reshape(-1, count)[:-1].cumsum(0)
    return in_rows, in_columns.reshape(-1, count)


def _extent(present: Bool[np.ndarray, "line segment"]) -> tuple[np.ndarray, np.ndarray]:
    """First line and number of lines of each segment."""
    first = present.argmax(0)
    last = len(present) - 1 - present[::-1].argmax(0)
    return first, last - first + 1


def _run_lengths(starts: np.ndarray, owners: np.ndarray, size: int, count: int) -> list[list[int]]:
    """COCO's run lengths of every segment: pixels outside, inside, outside ... down the columns."""
    ends = np.append(starts[1:], size)
    order = np.argsort(owners, kind="stable")
    pieces = np.split(order, np.cumsum(np.bincount(owners, minlength=count))[:-1])
    lengths = []
    for runs in pieces:
        edges = np.stack([starts[runs], ends[runs]], 1).ravel()
        spans = np.diff(edges, prepend=0)
        rest = size - (edges[-1] if len(edges) else 0)
        lengths.append([*spans.tolist(), int(rest)] if rest else spans.tolist())
    return lengths


def _runs(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each run of one label begins, counted down the columns, and its label."""
    height, width = labels.shape
    heads = np.flatnonzero(labels[0, 1:] != labels[-1, :-1]) + 1  # a run may go on in the next column
    starts = [np.zeros(1, np.int64), heads * height]
    for rows in strips(height, width):
        near = labels[max(0, rows.start - 1) : rows.stop]
        y, x = np.nonzero(near[1:] != near[:-1])
        starts.append(x * height + y + (rows.stop - len(near) + 1))
    begins = np.sort(np.concatenate(starts))
    columns, rows_of_begins = np.divmod(begins, height)
    return begins, labels[rows_of_begins, columns]


def _packed(lengths: list[int]) -> str:
    """COCO's text form, 5 bits a character: from the third number on, the difference to the one before last."""
    text = []
    for at, length in enumerate(lengths):
        value = length - lengths[at - 2] if at > 2 else length
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text.append(chr(48 + bits + 32 * more))
    return "".join(text)


def _unpacked(text: str) -> list[int]:
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
            value = shift = 0
    return lengths
