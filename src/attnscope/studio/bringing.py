"""Traces and photos that a browser sends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from attnscope.errors import AttnscopeError
from attnscope.files.temporary import remove_folder
from attnscope.studio.asked import MOST_LETTERS
from attnscope.studio.rules import Maker, maker_of
from attnscope.studio.runs import LONGEST_NAME, Run
from attnscope.studio.schemas import RunInfo, UploadInfo
from attnscope.studio.studio import Studio
from attnscope.studio.told import run_info

MOST_PHOTO_BYTES = 64 * 2**20

Name = Annotated[str, Query(max_length=LONGEST_NAME)]


class Bringing:
    """Answers to what is sent.

    Args:
        studio: The studio.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def add_to(self, app: FastAPI) -> None:
        """Answer at the addresses of an app.

        Args:
            app: The viewer's.
        """
        router = APIRouter(prefix="/api", dependencies=[Depends(self._studio.rules.check_files)])
        router.post("/photos", response_model=RunInfo)(self.read)
        router.post("/uploads", response_model=UploadInfo)(self.begin)
        router.put("/uploads/{key}/{name}", status_code=204)(self.take)
        router.post("/uploads/{key}/done", response_model=RunInfo)(self.end)
        router.post("/zips", response_model=RunInfo)(self.take_zip)
        app.include_router(router)

    async def read(
        self, request: Request, text: Annotated[str, Query(max_length=MOST_LETTERS)], maker: Maker = ""
    ) -> RunInfo:
        """Begin to read a photo, which is the body; text: what is on it."""
        contents = await _body(request, MOST_PHOTO_BYTES)
        return await self._told(await run_in_threadpool(self._studio.read, contents, text, maker_of(maker)))

    def begin(self) -> UploadInfo:
        """Begin to send a trace's folder."""
        return UploadInfo(key=self._studio.uploads.begin())

    async def take(self, request: Request, key: str, name: str) -> Response:
        """One file of it, which is the body."""
        await self._studio.uploads.take(key, name, request.stream())
        return Response(status_code=204)

    async def end(self, key: str, name: Name = "", maker: Maker = "") -> RunInfo:
        """All of it was sent."""
        folder = self._studio.uploads.end(key)
        return await self._taken_in(folder, name, maker)

    async def take_zip(self, request: Request, name: Name = "", maker: Maker = "") -> RunInfo:
        """A trace as one zip, which is the body."""
        return await self._taken_in(await self._studio.uploads.take_zip(request.stream()), name, maker)

    async def _taken_in(self, folder: Path, name: str, maker: str) -> RunInfo:
        try:
            run = await run_in_threadpool(self._studio.ledger.take_in, folder, name, maker_of(maker))
        except AttnscopeError as error:
            await run_in_threadpool(remove_folder, folder)
            raise HTTPException(400, f"this is not a trace that can be opened: {error}") from error
        return await self._told(run)

    async def _told(self, run: Run) -> RunInfo:
        return await run_in_threadpool(run_info, run, self._studio.engine)


async def _body(request: Request, most: int) -> bytes:
    """The body of a request, of a bounded size."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise HTTPException(413, f"the file has more than {most // 2**20} MiB: choose a smaller one")
    if not body:
        raise HTTPException(400, "the file is empty: choose another one")
    return bytes(body)
