"""A trace that the viewer shows: what it is called, what is in it, and answers that are kept."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from attnscope.errors import SelectionError, TraceFormatError, describe_numbers
from attnscope.records import KINDS, Layer
from attnscope.segmentation.methods.diffseg import recommended_threshold
from attnscope.storage.manifest import MANIFEST
from attnscope.storage.pictures import size_of_picture
from attnscope.trace.files import load_trace, trace_folder
from attnscope.trace.texts import read_text
from attnscope.trace.trace import Trace
from attnscope.viewer.schemas import ImageInfo, LayerInfo, StepInfo, TextInfo, TokenInfo, TraceInfo, WordInfo

SHARD = ".safetensors"
QUICK_PLACES = 2**16
"""Steps times places of the finest layer up to which all steps are shown at once by default."""


@dataclass(frozen=True)
class OpenTrace:
    """number: by which the browser asks for it. mark: changes when the trace does; for ETags."""

    number: int
    name: str
    folder: Path | None
    trace: Trace
    mark: str

    @classmethod
    def of(cls, number: int, source: Trace | str | Path, name: str | None = None) -> OpenTrace:
        """A trace in memory, or a folder; of one pass. name: what it is called, by default as its folder.

        Raises TraceFormatError for what is no trace, SelectionError for one without Q and K or of several passes.
        """
        own_name, folder, trace = _name_and_traces(source)
        return cls._checked(number, name or own_name, folder, trace)

    def called(self, name: str) -> OpenTrace:
        """The same trace by another name."""
        return replace(self, name=name)

    @classmethod
    def _checked(cls, number: int, name: str, folder: Path | None, trace: Trace) -> OpenTrace:
        if not trace.steps or not trace.layers:
            raise SelectionError(
                f"the trace {name!r} has no Q and K of any step, so there is nothing to look at; "
                "capture with Q and K (without qk=False or steps=[])"
            )
        mark = secrets.token_hex(8) if folder is None else _mark(folder)
        return cls(number, name, folder, trace, mark)

    def check_unchanged(self) -> None:
        """Refuse to mix what was opened with what lies in its place now.

        Raises:
            TraceFormatError: The trace's files were changed, replaced or deleted since it was opened.
        """
        if self.folder is None:
            return
        try:
            now = _mark(self.folder)
        except OSError:
            now = ""
        if now != self.mark:
            what = "replaced or changed" if now else "moved or deleted"
            raise TraceFormatError(
                f"the trace {self.name!r} was {what} since the viewer opened it: end `attnscope view` and start it "
                "again"
            )

    @property
    def info(self) -> TraceInfo:
        """Everything that the page's controls need."""
        trace, run = self.trace, self.trace.run
        threshold, source = recommended_threshold(run.model)
        return TraceInfo(
            number=self.number,
            name=self.name,
            folder=None if self.folder is None else str(self.folder),
            model=run.model,
            seed=run.seed,
            images=[self._image(image) for image in range(trace.images)],
            branches=list(trace.branches),
            steps=[StepInfo(index=step.index, timestep=float(step.timestep)) for step in trace.steps],
            layers=[self._layer(layer) for layer in trace.layers.in_parts if layer.kind in KINDS],
            not_drawn=self._not_drawn,
            size=self._size(),
            threshold=threshold,
            threshold_source=source,
            step=self._first_step(),
        )

    def _layer(self, layer: Layer) -> LayerInfo:
        whole = next(each for each in self.trace.layers if each.id == layer.record_id)
        return LayerInfo(**_only(LayerInfo, {**layer.as_dict(), "softmax": whole.keys}))

    @property
    def _not_drawn(self) -> str:
        rare = [layer for layer in self.trace.layers.in_parts if layer.kind not in KINDS]
        blocks = {
            kind: [layer.block for layer in rare if layer.kind == kind]
            for kind in (each.kind for each in rare)
        }
        return "; ".join(f"{kind}-attention (blocks: {describe_numbers(at)})" for kind, at in blocks.items())

    def _image(self, image: int) -> ImageInfo:
        size = size_of_picture(self.trace.run.pictures, image) or (None, None)
        return ImageInfo(
            texts={branch: self._text(image, branch) for branch in self.trace.branches},
            height=size[0],
            width=size[1],
        )

    def _text(self, image: int, branch: str) -> TextInfo:
        read = read_text(self.trace.run, branch, image)
        return TextInfo(
            text=read.text or "",
            tokens=[TokenInfo(index=t.index, text=t.text, role=t.role) for t in read.tokens],
            words=[WordInfo(text=span.word, tokens=list(span.tokens)) for span in read.words],
        )

    def _size(self) -> tuple[int, int]:
        if size := size_of_picture(self.trace.run.pictures, 0):
            return size
        finest = max((layer.grid for layer in self.trace.layers), key=lambda grid: grid.places)
        return self.trace.run.image_size_hw or (8 * finest.height, 8 * finest.width)

    def _first_step(self) -> int | None:
        steps, finest = self.trace.steps, max(layer.grid.places for layer in self.trace.layers)
        if len(steps) * finest <= QUICK_PLACES:
            return None
        return steps[2 * len(steps) // 3].index


def _only(model: type[BaseModel], facts: dict[str, Any]) -> dict[str, Any]:
    """Those of the facts that a model has."""
    return {name: facts[name] for name in model.model_fields}


def _name_and_traces(source: Trace | str | Path) -> tuple[str, Path | None, Trace]:
    if isinstance(source, Trace):
        return (source.passes[0].prompt() if source.passes else "") or "trace", None, source
    folder = trace_folder(Path(source).resolve())
    return folder.name, folder, load_trace(folder)


def open_traces(sources: Sequence[Trace | str | Path]) -> list[OpenTrace]:
    """Every pass of every trace, under names that differ: folders of one name get the folder above them, what is
    still alike a number."""
    opened: list[OpenTrace] = []
    for name, folder, trace in map(_name_and_traces, sources):
        passes = trace.passes
        for at, pass_trace in enumerate(passes):
            own = name if len(passes) == 1 else f"{name}, pass {at}"
            opened.append(OpenTrace._checked(len(opened), own, folder, pass_trace))
    names = Counter(open_trace.name for open_trace in opened)
    opened = [
        replace(open_trace, name=f"{open_trace.folder.parent.name}/{open_trace.name}")
        if open_trace.folder and names[open_trace.name] > 1
        else open_trace
        for open_trace in opened
    ]
    names = Counter(open_trace.name for open_trace in opened)
    return [
        replace(open_trace, name=f"{open_trace.name} ({open_trace.number + 1})")
        if names[open_trace.name] > 1
        else open_trace
        for open_trace in opened
    ]


def _mark(folder: Path) -> str:
    """A digest of the names, sizes and times of a trace's files; what else lies beside them does not count."""
    digest = hashlib.sha256()
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name for entry in entries if entry.name == MANIFEST or entry.name.endswith(SHARD)
        )
    for name in names:
        state = os.lstat(folder / name)
        digest.update(f"{name!r} {state.st_ino} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
