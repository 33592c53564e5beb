"""Traces that somebody brings: as a folder or a zip they are looked at like any other, and nothing else is taken."""

import io
import zipfile

import numpy as np
import pytest

import attnscope
from attnscope.testing.made_traces import made_trace
from unpacking import unpack


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "made.trace"
    made_trace(grids=((8, 12),), steps=2, heads=2).save(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def packed(files, folder="made.trace/"):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{folder}{name}", content)
    return body.getvalue()


def sent(studio, files, name="brought"):
    key = studio.client.post("/api/uploads").json()["key"]
    for file, content in files.items():
        answer = studio.client.put(f"/api/uploads/{key}/{file}", content=content)
        assert answer.status_code == 204, answer.text
    return studio.client.post(f"/api/uploads/{key}/done", params={"name": name})


def shown(studio, run):
    trace = attnscope.load_trace(next(studio.folder.glob(f"{run['number']:04d}-*")) / "run.trace")
    answer = studio.client.get(f"/api/traces/{run['trace']}/place", params={"top": 0.5, "left": 0.5})
    return unpack(answer.content)[0][1], trace


def left_over(studio):
    return [path.name for path in studio.folder.iterdir() if path.name.startswith((".", "attnscope-"))]


@pytest.mark.parametrize("how", ["folder", "zip"])
def test_a_trace_that_is_brought_is_looked_at_like_any_other(studio, files, how):
    if how == "folder":
        answer = sent(studio, files)
    else:
        answer = studio.client.post("/api/zips", params={"name": "brought"}, content=packed(files))
    run = answer.json()
    assert (run["kind"], run["state"], run["name"]) == ("trace", "done", "brought"), run
    found, trace = shown(studio, run)
    assert found.shape == (8, 12)
    assert found.sum() == pytest.approx(1, abs=1e-2)
    assert len(trace.steps) == 2
    assert not left_over(studio)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda files: b"", "can't be read"),
        (lambda files: b"PK\3\4 no zip", "can't be read"),
        (lambda files: packed({}), "0 files"),
        (lambda files: packed({"../../evil": b"x"}, ""), "not a trace"),
        (lambda files: packed({".hidden": b"x"}), "which no trace has"),
        (lambda files: packed({"a/b": b"x", "c": b"y"}), "several folders"),
        (lambda files: packed({"picture.png": b"x"}), "not a trace"),
        (lambda files: packed({**files, "manifest.json": b"{"}), "not a trace"),
        (lambda files: packed(files)[:-40], "can't be read"),
    ],
    ids=["empty", "no-zip", "none", "above", "hidden", "several", "other", "damaged", "cut"],
)
def test_what_is_no_trace_is_refused_and_leaves_nothing(studio, files, make, words):
    runs = len(studio.news()["runs"])
    answer = studio.client.post("/api/zips", params={"name": "evil"}, content=make(files))
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]
    assert len(studio.news()["runs"]) == runs
    assert not left_over(studio)


@pytest.mark.parametrize("name", ["..", ".hidden", "a b", "%2e%2e%2fevil", "x" * 300])
def test_names_that_no_trace_has_are_refused(studio, name):
    key = studio.client.post("/api/uploads").json()["key"]
    answer = studio.client.put(f"/api/uploads/{key}/{name}", content=b"x")
    assert 400 <= answer.status_code < 500
    studio.client.post(f"/api/uploads/{key}/done")
    assert not left_over(studio)


def test_what_is_too_large_ends_the_upload(studio, files, monkeypatch):
    monkeypatch.setattr("attnscope.studio.uploads.MOST_BYTES", 100)
    key = studio.client.post("/api/uploads").json()["key"]
    answer = studio.client.put(f"/api/uploads/{key}/manifest.json", content=b"x" * 200)
    assert answer.status_code == 400
    assert "too large" in answer.json()["error"]
    assert studio.client.put(f"/api/uploads/{key}/more", content=b"x").status_code == 404
    assert not left_over(studio)


def test_few_uploads_are_under_way_at_a_time(studio):
    keys = [studio.client.post("/api/uploads").json()["key"] for _ in range(4)]
    refused = studio.client.post("/api/uploads")
    assert refused.status_code == 429
    for key in keys:
        assert studio.client.post(f"/api/uploads/{key}/done").status_code == 400
    assert studio.client.post("/api/uploads").status_code == 200
    studio.client.app.state.studio.uploads.close()
    assert np.array_equal(left_over(studio), [])
