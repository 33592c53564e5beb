"""Something is cut out by clicks: what they are answered from is made once, in the background, and kept for a while."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response

from attnscope import places
from attnscope.errors import ParameterError, SelectionError
from attnscope.markov.chain import TEMPERATURE
from attnscope.pictures.overlays import png_bytes
from attnscope.records import Layer
from attnscope.segmentation.click_evidence import clicks_on_trace, default_layers
from attnscope.segmentation.clicks import KEPT, ClickMask, Clicks
from attnscope.trace.picture_shape import check_shows_picture
from attnscope.trace.trace import Trace
from attnscope.viewer.answers import BINARY, Answers
from attnscope.viewer.background import Background, Progress
from attnscope.viewer.naming import attachment, file_name
from attnscope.viewer.questions import MOST_STEP, Image
from attnscope.viewer.schemas import AggregateInfo, CutoutInfo

MOST_CLICKS = KEPT
"""Of one mask: so many clicks' maps are kept, and each further one would be computed again and again."""
MOST_READY, READY_BYTES = 3, 2**30
"""Pictures that are ready to be clicked on: each is 64 MiB of a 64x64 grid's chain, 320 of its powers, and weights."""
MOST_PLACES = 96 * 96
"""Of a grid that is clicked on here: a chain of 128x128 places has 1 GiB, and a click takes 9 s."""

CutFormat = Literal["bits", "mask", "picture", "json"]
_POINT = re.compile(r"(\d{1,5}),(\d{1,5})", re.ASCII)
Point = tuple[int, int]


@dataclass(frozen=True)
class ClickSource:
    """Which attention answers. block: one; by default those that `attnscope.click` takes."""

    step: int | None = None
    branch: str = "cond"
    image: int = 0
    block: int | None = None


@dataclass(frozen=True)
class Points:
    """Clicks on the thing and beside it: (x, y) in pixels of the picture, from its upper left corner."""

    plus: tuple[Point, ...]
    minus: tuple[Point, ...]


class Ready:
    """A picture that is ready to be clicked on, by one at a time.

    Args:
        clicks: What clicks are answered from.
    """

    def __init__(self, clicks: Clicks) -> None:
        self.bytes = clicks.bytes
        self._clicks, self._lock = clicks, threading.Lock()
        self._last: tuple[Points, ClickMask] | None = None

    def mask(self, points: Points) -> ClickMask:
        """The thing under some clicks.

        Args:
            points: The clicks.

        Raises:
            ParameterError: One is outside of the picture, or on and beside the thing.
        """
        with self._lock:  # the page asks for the numbers of a mask, then for its pixels
            if self._last is None or self._last[0] != points:
                self._last = points, self._clicks.mask(points.plus, points.minus)
            return self._last[1]


def _source(
    step: Annotated[int | None, Query(ge=0, le=MOST_STEP)] = None,
    branch: Annotated[str, Query(max_length=64)] = "cond",
    image: Image = 0,
    block: Annotated[int | None, Query(ge=0, le=10**4, description="The usual ones by default.")] = None,
) -> ClickSource:
    return ClickSource(step, branch, image, block)


def _points(
    plus: Annotated[list[str] | None, Query(description="x,y on the thing, in pixels.")] = None,
    minus: Annotated[list[str] | None, Query(description="x,y beside it, in pixels.")] = None,
) -> Points:
    points = Points(tuple(map(_point, plus or ())), tuple(map(_point, minus or ())))
    count = len(points.plus) + len(points.minus)
    if not points.plus or count > MOST_CLICKS:
        raise ParameterError(
            f"{len(points.plus)} plus and {len(points.minus)} minus clicks; expected at least one plus=X,Y on the "
            f"thing, and {MOST_CLICKS} clicks at most"
        )
    return points


def _point(text: str) -> Point:
    if (found := _POINT.fullmatch(text)) is None:
        raise ParameterError(f"click {text[:40]!r}: expected X,Y in whole pixels, such as 120,80")
    return int(found[1]), int(found[2])


ClickSources = Annotated[ClickSource, Depends(_source)]
ClickPoints = Annotated[Points, Depends(_points)]


