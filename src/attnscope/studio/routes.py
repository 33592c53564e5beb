"""What the page of a studio asks, beside the viewer's questions."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Response
from starlette.concurrency import run_in_threadpool

from attnscope.studio.asked import RunAsked
from attnscope.studio.code import python_of
from attnscope.studio.live import webp
from attnscope.studio.rules import Maker, maker_of
from attnscope.studio.runs import Run
from attnscope.studio.schemas import Code, NameAsked, RunInfo, StudioInfo
from attnscope.studio.studio import PHOTO, Studio
from attnscope.studio.told import model_info, run_info
from attnscope.studio.worker import PICTURE

PATIENCE_S = 20.0
"""How long a question for news is open."""
CARD_PX = 256
BINARY = "application/octet-stream"


class Routes:
    """The studio's answers.

    Args:
        studio: The studio.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._told: tuple[int, bytes] = (-1, b"")
        self._telling = asyncio.Lock()

    def add_to(self, app: FastAPI) -> None:
        """Answer at the addresses of an app.

        Args:
            app: The viewer's.
        """
        app.get("/api/studio", response_model=StudioInfo, response_class=Response)(self.news)
        app.post("/api/runs", response_model=RunInfo)(self.make)
        app.post("/api/runs/{number}/stop", response_model=RunInfo)(self.stop)
        app.patch("/api/runs/{number}", response_model=RunInfo)(self.rename)
        app.delete("/api/runs/{number}", status_code=204)(self.delete)
        app.get("/api/runs/{number}/card", response_class=Response)(self.card)
        app.get("/api/runs/{number}/seen", response_class=Response)(self.seen)
        app.get("/api/runs/{number}/seen-words", response_class=Response)(self.seen_words)
        app.get("/api/runs/{number}/code", response_model=Code)(self.code)

    async def news(self, seen: Annotated[int, Query(ge=-1, le=2**53)] = -1) -> Response:
        """All that changes by itself, once it is something else than was seen, or after a while."""
        count = await self._studio.ledger.changes.beyond(seen, PATIENCE_S)
        async with self._telling:  # a class of browsers asks at once
            if self._told[0] != count:
                self._told = count, (await run_in_threadpool(self._info, count)).model_dump_json().encode()
        return Response(self._told[1], media_type="application/json")

    def _info(self, count: int) -> StudioInfo:
        studio = self._studio
        runs = [self._run_info(run) for run in studio.ledger.runs]
        return StudioInfo(
            count=count,
            model=model_info(studio.engine),
            runs=runs,
            folder=str(studio.ledger.runs.folder.resolve()),
            guests=studio.rules.guests,
            files=studio.rules.files,
        )

    def _run_info(self, run: Run) -> RunInfo:
        return run_info(run, self._studio.engine)

    def make(self, asked: RunAsked, maker: Maker = "") -> RunInfo:
        """Begin a picture."""
        return self._run_info(self._studio.make(asked, maker_of(maker)))

    def stop(self, number: int, maker: Maker = "") -> RunInfo:
        """Stop a run."""
        self._check_maker(number, maker)
        self._studio.stop(number)
        return self._run_info(self._studio.ledger.runs[number])

    def rename(self, number: int, asked: NameAsked, maker: Maker = "") -> RunInfo:
        """Call a run something else."""
        self._check_maker(number, maker)
        self._studio.ledger.rename(number, asked.name)
        return self._run_info(self._studio.ledger.runs[number])

    def delete(self, number: int, maker: Maker = "") -> Response:
        """Delete a run that is over, with its files."""
        self._check_maker(number, maker)
        self._studio.ledger.delete(number)
        return Response(status_code=204)

    def _check_maker(self, number: int, maker: str) -> None:
        self._studio.rules.check_maker(self._studio.ledger.runs[number], maker)

    def card(self, number: int) -> Response:
        """A run's picture, small."""
        from PIL import Image

        folder = self._studio.ledger.runs[number].folder
        for name in (PICTURE, PHOTO):
            if (path := folder / name).exists():
                with Image.open(path) as picture:
                    return Response(webp(picture, CARD_PX), media_type="image/webp", headers=_KEPT)
        return self.seen(number)

    def seen(self, number: int) -> Response:
        """What the model takes the picture to be by now."""
        seen = self._studio.ledger.runs[number].seen
        if seen is None or seen.picture is None:
            raise HTTPException(404, f"run {number} has no picture yet")
        return Response(seen.picture, media_type="image/webp")

    def seen_words(self, number: int) -> Response:
        """Where the words landed in the step that can be looked at, each with its number, as maps of traces are."""
        seen = self._studio.ledger.runs[number].seen
        if seen is None or seen.maps is None:
            raise HTTPException(404, f"run {number} has no maps of words yet")
        return Response(seen.maps, media_type=BINARY)

    def code(self, number: int) -> Code:
        """The Python that makes what a run has made."""
        studio, runs = self._studio, self._studio.ledger.runs
        if (facts := studio.engine.facts) is None:
            raise HTTPException(409, "the model is not loaded yet: ask again when it is")
        return Code(python=python_of(runs[number], runs, studio.engine.model, facts))


_KEPT = {"cache-control": "private, max-age=3600"}
