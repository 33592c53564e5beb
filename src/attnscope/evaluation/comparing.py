"""Methods side by side on the attention of one picture."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Integer
from PIL import Image

from attnscope.errors import ParameterError, nearest
from attnscope.evaluation.counting import IGNORE
from attnscope.evaluation.scoring import Scores, scores
from attnscope.files import check_free, is_folder
from attnscope.pictures.overlays import indexed_png, overlay_labels, png_bytes
from attnscope.pictures.reading import Picture
from attnscope.pictures.sheets import Tile, stacked, tile_row
from attnscope.pictures.strips import renumbered
from attnscope.pictures.writing import write_picture
from attnscope.segmentation.features import kept_module, usual_module
from attnscope.segmentation.methods import METHODS, looks_at_features
from attnscope.segmentation.result import Segmentation
from attnscope.segmentation.segment import segment
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.trace import Trace

AUTO = "auto"
"""Stands for DiffSeg with the threshold that the picture's attention gives."""
COMPARED = ("diffseg", AUTO, "ncut")
"""Where no methods are named; "words" too where there are labels."""
_COLUMNS = 4


@dataclass(frozen=True, eq=False)
class Compared:
    """What one method found.

    Attributes:
        method: Its name.
        segmentation: The segments.
        seconds: What it took, without the pass of the model that all share.
        scores: Beside the truth, None where there is none.
    """

    method: str
    segmentation: Segmentation
    seconds: float
    scores: Scores | None = None

    @property
    def said(self) -> str:
        """Counts, time and score in a line."""
        count = len(self.segmentation)
        score = f", mIoU {self.scores.miou:.3f}" if self.scores else ""
        return f"{count} segment{'s' * (count != 1)}, {self.seconds:.2f} s{score}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the pixels."""
        found = self.scores.to_dict() if self.scores else None
        return {
            "method": self.method,
            "seconds": self.seconds,
            "scores": found,
            **self.segmentation.to_dict(),
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """What several methods found in one picture.

    Attributes:
        methods: One after the other, in the order asked.
        pass_seconds: What the attention took, which all of them share.
    """

    methods: tuple[Compared, ...]
    pass_seconds: float

    def __repr__(self) -> str:
        return "\n".join(f"{compared.method}: {compared.said}" for compared in self.methods)

    def __getitem__(self, method: str) -> Segmentation:
        for compared in self.methods:
            if compared.method == method:
                return compared.segmentation
        raise KeyError(method)

    def sheet(self) -> Image.Image:
        """The picture, and what each method found, side by side: what lies on the same pixels has the same colour."""
        first = self.methods[0].segmentation
        tiles = [Tile(_shown(each.segmentation, first), each.method, each.said) for each in self.methods]
        if (picture := first.picture) is not None:
            height, width = first.labels.shape
            tiles.insert(
                0, Tile(picture, "picture", f"{width}x{height} px, attention {self.pass_seconds:.1f} s")
            )
        rows = -(-len(tiles) // _COLUMNS)
        return stacked("", "", [("", tile_row(tiles, columns=-(-len(tiles) // rows)))])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "pass_seconds": self.pass_seconds,
            "methods": [compared.to_dict() for compared in self.methods],
        }

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the sheet.

        Args:
            path: Of a PNG.
            overwrite: Write over a file that is there.

        Raises:
            OutputError: It is there already, or can't be written.
        """
        check_free([Path(path)], overwrite=overwrite)
        write_picture(self.sheet(), Path(path))
        return Path(path)

    def _repr_png_(self) -> bytes:
        return png_bytes(self.sheet())


def compare(
    picture: Picture | TraceSource,
    pipe: Any = None,
    *,
    methods: Sequence[str] | None = None,
    truth: Integer[np.ndarray, "height width"] | None = None,
    labels: str | Sequence[str] | None = None,
    fit: bool = False,
    **settings: Any,
) -> Comparison:
    """What several methods find in one picture, from one pass of the model.

    Args:
        picture: As for `attnscope.segment`: a photo, or a trace.
        pipe: As for `attnscope.segment`.
        methods: Names as for `attnscope.segment`, and "auto": DiffSeg with the threshold that is found from the
            picture's attention. By default those of attention; "words" only where there are labels. "diffcut" of a
            photo takes a pass of its own, since it has another timestep.
        truth: The true segment of every pixel, for scores; 255 is not judged.
        labels: Words, as for `attnscope.segment`.
        fit: Draw all segments to the picture's own edges.
        settings: Other keywords of `attnscope.segment` that the pass depends on, such as timestep.

    Raises:
        ParameterError: A method is unknown, "words" lacks labels, or the truth is of another size.

    Cost: one pass, and each method's own.

    >>> import attnscope
    >>> from attnscope.demo.scenes import scene
    >>> drawn = scene(3)
    >>> compared = compare(drawn.pil_image, attnscope.load_pipeline("demo"), truth=drawn.segments)
    >>> [each.method for each in compared.methods]
    ['diffseg', 'auto', 'ncut']
    """
    asked = _asked(methods, labels)
    began = time.perf_counter()
    first = segment(picture, pipe, labels=labels, **_with_features(picture, pipe, asked, settings))
    pass_seconds = time.perf_counter() - began
    if truth is not None and truth.shape != first.labels.shape:
        raise ParameterError(
            f"the truth is {truth.shape} and the labels {first.labels.shape} (height, width); expected the same size"
        )
    return Comparison(tuple(_compared(first, asked, truth, fit=fit)), pass_seconds)


def _with_features(
    picture: Picture | TraceSource, pipe: Any, methods: Sequence[str], settings: dict[str, Any]
) -> dict[str, Any]:
    """Settings by which the evidence has what every method looks at."""
    if not any(map(looks_at_features, methods)) or settings.get("features") is not None:
        return settings
    if isinstance(picture, Trace) or (isinstance(picture, str | Path) and is_folder(picture)):
        usual = kept_module(as_trace(picture), None)
    else:
        usual = usual_module(pipe)
    return {**settings, "features": usual}


def _compared(
    first: Segmentation, methods: Sequence[str], truth: np.ndarray | None, *, fit: bool
) -> Iterable[Compared]:
    for method in methods:
        began = time.perf_counter()
        changes: dict[str, Any] = {"fit": True} if fit else {}
        if method == AUTO:
            found = first.again("auto", **changes)
        else:
            found = first.again(method=method, **changes)
        yield Compared(method, found, time.perf_counter() - began, _scored(found.labels, truth))


def _scored(labels: np.ndarray, truth: np.ndarray | None) -> Scores | None:
    """Scores by the best assignment for this picture alone: the truth's own numbers are its classes."""
    if truth is None:
        return None
    numbers = np.unique(truth[truth != IGNORE])
    judged = np.where(truth == IGNORE, IGNORE, np.searchsorted(numbers, truth))
    return scores([labels], [judged], classes=len(numbers), resamples=0)


def _asked(methods: Sequence[str] | None, labels: Any) -> tuple[str, ...]:
    if methods is None:
        return (*COMPARED, "words") if labels else COMPARED
    known = (*METHODS, AUTO)
    if unknown := [method for method in methods if method not in known]:
        raise ParameterError(
            f"methods hold {unknown[0]!r}; expected some of {nearest(str(unknown[0]), known)}"
        )
    if not methods:
        raise ParameterError(f"methods are empty; expected some of {', '.join(known)}")
    return tuple(dict.fromkeys(methods))


def _shown(found: Segmentation, first: Segmentation) -> Image.Image:
    numbers = _numbers_like(found.labels, first.labels)
    labels = renumbered(found.labels, numbers.astype(np.int32))
    picture = found.picture
    if picture is None:
        return indexed_png(labels)
    names = {int(number): name for number, name in zip(numbers, found.names, strict=False) if name}
    return overlay_labels(picture, labels, names=names)


def _numbers_like(labels: np.ndarray, others: np.ndarray) -> Int[np.ndarray, " segment"]:
    """For each segment the number of the other one that it shares most pixels with, each taken once; else a new one."""
    from scipy.optimize import linear_sum_assignment

    count, known = int(labels.max()) + 1, int(others.max()) + 1
    shared = np.bincount(labels.ravel() * np.int64(known) + others.ravel(), minlength=count * known)
    rows, columns = linear_sum_assignment(shared.reshape(count, known), maximize=True)
    numbers = np.full(count, -1)
    numbers[rows] = columns
    numbers[numbers < 0] = known + np.arange((numbers < 0).sum())
    return numbers
