"""Workers of a Ray cluster: each loads the model once, works on an item at a time and writes results itself.

Ray Data starts the workers, hands them small blocks, holds back what they can't take yet and starts killed ones again.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from attnscope.errors import ParameterError, WorkerError, missing_extra
from attnscope.jobs.job import Failure, Item, Job, Row, attempt

_MOST_BLOCKS = 10_000
_STORE_BYTES = 100_000_000  # of rows alone: pictures never go through Ray


class _Worker:
    """What Ray keeps in each worker process."""

    def __init__(self, job: Job) -> None:
        self.job, self.begun = job, False
        try:
            self.work, self.begun = job.open(), True
        except Exception as error:  # raised here, it would start workers again and again
            self.failure = f"{type(error).__name__}: {error}"

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        if not self.begun:
            return {"row": [json.dumps({"not_begun": self.failure})]}
        pairs = zip(batch["name"], batch["address"], strict=True)
        rows = [self._row(Item(str(name), str(address))) for name, address in pairs]
        return {"row": [json.dumps(asdict(row)) for row in rows]}

    def _row(self, item: Item) -> Row:
        """A block that a killed worker had begun is given out again: what it wrote is not done twice."""
        return Row(item) if self.job.is_done(item) else attempt(self.work, item)


@dataclass(frozen=True)
class RayEngine:
    """Ray Data with actors.

    Attributes:
        address: Of a cluster: "auto", or ray://HOST:PORT. None: processes of this machine, gone at the end.
        workers: How many; 2 by default.
        num_gpus: GPUs of each worker, also a part of one.
        num_cpus: Cores of each worker.
    """

    address: str | None = None
    workers: int | None = None
    num_gpus: float = 0
    num_cpus: float = 1

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.workers is not None and self.workers < 1:
            raise ParameterError(f"workers is {self.workers}; expected 1 or more")
        if self.num_gpus < 0 or self.num_cpus < 0:
            raise ParameterError(
                f"a worker has {self.num_gpus} GPUs and {self.num_cpus} cores; expected 0 or more of each"
            )

    def rows(self, job: Job, items: Sequence[Item]) -> Iterator[Row]:
        """What becomes of each item, as it is done, in any order.

        Args:
            job: The job; it is pickled to the workers, as are its addresses, which all of them must reach.
            items: Items that are not done.

        Raises:
            MissingExtraError: Ray is not installed.
            WorkerError: A worker could not begin, such as without its model.
        """
        if not items:
            return
        with self._cluster():
            for answer in self._answers(job, items).iter_rows():
                yield _row(json.loads(answer["row"]))

    def _answers(self, job: Job, items: Sequence[Item]) -> Any:
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = 0
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # its plans; what goes wrong is raised
        blocks = min(len(items), _MOST_BLOCKS)
        given = ray.data.from_items([asdict(item) for item in items], override_num_blocks=blocks)
        return given.map_batches(
            _Worker,
            fn_constructor_kwargs={"job": job},
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=self._size(items)),
            num_gpus=self.num_gpus,
            num_cpus=self.num_cpus,
        )

    def _size(self, items: Sequence[Item]) -> int:
        return min(self.workers or 2, len(items))

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        """A connection that ends with the block; a cluster of our own ends too, and its folder is taken away."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise missing_extra("--engine ray", "Ray", "ray") from error
        if ray.is_initialized():  # the caller's own
            yield
            return
        folder = tempfile.mkdtemp(prefix="attnscope-ray-")
        try:
            ray.init(**(self._local(folder) if self.address is None else {"address": self.address}))
            yield
        finally:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)

    def _local(self, folder: str) -> dict[str, Any]:
        workers = self.workers or 2
        return {
            "address": "local",
            "num_cpus": int(workers * max(self.num_cpus, 1)) + 1,
            "num_gpus": None if self.num_gpus else 0,
            "include_dashboard": False,
            "log_to_driver": False,
            "logging_level": "error",
            "object_store_memory": _STORE_BYTES,
            "_temp_dir": folder,
        }


def _row(plain: dict[str, Any]) -> Row:
    if "not_begun" in plain:
        raise WorkerError(f"a worker could not start: {plain['not_begun']}")
    error = Failure(**plain["error"]) if plain["error"] else None
    return Row(Item(**plain["item"]), plain["facts"], error, plain["seconds"], plain["skipped"])
