"""Traces and photos that a browser sends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from attnscope.errors import AttnscopeError
from attnscope.files.temporary import remove_folder
from attnscope.studio.asked import MOST_LETTERS
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
        app.post("/api/photos", response_model=RunInfo)(self.read)
        app.post("/api/uploads", response_model=UploadInfo)(self.begin)
        app.put("/api/uploads/{key}/{name}", status_code=204)(self.take)
        app.post("/api/uploads/{key}/done", response_model=RunInfo)(self.end)
        app.post("/api/zips", response_model=RunInfo)(self.take_zip)

    async def read(self, request: Request, text: Annotated[str, Query(max_length=MOST_LETTERS)]) -> RunInfo:
        """Begin to read a photo, which is the body; text: what is on it."""
        contents = await _body(request, MOST_PHOTO_BYTES)
        return await self._told(await run_in_threadpool(self._studio.read, contents, text))

    def begin(self) -> UploadInfo:
        """Begin to send a trace's folder."""
        return UploadInfo(key=self._studio.uploads.begin())

    async def take(self, request: Request, key: str, name: str) -> Response:
        """One file of it, which is the body."""
        await self._studio.uploads.take(key, name, request.stream())
        return Response(status_code=204)

    async def end(self, key: str, name: Name = "") -> RunInfo:
        """All of it was sent."""
        folder = self._studio.uploads.end(key)
        return await self._taken_in(folder, name)

    async def take_zip(self, request: Request, name: Name = "") -> RunInfo:
        """A trace as one zip, which is the body."""
        return await self._taken_in(await self._studio.uploads.take_zip(request.stream()), name)

    async def _taken_in(self, folder: Path, name: str) -> RunInfo:
        try:
            run = await run_in_threadpool(self._studio.ledger.take_in, folder, name)
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
