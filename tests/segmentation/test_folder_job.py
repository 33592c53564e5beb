"""A photo's files are published so that a kill between any two of them leaves it undone."""

from __future__ import annotations

import json

import fsspec
import pytest

from attnscope.jobs.items import items_of
from attnscope.jobs.places import identity
from attnscope.segmentation import folder_job
from attnscope.segmentation.folder_job import SegmentJob


class Killed(BaseException):
    pass


@pytest.fixture(params=["here", "memory"])
def job(request, tmp_path):
    yield SegmentJob("memory://out" if request.param == "memory" else str(tmp_path / "out"))
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def item(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"picture")
    return items_of([str(tmp_path / "in")])[0]


def publish(job, item, place, contents):
    place.mkdir(exist_ok=True)
    for ending in (".labels.png", ".overlay.png"):
        (place / f"it{ending}").write_bytes(contents)
    facts = {"job": {"recipe": job.recipe, "input": identity(item.address), "facts": {"segments": 2}}}
    job._publish(item, place, json.dumps(facts))


@pytest.mark.parametrize("last", range(3))
def test_a_kill_between_files_leaves_the_photo_undone(job, item, tmp_path, monkeypatch, last):
    publish(job, item, tmp_path / "made", b"older")
    assert job.is_done(item)
    assert job.recorded(item) == {"segments": 2}
    write, count = folder_job.write, iter(range(9))

    def killed(address, contents):
        if next(count) == last:
            raise Killed
        write(address, contents)

    monkeypatch.setattr(folder_job, "write", killed)
    with pytest.raises(Killed):
        publish(job, item, tmp_path / "made", b"newer")
    assert not job.is_done(item)
    monkeypatch.setattr(folder_job, "write", write)
    publish(job, item, tmp_path / "made", b"newer")
    assert job.is_done(item)
