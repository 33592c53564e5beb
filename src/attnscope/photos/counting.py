"""How far long work is: told to whoever asks, else shown by the pipeline's own progress bar."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

Progress = Callable[[int, int], None]
Stepped = Callable[[], Any]


def nothing() -> None:
    """What is called after each part of work that nobody counts."""


@contextmanager
def counting(pipe: Any, total: int, progress: Progress | None) -> Iterator[Stepped]:
    """A function to call after each part of the work.

    Args:
        pipe: A pipeline, whose bar is shown as in its own calls if nobody else counts; it is left as it was.
        total: How many parts there are.
        progress: Called as progress(done, total).

    Yields:
        What counts one part.
    """
    if progress is None:
        with copy(pipe).progress_bar(total=total) as bar:
            yield bar.update
        return
    done = itertools.count(1)
    yield lambda: progress(next(done), total)
