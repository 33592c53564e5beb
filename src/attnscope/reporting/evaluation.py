"""An evaluation as a page, and its three files: JSON, Markdown, HTML."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from attnscope.evaluation.markdown import (
    PUBLISHED,
    SCORES,
    TRIED,
    class_rows,
    markdown,
    published_rows,
    score_rows,
    tried_rows,
)
from attnscope.evaluation.result import Evaluation, per_cent
from attnscope.files import check_free, whole_files
from attnscope.files.plain import finite
from attnscope.reporting.markup import foreign, picture, section, text
from attnscope.reporting.page import document, facts_list

NAMES = ("report.json", "report.md", "report.html")
SIDE_PX = 784
"""Of three pictures beside each other."""


def save_evaluation(evaluation: Evaluation, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Write report.json, report.md and report.html, all or none.

    Args:
        evaluation: What they say.
        folder: Where they go.
        overwrite: Write over those that are there.

    Raises:
        OutputError: One of them is there already, or can't be written.
    """
    paths = [Path(folder, name) for name in NAMES]
    check_free(paths, overwrite=overwrite)
    numbers = json.dumps(
        finite(evaluation.to_dict()), indent=1, ensure_ascii=False, allow_nan=False, default=str
    )
    contents = (numbers + "\n", markdown(evaluation), evaluation_page(evaluation))
    with whole_files(paths) as partials:
        for partial, content in zip(partials, contents, strict=True):
            partial.write_text(content, "utf-8")
    return paths


def evaluation_page(evaluation: Evaluation) -> str:
    """The page: nothing in it is loaded from elsewhere, and it has no scripts.

    Args:
        evaluation: What it says.
    """
    title = f"{evaluation.dataset.title}, {evaluation.model}"
    head = (
        f'<header><div><p class="kicker">attnscope evaluation</p><h1>{foreign(title)}</h1>'
        f"{facts_list(evaluation.facts().items())}</div></header>"
    )
    return document(title, head + "".join(_sections(evaluation)))


def _sections(evaluation: Evaluation) -> Iterator[str]:
    lead = "In per cent. In brackets the middle 95 % when pictures are drawn again with replacement."
    yield section("Scores", text(lead), [_table(SCORES, score_rows(evaluation), numbers=3)])
    if evaluation.published:
        yield section("Published", "In per cent.", [_table(PUBLISHED, published_rows(evaluation), numbers=2)])
    if evaluation.tried:
        lead = "From the attention of the same passes, on the same pictures."
        yield section(
            "Other thresholds", text(lead), [_table(TRIED, tried_rows(evaluation), numbers=4, first=2)]
        )
    yield section("Pictures", "Picture, truth, segments; grey is not judged.", _pictures(evaluation))
    columns = ("Class", "Pixels", *evaluation.scores)
    classes = _table(columns, class_rows(evaluation), numbers=len(columns) - 1)
    yield section("Classes", "IoU in per cent.", [classes])
    told = [*evaluation.notes, *(f"Failed: {name}: {message}" for name, message in evaluation.failed)]
    yield section(
        "To know", "", [f'<ul class="gaps">{"".join(f"<li>{text(each)}</li>" for each in told)}</ul>']
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int, first: int = 1) -> str:
    """A table whose columns from `first` on, as many as `numbers`, are numbers."""
    right = range(first, first + numbers)
    marks = [' class="number"' if at in right else "" for at in range(len(columns))]
    titles = "".join(f"<th{mark}>{text(title)}</th>" for mark, title in zip(marks, columns, strict=True))
    lines = (
        "".join(f"<td{mark}>{foreign(cell)}</td>" for mark, cell in zip(marks, row, strict=True))
        for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    table = f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="words scores">{table}</table></div>'


def _pictures(evaluation: Evaluation) -> Iterator[str]:
    yield '<div class="triples">'
    for each in evaluation.examples:
        shown = picture(each.drawn, f"{each.name}: picture, truth and segments", SIDE_PX)
        told = f"mIoU {per_cent(each.miou)} by itself, boundary F {per_cent(each.boundary_f)}, {each.segments} segments"
        yield (
            f'<figure>{shown}<p class="told"><b>{text(each.rank.capitalize())}</b>: {foreign(each.name)}; '
            f"{text(told)}</p></figure>"
        )
    yield "</div>"
