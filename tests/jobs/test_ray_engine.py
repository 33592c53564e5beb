"""Ray's workers: a local cluster of two, one of which is killed in the middle."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from many_cases import Lengths

from attnscope.errors import ModelError, ParameterError, WorkerError
from attnscope.jobs import ray_engine
from attnscope.jobs.items import items_of
from attnscope.jobs.ray_engine import RayEngine
from attnscope.jobs.running import run


def test_wrong_numbers_are_refused():
    with pytest.raises(ParameterError, match="workers is 0"):
        RayEngine(workers=0)


@dataclass(frozen=True)
class WithoutModel(Lengths):
    """A job that no worker can begin."""

    def open(self):
        raise ModelError("no such folder")


def test_a_worker_that_cannot_begin_ends_the_run_and_says_why(tmp_path):
    worker = ray_engine._Worker(WithoutModel(str(tmp_path), str(tmp_path / "log")))
    (answer,) = worker({"name": ["a"], "address": ["a.png"]})["row"]
    with pytest.raises(WorkerError, match="a worker could not start: ModelError: no such folder"):
        ray_engine._row(json.loads(answer))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore::FutureWarning:ray")
def test_a_killed_worker_loses_nothing_and_nothing_is_done_twice(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    folders, make = [], tempfile.mkdtemp
    monkeypatch.setattr(
        ray_engine.tempfile, "mkdtemp", lambda **how: folders.append(make(**how)) or folders[-1]
    )
    (tmp_path / "in").mkdir()
    for number in range(12):
        (tmp_path / "in" / f"{number}.png").write_bytes({3: b"kill", 7: b"broken"}.get(number, b"x" * number))
    job = Lengths(str(tmp_path / "result"), str(tmp_path / "log"), 0.05)
    rows = list(run(job, items_of([str(tmp_path / "in")]), engine=RayEngine(workers=2)))
    assert (tmp_path / "log.killed").exists()
    assert sorted(int(row.item.name) for row in rows) == list(range(12))
    assert [row.item.name for row in rows if row.error] == ["7"]
    done = (tmp_path / "log").read_text().split()
    assert sorted(done, key=int) == [str(number) for number in range(12) if number != 7]
    ours = [folder for folder in folders if "attnscope-ray-" in folder]
    assert len(ours) == 1
    assert not Path(ours[0]).exists()
