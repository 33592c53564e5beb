"""Where a new capture puts its passes."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from attnscope.storage.budgeted import BudgetedStore
from attnscope.storage.folder import TraceFolder
from attnscope.storage.memory import MemoryStore, Store


def open_store(folder: str | Path | None, budget: int | None) -> Store:
    """The place where a new capture puts its passes.

    Args:
        folder: A new folder. None: memory; with a budget the oldest calls then go to a temporary folder, which is gone
            with the store.
        budget: The most bytes of memory. None: no limit.

    Raises:
        OutputError: The folder exists already.
    """
    if folder is not None:
        written = TraceFolder.create(folder)
        return written if budget is None else BudgetedStore(written, budget, spill=False)
    if budget is None:
        return MemoryStore()
    place = tempfile.mkdtemp(prefix="attnscope-")
    store = BudgetedStore(TraceFolder.create(place), budget, spill=True)
    weakref.finalize(store, shutil.rmtree, place, ignore_errors=True)
    return store