class Clicking:
    """Answers to clicks.

    Args:
        answers: The viewer's.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._ready: Background[tuple[int, ClickSource], Ready] = Background(
            "attnscope-clicks", most=MOST_READY, most_bytes=READY_BYTES, size_of=lambda ready: ready.bytes
        )

    def add_routes(self, app: FastAPI) -> None:
        """Clicks at /api/traces/NUMBER/clicks, masks at /cutout.

        Args:
            app: The viewer.
        """
        of_trace = "/api/traces/{number}/"
        app.get(of_trace + "clicks", response_model=AggregateInfo)(self.state)
        app.post(of_trace + "clicks", response_model=AggregateInfo)(self.start)
        app.delete(of_trace + "clicks", response_model=AggregateInfo)(self.cancel)
        app.get(of_trace + "cutout", response_model=CutoutInfo)(self.cutout)
        app.get(of_trace + "cutout/file", response_class=Response)(self.file)

    def close(self) -> None:
        """Stop what is under way, and forget what is ready."""
        self._ready.close()

    def state(self, number: int, source: ClickSources) -> AggregateInfo:
        """How far the picture is from being ready to be clicked on."""
        self._answers.open(number)
        return self._ready.info((number, source))

    def start(self, number: int, source: ClickSources) -> AggregateInfo:
        """Make it ready to be clicked on, which takes up to ten seconds; `GET` tells how far it is."""
        trace = self._answers.open(number).trace
        check_clickable(trace, source)
        open_numbers = {opened.number for opened in self._answers.shelf}
        self._ready.keep_only(lambda key: key[0] in open_numbers)
        return self._ready.start((number, source), lambda progress: _ready(trace, source, progress)).info

    def cancel(self, number: int, source: ClickSources) -> AggregateInfo:
        """Stop it."""
        self._answers.open(number)
        self._ready.cancel((number, source))
        return self._ready.info((number, source))

    def cutout(self, request: Request, number: int, source: ClickSources, points: ClickPoints) -> Response:
        """The thing under the clicks in numbers; its pixels are at /cutout/file with the same clicks."""

        def make() -> bytes:
            return _cutout_info(self._mask(number, source, points)).model_dump_json().encode()

        self._answers.open(number)
        return self._answers.answer(request, number, "application/json", make)

    def file(
        self,
        request: Request,
        number: int,
        source: ClickSources,
        points: ClickPoints,
        format: CutFormat = "bits",
    ) -> Response:
        """The thing: a bit for every pixel, row by row; its mask or itself as PNG; or its numbers as JSON."""
        opened = self._answers.open(number)
        of_format: dict[CutFormat, tuple[str, str, Callable[[ClickMask], bytes]]] = {
            "bits": (BINARY, "", lambda mask: np.packbits(mask.mask).tobytes()),
            "mask": ("image/png", ".mask.png", lambda mask: png_bytes(mask.mask_image())),
            "picture": ("image/png", ".cutout.png", lambda mask: png_bytes(mask.cutout())),
            "json": (
                "application/json",
                ".cutout.json",
                lambda mask: json.dumps(mask.to_dict(), indent=1).encode(),
            ),
        }
        media_type, ending, made = of_format[format]
        answer = self._answers.answer(
            request, number, media_type, lambda: made(self._mask(number, source, points))
        )
        if ending:
            answer.headers.update(attachment(file_name(opened, source.image, ending=ending)))
        return answer

    def _mask(self, number: int, source: ClickSource, points: Points) -> ClickMask:
        work = self._ready.get((number, source))
        ready = None if work is None else work.value
        if ready is None:
            raise HTTPException(409, "this picture is not ready to be clicked on: POST /clicks, then wait")
        return ready.mask(points)


def check_clickable(trace: Trace, source: ClickSource) -> None:
    """Refuse what can't be clicked on, before anything is computed.

    Args:
        trace: Of one pass.
        source: Which of its attention answers.

    Raises:
        SelectionError: The trace lacks something that was chosen, or the attention that clicks need.
        ParameterError: It has no picture, or too fine a grid.
    """
    places.check_choice(trace, source.step, source.branch, source.image)
    check_shows_picture(trace.run)
    layers = _layers(trace, source)
    if trace.picture_of(source.image) is None:
        raise ParameterError(
            f"this trace holds no picture of image {source.image} to click on; capture around the whole call of the "
            "pipeline, with output_type='pil'"
        )
    if (finest := max(layer.grid.places for layer in layers)) > MOST_PLACES:
        raise ParameterError(
            f"clicks on a grid of {finest} places need a chain of {finest**2 * 4 / 2**20:.0f} MiB, and this "
            f"viewer takes {MOST_PLACES} places at most; choose a block of a coarser grid, or use "
            "attnscope.click in Python"
        )


def _layers(trace: Trace, source: ClickSource) -> list[Layer]:
    own = trace.layers.of_kind("self")
    if not own:
        raise SelectionError("this trace holds no self-attention, which clicks need: capture it")
    if source.block is not None:
        return [trace.layers[source.block, "self"]]
    try:
        return default_layers(trace)
    except SelectionError as error:
        blocks = ", ".join(str(layer.block) for layer in own)
        raise SelectionError(
            "this trace has no self-attention on the U-Net's way up, which clicks use by default: choose one "
            f"of its blocks, {blocks}"
        ) from error


def _ready(trace: Trace, source: ClickSource, progress: Progress) -> Ready:
    clicks = clicks_on_trace(
        trace,
        steps=source.step,
        branch=source.branch,
        image=source.image,
        layers=None if source.block is None else [source.block],
        temperature=TEMPERATURE,
        progress=progress,
    )
    return Ready(clicks)


def _cutout_info(mask: ClickMask) -> CutoutInfo:
    height, width = mask.mask.shape
    area = int(mask.mask.sum())
    return CutoutInfo(
        height=height,
        width=width,
        area=area,
        share=area / (height * width),
        score=mask.score,
        layers=mask.clicks.origin["layers"],
    )
