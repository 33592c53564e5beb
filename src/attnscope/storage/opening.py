"""Where the records of a new capture go."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from attnscope.records import Run
from attnscope.storage.budgeted import BudgetedRecords
from attnscope.storage.folder import TraceFolder
from attnscope.storage.memory import MemoryRecords, Records


def open_records(folder: str | Path | None, budget: int | None, run: Run) -> Records:
    """Records in a new folder, or in memory where none is given; with a budget of bytes, within it.

    In memory with a budget the oldest steps go to a temporary folder, which is gone with the records.
    Raises OutputError where the folder is taken.
    """
    if folder is not None:
        written = TraceFolder.create(folder, run)
        return written if budget is None else BudgetedRecords(written, budget, spill=False)
    if budget is None:
        return MemoryRecords()
    place = tempfile.mkdtemp(prefix="attnscope-")
    records = BudgetedRecords(TraceFolder.create(place, run), budget, spill=True)
    weakref.finalize(records, shutil.rmtree, place, ignore_errors=True)
    return records
