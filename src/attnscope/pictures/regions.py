"""Facts about each segment of a label map: area, box, centroid, COCO run lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer


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
    rows, columns = np.ogrid[: labels.shape[0], : labels.shape[1]]
    flat = labels.ravel()
    areas = np.bincount(flat, minlength=count)
    x_sums = np.bincount(flat, weights=np.broadcast_to(columns, labels.shape).ravel(), minlength=count)
    y_sums = np.bincount(flat, weights=np.broadcast_to(rows, labels.shape).ravel(), minlength=count)
    tops, heights = _extent(labels, count)
    lefts, widths = _extent(labels.T, count)
    run_lengths = _run_lengths(labels, count)
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


def _extent(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """First line and number of lines of each segment along axis 0."""
    present = np.zeros((labels.shape[0], count), dtype=bool)
    present[np.arange(labels.shape[0])[:, None], labels] = True
    first = present.argmax(0)
    last = labels.shape[0] - 1 - present[::-1].argmax(0)
    return first, last - first + 1


def _run_lengths(labels: np.ndarray, count: int) -> list[list[int]]:
    """COCO's run lengths of every segment: pixels outside, inside, outside ... down the columns."""
    flat = labels.T.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    ends = np.append(starts[1:], flat.size)
    owners = flat[starts]
    order = np.argsort(owners, kind="stable")
    pieces = np.split(order, np.cumsum(np.bincount(owners, minlength=count))[:-1])
    lengths = []
    for runs in pieces:
        edges = np.stack([starts[runs], ends[runs]], 1).ravel()
        spans = np.diff(edges, prepend=0)
        rest = flat.size - (edges[-1] if len(edges) else 0)
        lengths.append([*spans.tolist(), int(rest)] if rest else spans.tolist())
    return lengths


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
