"""A few threads that are kept for work in tiles. In each of them torch itself uses one thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_lock = threading.Lock()
_pool: tuple[int, ThreadPoolExecutor] | None = None
"""The number of threads, and the threads."""


def in_tile_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The results of `work(item)` for every item, in the items' order.

    The items are shared among as many threads as torch uses. In each of them torch itself uses one.
    After an exception, or Ctrl-C, no further item is started. The exception is raised once the running items are
    done.

    Args:
        work: Called once for each item, from several threads at a time.
        items: What to work on.

    Returns:
        One result per item.
    """
    count = torch.get_num_threads()
    if count == 1:
        return [work(item) for item in items]
    futures: list[Future[Result]] = []
    try:
        with _lock:  # so that no other caller stops the pool meanwhile
            pool = _pool_of(count)
            for item in items:
                futures.append(pool.submit(work, item))
        wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        for future in futures:
            future.cancel()
        wait(futures)
    return [future.result() for future in futures]


def start_tile_threads() -> None:
    """Start the threads now, because starting them changes torch's settings for a moment."""
    if (count := torch.get_num_threads()) > 1:
        with _lock:
            _pool_of(count)


def _pool_of(count: int) -> ThreadPoolExecutor:
    """A pool of `count` threads with torch's own threading off inside; kept, because starting them takes time.

    torch's number of threads elsewhere, also in threads that start later, stays as it is.
    """
    global _pool
    if _pool is None or _pool[0] != count:
        if _pool is not None:
            _pool[1].shutdown(wait=False)
        _pool = (count, _started(count))
    return _pool[1]


def _started(count: int) -> ThreadPoolExecutor:
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "attnscope", initializer=_alone)
    all_there = threading.Barrier(count + 1)
    for _ in range(count):
        pool.submit(all_there.wait)
    all_there.wait()
    torch.set_num_threads(before)  # a thread's setting is also torch's default for threads that start later
    return pool


def _alone() -> None:
    """Use one thread here. A thread's first look at the setting replaces it by the default, so look first."""
    torch.get_num_threads()
    torch.set_num_threads(1)


def _settle_vector_mathematics() -> None:
    """Call exp and log once, before threads call them at the same time.

    MKL chooses a function's code at its first call. First calls in two threads at a time can get a code of low
    accuracy (pytorch/pytorch#188792; seen here in some fresh processes as errors of 1.6e-7 instead of 6e-9).
    """
    for dtype in (torch.float32, torch.float64):
        for function in (torch.exp, torch.log):
            function(torch.ones(1, dtype=dtype))


def _forget() -> None:
    """A forked process has none of its parent's threads."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


_settle_vector_mathematics()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
