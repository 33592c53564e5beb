"""Where a new capture puts its passes."""

from __future__ import annotations

import os
import shutil
import weakref
from pathlib import Path

from attnscope.errors import OutputError
from attnscope.files.temporary import temporary_folder, tidy
from attnscope.storage.budgeted import BudgetedStore
from attnscope.storage.folder import TraceFolder
from attnscope.storage.memory import MemoryStore, Store
from attnscope.storage.overflowing import OverflowingStore
from attnscope.storage.room import temporary_place


def open_store(folder: str | Path | None, budget: int | None, *, on_device: bool = False) -> Store:
    """The place where a new capture puts its passes.

    Args:
        folder: A new folder. None: memory, and what is too much for it goes to a temporary folder, the oldest calls
            first, which is gone with the store.
        budget: The most bytes of memory. None: a share of what is free, and of a folder, one call.
        on_device: Records stay on the model's device, which has no more room than it has.

    Raises:
        OutputError: The folder exists already.
    """
    if folder is not None:
        written = TraceFolder.create(folder)
        return written if budget is None else BudgetedStore(written, budget, spill=False)
    if budget is None:
        return MemoryStore() if on_device else OverflowingStore(_spilling)
    return _spilling(budget)


def _spilling(budget: int) -> BudgetedStore:
    place = _temporary_folder()
    store = BudgetedStore(TraceFolder.create(place, temporary=True), budget, spill=True)
    weakref.finalize(store, _remove, place, os.getpid())
    return store


def _remove(place: str, owner: int) -> None:
    if os.getpid() == owner:  # not in a process that was forked, and ends before
        shutil.rmtree(place, ignore_errors=True)


def _temporary_folder() -> str:
    try:
        tidy(temporary_place())
        return temporary_folder(temporary_place())
    except OSError as error:
        raise OutputError(
            f"no temporary folder for steps beyond the budget can be made: {error}; set TMPDIR to a place with "
            "room, or name a folder of your own (folder=)"
        ) from error
