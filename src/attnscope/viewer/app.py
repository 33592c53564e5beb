"""The viewer's server: typed questions about the traces that were named, nothing else.

No path from a client is ever opened: traces are numbers, the page's own files are a fixed list. Maps, pictures and
labels depend on the trace and the question alone and carry an ETag.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from attnscope._version import __version__
from attnscope.errors import AttnscopeError, BusyError, SelectionError, TraceFormatError
from attnscope.probability.threads import start_tile_threads
from attnscope.trace.trace import Trace
from attnscope.viewer import page, scales
from attnscope.viewer.answers import Answers
from attnscope.viewer.clicking import Clicking
from attnscope.viewer.explained import Explaining
from attnscope.viewer.files import Files
from attnscope.viewer.gate import LOOPBACK, Gate
from attnscope.viewer.learning import Lessons
from attnscope.viewer.opened import open_traces
from attnscope.viewer.page_routes import add_routes
from attnscope.viewer.schemas import Problem
from attnscope.viewer.shelf import Shelf

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (400, 401, 403, 404, 409, 421, 422, 429)
}

STATUS: dict[type[AttnscopeError], int] = {SelectionError: 404, BusyError: 429, TraceFormatError: 409}
"""Of errors that are not the question's own fault, which is 400."""


def create_app(
    traces: Sequence[Trace | str | Path],
    *,
    hosts: Sequence[str] = LOOPBACK,
    token: str | None = None,
    address: str | None = None,
    frame_key: str | None = None,
    framed_by: Sequence[str] = (),
) -> FastAPI:
    """The viewer as an ASGI application.

    Args:
        traces: In memory, or folders.
        hosts: Names under which the server may be asked.
        token: Where it is set, every client must have it (the page takes it from `/?token=...` and keeps it as a
            cookie), and any host name will do.
        address: Under which a proxy shows the viewer, as in `https://hub.example.org/user/me/proxy/8756/`. Its host is
            a name under which the server may be asked, and its path may stay before that of a request.
        frame_key: A secret that opens the page at `/frame/KEY/` without a token and lets any page frame it there.
        framed_by: Sites whose pages may frame the page at its own address, as in `https://huggingface.co`.

    Raises:
        TraceFormatError: A folder is no trace.
        SelectionError: A trace holds no Q and K.
    """
    answers = Answers(Shelf(open_traces(traces)))
    tools = (Clicking(answers), Explaining(answers), Files(answers))
    answers.ends += [tool.close for tool in tools]

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        start_tile_threads()  # before requests
        for start in answers.starts:
            start()
        yield
        for end in answers.ends:
            end()

    app = FastAPI(
        title="attnscope viewer",
        version=__version__,
        description="The attention of recorded runs of diffusion models.",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        responses=PROBLEMS,
        redirect_slashes=False,  # to an address made of Host, which a proxy may have rewritten
    )
    app.state.answers, app.state.tools = answers, tools
    _say_problems(app)
    answers.add_routes(app)
    scales.add_routes(app, answers)
    Lessons(answers).add_routes(app)
    for tool in tools:
        tool.add_routes(app)
    add_routes(app)
    app.add_middleware(
        Gate,
        hosts=hosts,
        token=token,
        address=address,
        frame_key=frame_key,
        framed_by=framed_by,
        scripts=f"'self' '{page.import_map_hash()}'",
    )
    return app


def _say_problems(app: FastAPI) -> None:
    """Every refusal is one sentence."""

    @app.exception_handler(AttnscopeError)
    def _known(_: Request, error: AttnscopeError) -> JSONResponse:
        status = next((number for kind, number in STATUS.items() if isinstance(error, kind)), 400)
        return JSONResponse({"error": str(error)}, status)

    @app.exception_handler(StarletteHTTPException)
    def _refused(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        received = "" if first["type"] == "missing" else f", got {str(first.get('input'))[:80]!r}"
        return JSONResponse({"error": f"{place}: {first['msg']}{received}"}, 422)
