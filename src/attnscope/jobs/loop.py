"""One process, one item after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attnscope.jobs.job import Item, Job, Row, attempt


@dataclass(frozen=True)
class Loop:
    """The plain loop. The job is opened once, before the first item."""

    def rows(self, job: Job, items: Sequence[Item]) -> Iterator[Row]:
        """What becomes of each item, in order.

        Args:
            job: The job.
            items: Items that are not done.
        """
        if items:
            work = job.open()
            for item in items:
                yield attempt(work, item)
