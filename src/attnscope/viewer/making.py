"""Files that take long to make: each in a temporary folder of its own, which goes with it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from attnscope.errors import ParameterError, SelectionError
from attnscope.files.temporary import remove_folder, temporary_folder, tidy
from attnscope.heatmap.over_steps import animate
from attnscope.places import View
from attnscope.records import TokenSpan
from attnscope.reporting.report import report
from attnscope.trace.trace import Trace
from attnscope.trace.words import ROLES
from attnscope.viewer.background import Progress
from attnscope.viewer.export import export_page
from attnscope.viewer.naming import file_name
from attnscope.viewer.opened import OpenTrace

MadeKind = Literal["page", "report", "gif", "mp4", "trace"]


@dataclass(frozen=True)
class Wanted:
    """A file that somebody wants.

    Attributes:
        number: Of the trace.
        kind: What it is.
        view: Which attention; what the kind does not look at is left at its default, so that it is made once.
        tokens: Of the words that a moving picture shows.
    """

    number: int
    kind: MadeKind
    view: View
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class Made:
    """A file, or the folder of a trace.

    Attributes:
        path: Where it lies, alone in a temporary folder.
        bytes: Its size.
        name: What it is called where it goes.
        media_type: What it is.
    """

    path: Path
    bytes: int
    name: str
    media_type: str


def wanted_of(number: int, kind: MadeKind, view: View, tokens: Sequence[int] | None) -> Wanted:
    """A file that somebody wants, from all that the page shows.

    Args:
        number: Of the trace.
        kind: What it is.
        view: What is looked at.
        tokens: Of the chosen words.

    Raises:
        ParameterError: A moving picture is of a word, and none is chosen.
    """
    if kind == "trace":
        return Wanted(number, kind, View())
    if kind in ("page", "report"):
        return Wanted(number, kind, View(None, None, view.step, view.branch, view.image))
    if not tokens:
        raise ParameterError(f"a {kind.upper()} shows a word over the steps: give its tokens as token=NUMBER")
    of_word = View(view.block, view.head, None, view.branch, view.image)
    return Wanted(number, kind, of_word, tuple(sorted(set(tokens))))


def made_of(opened: OpenTrace, wanted: Wanted, progress: Progress) -> Made:
    """Make a file, whole or not at all.

    Args:
        opened: The trace.
        wanted: What is wanted of it.
        progress: Called as progress(done, total); what it raises ends the work.

    Raises:
        AttnscopeError: The trace lacks something, or the file can't be written.
    """
    _tidy_once()
    kind = _KINDS[wanted.kind]
    parts = [span_of(opened.trace, wanted.tokens, wanted.view).word] if wanted.tokens else []
    name = file_name(opened, wanted.view.image, *parts, ending=kind.ending)
    place = Path(temporary_folder())
    try:
        path = place / f"made{kind.ending}"
        kind.make(opened.trace, wanted, path, progress)
        opened.check_unchanged()
        size = sum(file.stat().st_size for file in [path, *path.rglob("*")])
        return Made(path, size, name, kind.media_type)
    except BaseException:
        remove_folder(place)
        raise


def drop(made: Made) -> None:
    """Remove a file with its folder.

    Args:
        made: The file.
    """
    remove_folder(made.path.parent)


def span_of(trace: Trace, tokens: Sequence[int], view: View) -> TokenSpan:
    """Tokens as one span, called after the words that they are.

    Args:
        trace: Of one pass.
        tokens: Numbers of tokens.
        view: Whose text has them.

    Raises:
        SelectionError: The text has no such token.
    """
    known = trace.tokens(view.image, view.branch)
    if known and (bad := [token for token in tokens if not 0 <= token < len(known)]):
        raise SelectionError(
            f"token {bad[0]}: the text of branch {view.branch!r} has tokens 0 to {len(known) - 1}"
        )
    asked = set(tokens)
    words = [
        span for span in trace.words(view.image, view.branch) if span.tokens and asked.issuperset(span.tokens)
    ]
    if len(words) == 1 and asked == set(words[0].tokens):
        return words[0]
    names = [span.word for span in words]
    of_roles = {name: {token.index for token in known if f"<{token.role}>" == name} for name in ROLES}
    names += [name for name, numbers in of_roles.items() if numbers and asked >= numbers]
    return TokenSpan(
        " + ".join(names) or f"tokens {', '.join(map(str, sorted(asked)))}", 0, 0, tuple(sorted(asked))
    )


Make = Callable[[Trace, Wanted, Path, Progress], Any]


@dataclass(frozen=True)
class _Kind:
    ending: str
    media_type: str
    make: Make


def _page(trace: Trace, wanted: Wanted, path: Path, progress: Progress) -> None:
    view = wanted.view
    export_page(trace, path, step=view.step, branch=view.branch, image=view.image, progress=progress)


def _report(trace: Trace, wanted: Wanted, path: Path, progress: Progress) -> None:
    view = wanted.view
    report(trace, path, steps=view.step, branch=view.branch, image=view.image, progress=progress)


def _moving(trace: Trace, wanted: Wanted, path: Path, progress: Progress) -> None:
    view = wanted.view
    animate(
        trace,
        span_of(trace, wanted.tokens, view),
        path,
        blocks=view.block,
        heads=view.head,
        branch=view.branch,
        image=view.image,
        progress=progress,
    )


def _trace(trace: Trace, wanted: Wanted, path: Path, progress: Progress) -> None:
    trace.save(path)


_KINDS: dict[MadeKind, _Kind] = {
    "page": _Kind(".html", "text/html; charset=utf-8", _page),
    "report": _Kind(".report.html", "text/html; charset=utf-8", _report),
    "gif": _Kind(".gif", "image/gif", _moving),
    "mp4": _Kind(".mp4", "video/mp4", _moving),
    "trace": _Kind(".trace", "application/zip", _trace),
}


@cache
def _tidy_once() -> None:
    """Take away what viewers left that were killed."""
    tidy(tempfile.gettempdir())
