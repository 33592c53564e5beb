"""A job's items one after the other, in this process; what one of them does stops none of the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Item:
    """One picture of a job.

    Attributes:
        name: Unique; of the output.
        address: Of the input.
    """

    name: str
    address: str


@dataclass(frozen=True)
class Row:
    """What became of an item.

    Attributes:
        item: The item.
        facts: What its work returned; None if it failed or was done before.
        error: (type, message) if it failed.
        seconds: What it took.
        skipped: It was done before.
    """

    item: Item
    facts: dict[str, Any] | None = None
    error: tuple[str, str] | None = None
    seconds: float = 0.0
    skipped: bool = False


class Job(Protocol):
    """Work that an engine can do."""

    def open(self) -> Callable[[Item], dict[str, Any]]:
        """What does an item."""
        ...

    def is_done(self, item: Item) -> bool:
        """Whether an item was done before.

        Args:
            item: One of the job's.
        """
        ...


Engine = Callable[[Job, Sequence[Item]], Iterator[Row]]


def loop(job: Job, items: Sequence[Item]) -> Iterator[Row]:
    """A row for each item, in order.

    Args:
        job: The work.
        items: What to do it with.
    """
    work = job.open()
    for item in items:
        if job.is_done(item):
            yield Row(item, skipped=True)
            continue
        began = time.perf_counter()
        try:
            facts = work(item)
        except Exception as error:
            yield Row(item, error=(type(error).__name__, str(error)), seconds=time.perf_counter() - began)
        else:
            yield Row(item, facts, seconds=time.perf_counter() - began)
