"""What somebody takes along: the trace itself, a page, a report, moving pictures, a map with its legend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from attnscope import places
from attnscope.errors import describe_numbers
from attnscope.heatmap.heat_map import heat_map
from attnscope.pictures.moving import check_ending
from attnscope.pictures.overlays import png_bytes
from attnscope.places import View
from attnscope.trace.files import files_of, load_trace
from attnscope.viewer.answers import Answers
from attnscope.viewer.background import Background
from attnscope.viewer.making import Made, MadeKind, Wanted, drop, made_of, span_of, wanted_of
from attnscope.viewer.naming import attachment, file_name
from attnscope.viewer.opened import OpenTrace
from attnscope.viewer.questions import MaybeTokens, Tokens, Views
from attnscope.viewer.schemas import AggregateInfo
from attnscope.viewer.zipped import CHUNK, zip_stream

MOST_READY, READY_BYTES = 6, 2**31
"""Files that are kept until newer ones come; they lie in the system's folder for temporary ones."""


def _wanted(number: int, kind: MadeKind, view: Views, token: MaybeTokens = None) -> Wanted:
    return wanted_of(number, kind, view, token)


Wanteds = Annotated[Wanted, Depends(_wanted)]


class Files:
    """Answers with files.

    Args:
        answers: The viewer's.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._made: Background[Wanted, Made] = Background(
            "attnscope-files",
            most=MOST_READY,
            most_bytes=READY_BYTES,
            size_of=lambda made: made.bytes,
            drop=drop,
        )

    def add_routes(self, app: FastAPI) -> None:
        """Files that take long at /api/traces/NUMBER/made, the trace at /zip, a map with its legend at /heatmap.

        Args:
            app: The viewer.
        """
        of_trace = "/api/traces/{number}/"
        app.get(of_trace + "made", response_model=AggregateInfo)(self.state)
        app.post(of_trace + "made", response_model=AggregateInfo)(self.start)
        app.delete(of_trace + "made", response_model=AggregateInfo)(self.cancel)
        app.get(of_trace + "made/file", response_class=Response)(self.file)
        app.get(of_trace + "zip", response_class=Response)(self.zip)
        app.get(of_trace + "heatmap", response_class=Response)(self.heatmap)

    def close(self) -> None:
        """Stop what is under way, and remove the files."""
        self._made.close()

    def state(self, wanted: Wanteds) -> AggregateInfo:
        """How far a file is."""
        self._answers.open(wanted.number)
        return self._made.info(wanted)

    def start(self, wanted: Wanteds) -> AggregateInfo:
        """Begin to make a file; `GET` tells how far it is."""
        opened, view = self._answers.open(wanted.number), wanted.view
        if wanted.kind == "mp4":
            check_ending("an MP4", ".mp4")
        if wanted.kind != "trace":
            places.check_choice(opened.trace, view.step, view.branch, view.image)
        if wanted.tokens:
            span_of(opened.trace, wanted.tokens, view)
        open_numbers = {other.number for other in self._answers.shelf}
        self._made.keep_only(lambda other: other.number in open_numbers)
        return self._made.start(wanted, lambda progress: made_of(opened, wanted, progress)).info

    def cancel(self, wanted: Wanteds) -> AggregateInfo:
        """Stop making it."""
        self._answers.open(wanted.number)
        self._made.cancel(wanted)
        return self._made.info(wanted)

    def file(self, wanted: Wanteds) -> Response:
        """A file that is ready, as a download."""
        opened = self._answers.open(wanted.number)
        work = self._made.get(wanted)
        made = None if work is None else work.value
        if made is None:
            raise HTTPException(409, "this file is not made yet, or no longer kept: POST /made, then wait")
        if made.path.is_dir():
            return _zipped(made.name, made.path, opened)
        try:
            content = made.path.open("rb")  # whoever reads it keeps it, also when it is removed meanwhile
        except OSError:
            raise HTTPException(409, "this file is no longer kept: POST /made, then wait") from None
        headers = {**attachment(made.name), "content-length": str(made.bytes)}
        return StreamingResponse(_read(content), media_type=made.media_type, headers=headers)

    def zip(self, number: int) -> Response:
        """The trace as a ZIP that is not compressed: a folder that `attnscope.load_trace` opens."""
        opened = self._answers.open(number)
        if opened.folder is None:
            raise HTTPException(
                409, "this trace is in memory, not in a folder: POST /made?kind=trace, then GET /made/file"
            )
        return _zipped(file_name(opened, 0, ending=".trace"), opened.folder, opened)

    def heatmap(self, request: Request, number: int, view: Views, token: Tokens) -> Response:
        """The map of a word, or of several together, over the picture with its colours' numbers, as PNG."""
        opened = self._answers.open(number)
        places.check_choice(opened.trace, view.step, view.branch, view.image)
        span = span_of(opened.trace, sorted(set(token)), view)

        def make() -> bytes:
            heat = heat_map(
                opened.trace,
                span,
                steps=view.step,
                blocks=view.block,
                heads=view.head,
                branch=view.branch,
                image=view.image,
            )
            return png_bytes(heat.with_legend(note=_note(opened, view)))

        answer = self._answers.answer(request, number, "image/png", make)
        answer.headers.update(attachment(file_name(opened, view.image, span.word, ending=".png")))
        return answer


def _note(opened: OpenTrace, view: View) -> str:
    """What a map is of."""
    steps = [step.index for step in opened.trace.steps]
    return ", ".join(
        (
            f"mean over steps {describe_numbers(steps)}" if view.step is None else f"step {view.step}",
            "all blocks" if view.block is None else f"block {view.block}",
            "all heads" if view.head is None else f"head {view.head}",
        )
    )


def _zipped(name: str, folder: Path, opened: OpenTrace) -> Response:
    pieces = zip_stream(name, files_of(load_trace(folder)), check=opened.check_unchanged)
    return StreamingResponse(pieces, media_type="application/zip", headers=attachment(f"{name}.zip"))


def _read(content: BinaryIO) -> Iterator[bytes]:
    with content:
        while piece := content.read(CHUNK):
            yield piece
