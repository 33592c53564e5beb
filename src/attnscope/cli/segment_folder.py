"""`attnscope segment` of folders, patterns, lists and addresses: what is done is skipped, what fails is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.progress import Progress, TaskID

from attnscope.cli.loading import quietly
from attnscope.cli.output import print_json, progress, say, say_error
from attnscope.errors import check_extra
from attnscope.files import is_folder
from attnscope.files.temporary import tidy

if TYPE_CHECKING:
    from attnscope.jobs.job import Engine, Row
    from attnscope.segmentation.folder_job import SegmentJob

_MOST_SAID = 20  # failures that are said; all of them are in the report


def names_many(sources: Sequence[str]) -> bool:
    """Whether one of the arguments is a folder of pictures, a pattern, a list or an address.

    Args:
        sources: The arguments.
    """
    from attnscope.jobs.items import is_many

    return any(is_many(source) or _is_picture_folder(source) for source in sources)


def _is_picture_folder(source: str) -> bool:
    """Any folder but a trace, whole or broken, and but what `attnscope generate` wrote, whose trace is meant."""
    from attnscope.trace.files import trace_folder

    path = Path(source)
    if not is_folder(path) or path.suffix == ".trace" or (path / "manifest.json").exists():
        return False
    return trace_folder(path) == path


def segment_folder(sources: Sequence[str], job: SegmentJob, engine: Engine, *, as_json: bool) -> None:
    """Segment all pictures that are named, and write report.json and report.parquet.

    Args:
        sources: Folders, patterns, lists, addresses, pictures.
        job: What is done to each.
        engine: Where.
        as_json: Print the rows as JSON.

    Raises:
        typer.Exit: Code 1; at least one failed.
        OutputError: There are outputs of another recipe, or nothing can be written.
    """
    from attnscope.jobs.items import items_of
    from attnscope.jobs.places import check_writable, is_remote
    from attnscope.jobs.report import write_report
    from attnscope.jobs.running import run

    check_extra("a report of many pictures", "folders")
    items = items_of(sources, leave_out=job.output)
    if not is_remote(job.output):
        tidy(job.output)
    check_writable(job.output)
    with quietly("looking for finished pictures"):
        coming = run(job, items, engine=engine)
    rows: list[Row] = []
    try:
        with progress("segments") as bars:
            task = bars.add_task("segments", total=len(items))
            counts: Counter[str] = Counter()
            for row in coming:
                rows.append(replace(row, facts=job.recorded(row.item)) if _lacks_facts(row) else row)
                counts[row.status] += 1
                _tell(bars, task, row, counts)
    finally:  # also after Ctrl+C: outputs say what is done, so the same command goes on
        if rows:
            write_report(rows, job.output)
    _end(rows, job.output, as_json)


def _lacks_facts(row: Row) -> bool:
    return not row.facts and row.error is None


def _tell(bars: Progress, task: TaskID, row: Row, counts: Counter[str]) -> None:
    """Rate and time left, from what this start has done; the first failures."""
    bar = bars.tasks[task]
    worked, elapsed = counts["done"] + counts["failed"], bar.elapsed or 0.0
    if worked and elapsed:
        rate, left = worked / elapsed, (bar.total or 0) - counts.total()
        bars.update(task, description=f"segments, {rate:.2f} a second, {_time(left / rate)} left")
    bars.update(task, completed=counts.total())
    if row.error and counts["failed"] <= _MOST_SAID:
        address, message = row.item.address, row.error.message
        say_error(message if address in message else f"{address}: {message}")


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _end(rows: list[Row], output: str, as_json: bool) -> None:
    if as_json:
        from attnscope.jobs.report import plain_row

        plain: list[dict[str, Any]] = [plain_row(row) for row in rows]
        print_json(plain)
    counts = {status: sum(row.status == status for row in rows) for status in ("done", "skipped", "failed")}
    say(
        f"{counts['done']} done, {counts['skipped']} were done before, {counts['failed']} failed: {output}/report.json"
    )
    if counts["failed"]:
        say_error(f"{counts['failed']} of {len(rows)} pictures failed; see report.json for which and why")
        raise typer.Exit(1)
