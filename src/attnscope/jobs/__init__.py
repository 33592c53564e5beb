"""Many pictures: what is done already, one process or many machines, what failed.

    rows = run(job, items_of(["photos"]), engine=RayEngine(workers=4))

job.py         the nouns: Item, Job, Row, Engine
running.py     run: what is done is skipped, the rest goes to an engine
loop.py        one process, one item after the other
ray_engine.py  workers of a Ray cluster that load the model once
items.py       a folder, a pattern, a list or an address to items with names
places.py      files here and behind fsspec addresses: read, written whole, identified
report.py      what became of each item, as Parquet and JSON
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnscope.lazily import lazily

if TYPE_CHECKING:
    from attnscope.jobs.items import items_of
    from attnscope.jobs.job import Engine, Failure, Item, Job, Row
    from attnscope.jobs.loop import Loop
    from attnscope.jobs.ray_engine import RayEngine
    from attnscope.jobs.running import run

__all__ = ["Engine", "Failure", "Item", "Job", "Loop", "RayEngine", "Row", "items_of", "run"]

_HOMES = {
    **dict.fromkeys(("Engine", "Failure", "Item", "Job", "Row"), "job"),
    "Loop": "loop",
    "RayEngine": "ray_engine",
    "items_of": "items",
    "run": "running",
}

__getattr__, __dir__ = lazily(__name__, _HOMES)
