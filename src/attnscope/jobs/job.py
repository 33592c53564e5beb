"""What a job over many pictures is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Item:
    """One input.

    Attributes:
        name: Of the output, relative to its folder, with `/` between parts; unique among the items of a job.
        address: Path or fsspec address of the input.
    """

    name: str
    address: str


@dataclass(frozen=True)
class Failure:
    """Why an item gave nothing.

    Attributes:
        type: Name of the exception's class.
        message: What it said.
    """

    type: str
    message: str


@dataclass(frozen=True)
class Row:
    """What became of one item.

    Attributes:
        item: The item.
        facts: Plain values that the job tells of it.
        error: Why it failed, None if it did not.
        seconds: How long it took.
        skipped: Whether it was done before.
    """

    item: Item
    facts: dict[str, Any] = field(default_factory=dict)
    error: Failure | None = None
    seconds: float = 0.0
    skipped: bool = False

    @property
    def status(self) -> str:
        """'done', 'skipped' or 'failed'."""
        return "failed" if self.error else "skipped" if self.skipped else "done"


Work = Callable[[Item], dict[str, Any]]


class Job(Protocol):
    """What is done to each item: a frozen dataclass of plain data, which is pickled to workers."""

    def open(self) -> Work:
        """Load what all items need, once a worker. The result writes an item's output itself, whole or not at all."""
        ...

    def is_done(self, item: Item) -> bool:
        """Whether the output is there and was made by this job, from this input.

        Args:
            item: The item. An input that can't be read is not done; its error belongs to the work.

        Raises:
            OutputError: The output is there and is another job's, and may not be written over.
        """
        ...


class Engine(Protocol):
    """Where items are worked on."""

    def rows(self, job: Job, items: Sequence[Item]) -> Iterator[Row]:
        """What becomes of each item, as it is done, in any order.

        Args:
            job: The job.
            items: Items that are not done.
        """
        ...


def attempt(work: Work, item: Item) -> Row:
    """Work on one item; whatever it raises becomes part of its row, but for what ends a process.

    Args:
        work: What `Job.open` gave.
        item: The item.
    """
    began = time.perf_counter()
    try:
        facts = work(item)
    except Exception as error:
        failure = Failure(type(error).__name__, str(error))
        return Row(item, error=failure, seconds=time.perf_counter() - began)
    return Row(item, facts, seconds=time.perf_counter() - began)
