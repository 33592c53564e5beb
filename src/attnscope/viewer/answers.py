"""The server's answers: from what was asked to the numbers, pictures and JSON that the page gets."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import astuple
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response

from attnscope import places
from attnscope._version import __version__
from attnscope.pictures.heat_colours import heat_picture
from attnscope.pictures.overlays import indexed_png, png_bytes
from attnscope.places import Box, View
from attnscope.segmentation.methods.diffseg import DiffSegRecipe
from attnscope.segmentation.result import Segmentation
from attnscope.storage.recent import Recent
from attnscope.trace.trace import Trace
from attnscope.viewer import encoding
from attnscope.viewer.aggregates import Aggregates, Source
from attnscope.viewer.described import segments_info, state_info
from attnscope.viewer.opened import OpenTrace
from attnscope.viewer.questions import (
    Boxes,
    Image,
    LabelsFormat,
    MapFormat,
    PlacesOrTokens,
    Recipes,
    Sources,
    Tokens,
    Views,
    Words,
)
from attnscope.viewer.schemas import AggregateInfo, SegmentsInfo, Shares, TracesInfo
from attnscope.viewer.shelf import Shelf
from attnscope.viewer.turns import Turns

STARTED = secrets.token_hex(4)
"""Answers that a browser keeps from an earlier server, perhaps of other code, are not taken again."""
CACHE_BYTES = 64 * 2**20
MOST_SEGMENTATIONS = 4
NumberedMaps = Callable[[Trace, View, Any], Iterator[tuple[int, Any]]]
BINARY = "application/octet-stream"


class Answers:
    """The server's answers about the traces of a shelf. Everything here runs in threads, as torch's work would hold up
    the event loop. starts, ends: called when the server does."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.has_studio = False
        self.starts: list[Callable[[], None]] = []
        self.ends: list[Callable[[], None]] = []
        self.aggregates = Aggregates()
        self._cache: Recent[str, bytes] = Recent(CACHE_BYTES, len)
        self._turns = Turns()
        self.ends.append(self.aggregates.close)
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
        infos = [self.open(opened.number).info for opened in self.shelf]
        return TracesInfo(version=__version__, traces=infos, studio=self.has_studio)

    def picture(self, request: Request, number: int, image: Image = 0) -> Response:
        """The picture that the run made, as PNG."""
        trace = self.open(number).trace
        if (picture := trace.picture_of(image)) is None:
            raise HTTPException(404, f"image {image}: this trace holds {len(trace.run.pictures)} picture(s)")
        return self.answer(request, number, "image/png", lambda: png_bytes(picture))

    def place(
        self, request: Request, number: int, view: Views, box: Boxes, format: MapFormat = "f16"
    ) -> Response:
        """Where a place, or a part of the picture on average, looks: self-attention."""
        trace = self.open(number).trace
        return self._map(request, number, format, lambda: places.box_map(trace, view, box), view.block)

    def blocks(self, request: Request, number: int, view: Views, asked: PlacesOrTokens) -> Response:
        """A place's (a part's, or tokens') map in every block, all in one body."""
        return self._many(request, number, view, asked, places.block_maps, places.word_block_maps)

    def heads(self, request: Request, number: int, view: Views, asked: PlacesOrTokens) -> Response:
        """The same in every head of the block, each with its number in place of the block's."""
        return self._many(request, number, view, asked, places.head_maps, places.word_head_maps)

    def words(
        self,
        request: Request,
        number: int,
        view: Views,
        token: Tokens,
        format: MapFormat = "f16",
    ) -> Response:
        """Where tokens landed: cross-attention."""
        trace = self.open(number).trace
        return self._map(request, number, format, lambda: places.word_map(trace, view, token), view.block)

    def shares(self, request: Request, number: int, view: Views, box: Boxes) -> Shares:
        """What a place, or a part of the picture on average, takes from each token."""
        trace = self.open(number).trace
        with self._turns.turn(request):
            return Shares(shares=places.token_shares(trace, view, box).tolist())

    def aggregate(self, number: int, source: Sources) -> AggregateInfo:
        """How far the aggregate is."""
        self.open(number)
        return state_info(self.aggregates.get(number, source))

    def start_aggregate(self, number: int, source: Sources) -> AggregateInfo:
        """Begin to aggregate self-attention, which segments need; `GET` tells how far it is."""
        opened = self.open(number)
        places.check_choice(opened.trace, source.step, source.branch, source.image)
        return state_info(self.aggregates.start(number, opened.trace, source))

    def cancel_aggregate(self, number: int, source: Sources) -> AggregateInfo:
        """Stop it."""
        self.open(number)
        self.aggregates.cancel(number, source)
        return state_info(self.aggregates.get(number, source))

    def segments(
        self, request: Request, number: int, source: Sources, recipe: Recipes, word: Words = None
    ) -> SegmentsInfo:
        """DiffSeg's segments of an aggregate that is ready."""
        return segments_info(self._segmented(request, number, source, recipe, word))

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
        segmentation = self._segmented(request, number, source, recipe, word)
        of_format: dict[LabelsFormat, tuple[str, Callable[[], bytes]]] = {
            "u16": (BINARY, lambda: segmentation.labels.astype("<u2").tobytes()),
            "png": ("image/png", lambda: png_bytes(indexed_png(segmentation.labels))),
            "npz": (
                BINARY,
                lambda: encoding.npz(
                    labels=segmentation.labels, names=[name or "" for name in segmentation.names]
                ),
            ),
        }
        return self.answer(request, number, *of_format[format])

    def _many(
        self,
        request: Request,
        number: int,
        view: View,
        asked: Box | list[int],
        of_box: NumberedMaps,
        of_tokens: NumberedMaps,
    ) -> Response:
        trace = self.open(number).trace
        maps_of = of_box if isinstance(asked, Box) else of_tokens
        return self.answer(
            request, number, BINARY, lambda: encoding.pack_maps(list(maps_of(trace, view, asked)))
        )

    def open(self, number: int) -> OpenTrace:
        """The trace of a number. Raises TraceFormatError if its files were changed since it was opened."""
        opened = self.shelf[number]
        opened.check_unchanged()
        return opened

    def _map(
        self,
        request: Request,
        number: int,
        format: MapFormat,
        compute: Callable[[], Any],
        block: int | None,
    ) -> Response:
        of_format: dict[MapFormat, tuple[str, Callable[[], bytes]]] = {
            "f16": (BINARY, lambda: encoding.pack_maps([(block, compute())])),
            "png": ("image/png", lambda: png_bytes(heat_picture(compute()))),
            "npz": (BINARY, lambda: encoding.npz(map=compute())),
        }
        return self.answer(request, number, *of_format[format])

    def answer(self, request: Request, number: int, media_type: str, make: Callable[[], bytes]) -> Response:
        """What make() gives, in turn with others; from the cache, or none at all where the browser has it already."""
        opened = self.shelf[number]
        state = f"{__version__} {STARTED} {opened.mark} {len(opened.trace.steps)}"
        question = f"{state} {request.url.path}?{request.url.query}"
        tag = f'"{hashlib.sha256(question.encode()).hexdigest()[:24]}"'
        headers = {"etag": tag, "cache-control": "private, no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)

        def in_turn() -> bytes:
            with self._turns.turn(request):
                made = make()
            opened.check_unchanged()  # while it was read
            return made

        return Response(self._cache.get(tag, in_turn), media_type=media_type, headers=headers)

    def _segmented(
        self, request: Request, number: int, source: Source, recipe: DiffSegRecipe, words: list[int] | None
    ) -> Segmentation:
        trace, aggregate = self.open(number).trace, self.aggregates.get(number, source)
        if aggregate is None or aggregate.state != "ready":
            raise HTTPException(409, "this attention is not aggregated yet: POST /aggregate, then wait")
        known, named = len(trace.words(source.image, source.branch)), tuple(words or ())
        if bad := [word for word in named if not 0 <= word < known]:
            raise HTTPException(
                404, f"words {bad}: the text of branch {source.branch!r} has {known} words, counted from 0"
            )
        key = (number, source, astuple(recipe), named)
        segmentation = self._segmentations.get(key)
        if segmentation is None or segmentation.evidence is not aggregate.evidence:
            with self._turns.turn(request):
                segmentation = aggregate.segmented(recipe, named)
            self._segmentations[key] = segmentation  # the page asks for its segments, then for its labels
            while len(self._segmentations) > MOST_SEGMENTATIONS:
                self._segmentations.popitem(last=False)
        return segmentation
