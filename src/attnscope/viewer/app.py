"""The viewer's server: typed questions about the traces that were named, nothing else.

No path from a client is ever opened: traces are numbers, the page's own files are a fixed list. Maps, pictures and
labels depend on the trace and the question alone and carry an ETag.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from attnscope._version import __version__
from attnscope.diffseg.merging import ANCHORS, PASSES, PRESETS
from attnscope.errors import AttnscopeError, BusyError, ParameterError, SelectionError
from attnscope.heat_colours import heat_picture
from attnscope.images import indexed_png, png_bytes
from attnscope.segmentation_result import Recipe, Segmentation, per_pass
from attnscope.threads import tile_threads
from attnscope.trace import Trace
from attnscope.viewer import encoding, maps, page
from attnscope.viewer.aggregates import Aggregate, Aggregates, Source
from attnscope.viewer.answers import segments_info
from attnscope.viewer.caches import ByteCache
from attnscope.viewer.gate import LOOPBACK, Gate
from attnscope.viewer.maps import Box, View
from attnscope.viewer.opened import OpenTrace, open_traces
from attnscope.viewer.schemas import AggregateInfo, Problem, SegmentsInfo, Shares, TracesInfo

STARTED = secrets.token_hex(4)
"""Answers that a browser keeps from an earlier server, perhaps of other code, are not taken again."""
CACHE_BYTES = 64 * 2**20
MOST_AT_ONCE = max(2, (os.cpu_count() or 2) // 2)
"""Questions that are computed at the same time; torch shares the cores among threads itself."""
MOST_SEGMENTATIONS = 4
MOST_TOKENS = 1024
MOST_PASSES = 10
MOST_ANCHORS = 32
MOST_STEP = 10**6

Share = Annotated[float, Query(ge=0, le=1, allow_inf_nan=False)]
MaybeShare = Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)]
MapFormat = Literal["f16", "png", "npz"]
LabelsFormat = Literal["u16", "png", "npz"]
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (400, 401, 403, 404, 409, 421, 422, 429)
}


def create_app(
    traces: Sequence[Trace | str | Path],
    *,
    hosts: Sequence[str] = LOOPBACK,
    token: str | None = None,
) -> FastAPI:
    """The viewer as an ASGI application.

    traces: in memory, or folders. hosts: names under which the server may be asked. token: where it is set, every
    client must have it (the page takes it from `/?token=...` and keeps it as a cookie), and any host name will do.
    Raises what opening the traces raises.
    """
    viewer = Viewer(open_traces(traces))

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        tile_threads(
            torch.get_num_threads()
        )  # before requests: starting them changes torch's settings for a moment
        yield
        viewer.aggregates.close()

    app = FastAPI(
        title="attnscope viewer",
        version=__version__,
        description="The attention of recorded Stable Diffusion runs.",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        responses=PROBLEMS,
    )
    app.state.viewer = viewer
    _say_problems(app)
    viewer.add_routes(app)
    page.add_routes(app)
    app.add_middleware(Gate, hosts=hosts, token=token, scripts=f"'self' '{page.import_map_hash()}'")
    return app


def _view(
    block: Annotated[int | None, Query(ge=0, le=10**4, description="A block; all by default.")] = None,
    head: Annotated[int | None, Query(ge=0, le=10**4, description="A head; their mean by default.")] = None,
    step: Annotated[
        int | None, Query(ge=0, le=MOST_STEP, description="A step; their mean by default.")
    ] = None,
    branch: Annotated[str, Query(max_length=64)] = "cond",
    image: Annotated[int, Query(ge=0, le=10**4)] = 0,
) -> View:
    return View(block, head, step, branch, image)


def _box(top: Share, left: Share, bottom: MaybeShare = None, right: MaybeShare = None) -> Box:
    """A place (top and left only) or a part of the picture."""
    return Box(top, left, top if bottom is None else bottom, left if right is None else right)


def _asked(
    top: MaybeShare = None,
    left: MaybeShare = None,
    bottom: MaybeShare = None,
    right: MaybeShare = None,
    token: MaybeTokens = None,
) -> Box | list[int]:
    """A place, a part of the picture, or tokens."""
    if token is not None:
        return token
    if top is None or left is None:
        raise ParameterError("give a place (top and left), a part of the picture, or tokens")
    return _box(top, left, bottom, right)


def _source(
    step: Annotated[int | None, Query(ge=0, le=MOST_STEP)] = None,
    branch: Annotated[str, Query(max_length=64)] = "cond",
    image: Annotated[int, Query(ge=0, le=10**4)] = 0,
    weights: Annotated[
        str, Query(max_length=400, description="height:weight of every grid, as in 64:1,32:0.5,16:0,8:0")
    ] = "",
) -> Source:
    return Source(step, branch, image, _weights(weights))


def _weights(text: str) -> tuple[tuple[int, float], ...]:
    """((height, weight), ...) of "64:1,32:0.5"."""
    try:
        pairs = [part.split(":") for part in text.split(",") if part]
        weights = tuple(sorted((int(height), float(weight)) for height, weight in pairs))
    except ValueError:
        weights = ((0, -1.0),)
    possible = all(0 < height < 10**4 and 0 <= weight < 10**6 for height, weight in weights)
    if not possible or (weights and not any(weight for _, weight in weights)):
        raise ParameterError(
            f"weights {text!r}: expected HEIGHT:WEIGHT of every grid, not all 0, as in 64:1,32:0.5,16:0,8:0"
        )
    return weights


def _recipe(
    threshold: Annotated[
        list[float], Query(min_length=1, max_length=MOST_PASSES, description="One, or one a pass.")
    ],
    passes: Annotated[int, Query(ge=1, le=MOST_PASSES)] = PASSES,
    anchors: Annotated[int, Query(ge=1, le=MOST_ANCHORS)] = ANCHORS,
    preset: Annotated[str, Query(pattern="^(" + "|".join(PRESETS) + ")$")] = PRESETS[0],
    unite: bool = False,
) -> Recipe:
    one_or_many = threshold[0] if len(threshold) == 1 else threshold
    return Recipe(per_pass(one_or_many, passes), preset=preset, anchors=anchors, unite=unite)


Views = Annotated[View, Depends(_view)]
Boxes = Annotated[Box, Depends(_box)]
PlacesOrTokens = Annotated[Box | list[int], Depends(_asked)]
Sources = Annotated[Source, Depends(_source)]
Recipes = Annotated[Recipe, Depends(_recipe)]
Tokens = Annotated[list[int], Query(min_length=1, max_length=MOST_TOKENS, description="Token numbers.")]
MaybeTokens = Annotated[list[int] | None, Query(min_length=1, max_length=MOST_TOKENS)]
Words = Annotated[
    list[int] | None, Query(max_length=MOST_TOKENS, description="Places of words in the prompt.")
]


class Viewer:
    """The answers. Everything here runs in threads, as torch's work would hold up the event loop."""

    def __init__(self, traces: Sequence[OpenTrace]) -> None:
        self.traces = traces
        self.aggregates = Aggregates()
        self._cache = ByteCache(CACHE_BYTES)
        self._turn = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._segmentations: OrderedDict[Any, Segmentation] = OrderedDict()

    def add_routes(self, app: FastAPI) -> None:
        get = app.get
        get("/api/traces", response_model=TracesInfo)(self.list_traces)
        get("/api/traces/{number}/picture", response_class=Response)(self.picture)
        get("/api/traces/{number}/place", response_class=Response)(self.place)
        get("/api/traces/{number}/blocks", response_class=Response)(self.blocks)
        get("/api/traces/{number}/heads", response_class=Response)(self.heads)
        get("/api/traces/{number}/words", response_class=Response)(self.words)
        get("/api/traces/{number}/shares", response_model=Shares)(self.shares)
        get("/api/traces/{number}/aggregate", response_model=AggregateInfo)(self.aggregate)
        app.post("/api/traces/{number}/aggregate", response_model=AggregateInfo)(self.start_aggregate)
        app.delete("/api/traces/{number}/aggregate", response_model=AggregateInfo)(self.cancel_aggregate)
        get("/api/traces/{number}/segments", response_model=SegmentsInfo)(self.segments)
        get("/api/traces/{number}/labels", response_class=Response)(self.labels)

    def list_traces(self) -> TracesInfo:
        """What is open."""
        return TracesInfo(version=__version__, traces=[opened.info for opened in self.traces])

    def picture(
        self, request: Request, number: int, image: Annotated[int, Query(ge=0, le=10**4)] = 0
    ) -> Response:
        """The picture that the run made, as PNG."""
        pictures = self._open(number).trace.run.pictures
        if image >= len(pictures):
            raise HTTPException(404, f"image {image}: this trace holds {len(pictures)} picture(s)")
        return self._answer(request, number, "image/png", lambda: png_bytes(pictures[image]))

    def place(
        self, request: Request, number: int, view: Views, box: Boxes, format: MapFormat = "f16"
    ) -> Response:
        """Where a place, or a part of the picture on average, looks: self-attention."""
        trace = self._open(number).trace
        return self._map(request, number, format, lambda: maps.box_map(trace, view, box), view.block)

    def blocks(self, request: Request, number: int, view: Views, asked: PlacesOrTokens) -> Response:
        """A place's (a part's, or tokens') map in every block, all in one body."""
        return self._many(request, number, view, asked, maps.block_maps, maps.word_block_maps)

    def heads(self, request: Request, number: int, view: Views, asked: PlacesOrTokens) -> Response:
        """The same in every head of the block, each with its number in place of the block's."""
        return self._many(request, number, view, asked, maps.head_maps, maps.word_head_maps)

    def words(
        self,
        request: Request,
        number: int,
        view: Views,
        token: Tokens,
        format: MapFormat = "f16",
    ) -> Response:
        """Where tokens landed: cross-attention."""
        trace = self._open(number).trace
        return self._map(request, number, format, lambda: maps.word_map(trace, view, token), view.block)

    def shares(self, number: int, view: Views, box: Boxes) -> Shares:
        """What a place, or a part of the picture on average, takes from each token."""
        trace = self._open(number).trace
        with self._turn:
            return Shares(shares=maps.token_shares(trace, view, box).tolist())

    def aggregate(self, number: int, source: Sources) -> AggregateInfo:
        """How far the aggregate is."""
        self._open(number)
        return _state(self.aggregates.get(number, source))

    def start_aggregate(self, number: int, source: Sources) -> AggregateInfo:
        """Begin to aggregate self-attention, which segments need; `GET` tells how far it is."""
        opened = self._open(number)
        maps.check_source(opened.trace, source.step, source.branch, source.image)
        return _state(self.aggregates.start(number, opened.trace, source))

    def cancel_aggregate(self, number: int, source: Sources) -> AggregateInfo:
        """Stop it."""
        self._open(number)
        self.aggregates.cancel(number, source)
        return _state(self.aggregates.get(number, source))

    def segments(self, number: int, source: Sources, recipe: Recipes, word: Words = None) -> SegmentsInfo:
        """DiffSeg's segments of an aggregate that is ready."""
        aggregate, found = self._segmented(number, source, recipe, word)
        return segments_info(aggregate, found)

    def labels(
        self,
        request: Request,
        number: int,
        source: Sources,
        recipe: Recipes,
        word: Words = None,
        format: LabelsFormat = "u16",
    ) -> Response:
        """The segment of every pixel, row by row: 16-bit little-endian numbers, PNG, or NPZ."""
        _, found = self._segmented(number, source, recipe, word)
        made: dict[LabelsFormat, tuple[str, Callable[[], bytes]]] = {
            "u16": (BINARY, lambda: found.labels.astype("<u2").tobytes()),
            "png": ("image/png", lambda: png_bytes(indexed_png(found.labels))),
            "npz": (BINARY, lambda: encoding.npz(labels=found.labels, names=list(found.names))),
        }
        return self._answer(request, number, *made[format])

    def _many(
        self,
        request: Request,
        number: int,
        view: View,
        asked: Box | list[int],
        of_box: NumberedMaps,
        of_tokens: NumberedMaps,
    ) -> Response:
        trace = self._open(number).trace
        found = of_box if isinstance(asked, Box) else of_tokens
        return self._answer(
            request, number, BINARY, lambda: encoding.pack_maps(list(found(trace, view, asked)))
        )

    def _open(self, number: int) -> OpenTrace:
        if not 0 <= number < len(self.traces):
            raise HTTPException(404, f"trace {number}: this viewer has traces 0 to {len(self.traces) - 1}")
        return self.traces[number]

    def _map(
        self,
        request: Request,
        number: int,
        format: MapFormat,
        compute: Callable[[], Any],
        block: int | None,
    ) -> Response:
        made: dict[MapFormat, tuple[str, Callable[[], bytes]]] = {
            "f16": (BINARY, lambda: encoding.pack_maps([(block, compute())])),
            "png": ("image/png", lambda: png_bytes(heat_picture(compute()))),
            "npz": (BINARY, lambda: encoding.npz(map=compute())),
        }
        return self._answer(request, number, *made[format])

    def _answer(self, request: Request, number: int, media_type: str, make: Callable[[], bytes]) -> Response:
        """The answer, from the cache, or none at all where the browser has it already."""
        opened = self.traces[number]
        state = f"{__version__} {STARTED} {opened.mark} {len(opened.trace.steps)}"
        question = f"{state} {request.url.path}?{request.url.query}"
        tag = f'"{hashlib.sha256(question.encode()).hexdigest()[:24]}"'
        headers = {"etag": tag, "cache-control": "private, no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)

        def in_turn() -> bytes:
            with self._turn:
                return make()

        return Response(self._cache.get(tag, in_turn), media_type=media_type, headers=headers)

    def _segmented(
        self, number: int, source: Source, recipe: Recipe, words: list[int] | None
    ) -> tuple[Aggregate, Segmentation]:
        trace, aggregate = self._open(number).trace, self.aggregates.get(number, source)
        if aggregate is None or aggregate.state != "ready":
            raise HTTPException(409, "this attention is not aggregated yet: POST /aggregate, then wait")
        known, named = len(trace.words(source.image)), tuple(words or ())
        if bad := [word for word in named if not 0 <= word < known]:
            raise HTTPException(404, f"words {bad}: this prompt has words 0 to {known - 1}")
        key = (number, source, astuple(recipe), named)
        found = self._segmentations.get(key)
        if found is None or found.aggregated is not aggregate.attention:
            with self._turn:
                found = aggregate.segmented(recipe, named)
            self._segmentations[key] = found  # the page asks for its segments, then for its labels
            while len(self._segmentations) > MOST_SEGMENTATIONS:
                self._segmentations.popitem(last=False)
        return aggregate, found


NumberedMaps = Callable[[Trace, View, Any], Iterator[tuple[int, Any]]]
BINARY = "application/octet-stream"


def _state(aggregate: Aggregate | None) -> AggregateInfo:
    if aggregate is None:
        return AggregateInfo(state="absent")
    failure = aggregate.failure
    error = "" if failure is None else str(failure) or type(failure).__name__
    return AggregateInfo(state=aggregate.state, done=aggregate.done, total=aggregate.total, error=error)


def _say_problems(app: FastAPI) -> None:
    """Every refusal is one sentence."""

    @app.exception_handler(AttnscopeError)
    def _known(_: Request, error: AttnscopeError) -> JSONResponse:
        status = 404 if isinstance(error, SelectionError) else 429 if isinstance(error, BusyError) else 400
        return JSONResponse({"error": str(error)}, status)

    @app.exception_handler(StarletteHTTPException)
    def _refused(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        given = "" if first["type"] == "missing" else f", got {str(first.get('input'))[:80]!r}"
        return JSONResponse({"error": f"{place}: {first['msg']}{given}"}, 422)
