"""A job over its items: what is done is skipped, the rest goes to an engine."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from attnscope.errors import ParameterError
from attnscope.jobs.job import Engine, Item, Job, Row
from attnscope.jobs.loop import Loop

_LOOKING = 16  # threads that look for outputs, which wait for the network where places are remote


def run(
    job: Job,
    items: Sequence[Item],
    *,
    engine: Engine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Row]:
    """Do a job. What is done already is found before this returns; nothing that one item does stops the others.

    Args:
        job: What is done to each item.
        items: Items with unique names.
        engine: `Loop()` by default, or `RayEngine(...)`.
        progress: Called as progress(done, total) after each item.

    Returns:
        A row for each item: those that were done before first, the others as they are done.

    Raises:
        ParameterError: Two items have one name.
        OutputError: An output is another job's; nothing was begun.
    """
    if twice := [name for name, count in Counter(item.name for item in items).items() if count > 1]:
        raise ParameterError(f"several items are named {twice[0]!r}: give each its own name")
    with ThreadPoolExecutor(_LOOKING) as threads:
        done = list(threads.map(job.is_done, items))
    skipped = [Row(item, skipped=True) for item, is_done in zip(items, done, strict=True) if is_done]
    left = [item for item, is_done in zip(items, done, strict=True) if not is_done]
    rows = itertools.chain(skipped, (engine or Loop()).rows(job, left))
    return _counted(rows, len(items), progress)


def _counted(rows: Iterator[Row], total: int, progress: Callable[[int, int], None] | None) -> Iterator[Row]:
    for done, row in enumerate(rows, start=1):
        if progress is not None:
            progress(done, total)
        yield row
