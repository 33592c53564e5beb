"""Files to take along: equal to what Python writes, made beside other answers, cancelled, removed in the end."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
import zipfile

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import attnscope
from attnscope.errors import TraceFormatError
from attnscope.files.temporary import Owner
from attnscope.records import TokenSpan
from attnscope.testing.made_traces import made_trace
from attnscope.trace.trace import Trace
from attnscope.viewer import making
from attnscope.viewer.app import create_app
from attnscope.viewer.export import export_page
from attnscope.viewer.naming import attachment, file_name
from attnscope.viewer.opened import OpenTrace
from viewer.waiting import waited

MADE = "/api/traces/0/made"


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The system's folder for temporary files, of this test alone."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def made(client, query):
    state = waited(client, f"{MADE}?{query}")
    assert state["state"] == "ready", state
    answer = client.get(f"{MADE}/file?{query}")
    answer.raise_for_status()
    return answer


def name_of(answer):
    return answer.headers["content-disposition"].split('filename="')[1].split('"')[0]


@pytest.fixture
def folder(trace, tmp_path):
    return trace.save(tmp_path / "run.trace")


@pytest.fixture
def on_disk(folder):
    with TestClient(create_app([folder]), base_url="http://127.0.0.1") as client:
        yield client


def unzipped(answer, place):
    with zipfile.ZipFile(io.BytesIO(answer.content)) as zipped:
        assert zipped.testzip() is None
        assert {entry.compress_type for entry in zipped.infolist()} == {zipfile.ZIP_STORED}
        names = zipped.namelist()
        zipped.extractall(place)
    return names


def test_the_trace_as_a_zip_opens_as_the_same_trace(on_disk, folder, trace, tmp_path):
    (folder / "mine.txt").write_text("not of the trace")
    answer = on_disk.get("/api/traces/0/zip")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert name_of(answer) == "red-cat-1.trace.zip"
    names = unzipped(answer, tmp_path / "out")
    assert {name.split("/")[0] for name in names} == {"red-cat-1.trace"}
    (folder / "mine.txt").unlink()
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name.split("/")[1] for name in names} == set(files)
    for path in (tmp_path / "out" / "red-cat-1.trace").iterdir():
        assert path.read_bytes() == files[path.name]
    again = attnscope.load_trace(tmp_path / "out" / "red-cat-1.trace")
    assert again.prompt() == trace.prompt()
    np.testing.assert_array_equal(attnscope.heat_map(again, "cat"), attnscope.heat_map(trace, "cat"))
    np.testing.assert_array_equal(np.asarray(again.picture_of(1)), np.asarray(trace.picture_of(1)))


@pytest.mark.slow
def test_previews_and_reduced_maps_are_in_the_zip(pipe, seeded, tmp_path):
    with attnscope.capture(pipe, previews=True) as trace:
        pipe("a red cat", num_inference_steps=2, generator=seeded())
    folder = trace.save(tmp_path / "run.trace")
    with TestClient(create_app([folder]), base_url="http://127.0.0.1") as client:
        names = unzipped(client.get("/api/traces/0/zip"), tmp_path / "out")
    assert {name.split("/")[1] for name in names} == {path.name for path in folder.iterdir()}
    again = attnscope.load_trace(tmp_path / "out" / "a-red-cat.trace")
    np.testing.assert_array_equal(np.asarray(again.preview(1)), np.asarray(trace.preview(1)))


def test_all_passes_of_a_folder_are_in_its_zip(tmp_path):
    both = Trace(*(made_trace(grids=(grid,), seed=seed)._only for seed, grid in enumerate([(8, 12), (4, 6)])))
    folder = both.save(tmp_path / "run.trace")
    with TestClient(create_app([folder]), base_url="http://127.0.0.1") as client:
        first, second = (client.get(f"/api/traces/{number}/zip").content for number in (0, 1))
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as zipped:
        zipped.extractall(tmp_path / "out")
    assert len(attnscope.load_trace(tmp_path / "out" / "red-cat.trace").passes) == 2


def test_a_trace_that_changes_while_it_is_sent_is_no_whole_zip(folder, monkeypatch):
    with TestClient(create_app([folder]), base_url="http://127.0.0.1") as client:
        client.get("/api/traces").raise_for_status()
        check, calls = OpenTrace.check_unchanged, []

        def later(self):
            calls.append(1)
            if len(calls) == 2:
                next(folder.glob("*.safetensors")).write_bytes(b"")
            check(self)

        monkeypatch.setattr(OpenTrace, "check_unchanged", later)
        with pytest.raises(RuntimeError, match="response already started") as broken:
            client.get("/api/traces/0/zip")
        assert isinstance(broken.value.__cause__, TraceFormatError)


def test_a_trace_in_memory_is_saved_first(client, trace, tmp_path, temporary):
    answer = client.get("/api/traces/0/zip")
    assert answer.status_code == 409
    assert "POST /made?kind=trace" in answer.json()["error"]
    answer = made(client, "kind=trace")
    assert name_of(answer) == "red-cat-1.trace.zip"
    unzipped(answer, tmp_path / "out")
    again = attnscope.load_trace(tmp_path / "out" / "red-cat-1.trace")
    np.testing.assert_array_equal(attnscope.heat_map(again, "red"), attnscope.heat_map(trace, "red"))
    assert len(list(temporary.iterdir())) == 1


def test_a_page_is_that_of_the_command_line(client, trace, tmp_path):
    answer = made(client, "kind=page&step=1&image=1&block=2")  # the block is not looked at
    assert name_of(answer) == "red-cat-2.html"
    page = export_page(trace, tmp_path / "page.html", step=1, image=1)
    assert answer.content == page.read_bytes()


def test_a_report_is_that_of_python(client, trace):
    answer = made(client, "kind=report&image=1")
    assert name_of(answer) == "red-cat-2.report.html"
    assert answer.text == attnscope.report(trace, image=1).html()


def test_a_gif_shows_the_word_in_each_step(client, trace, tmp_path):
    answer = made(client, "kind=gif&token=3&token=2&block=1&head=1")
    assert (name_of(answer), answer.headers["content-type"]) == ("red-cat-1.cat.gif", "image/gif")
    assert Image.open(io.BytesIO(answer.content)).n_frames == 3
    expected = attnscope.animate(trace, "cat", tmp_path / "cat.gif", blocks=1, heads=1)
    assert answer.content == expected.read_bytes()


def test_several_words_move_together(client, trace, tmp_path):
    answer = made(client, "kind=gif&token=1&token=2&token=3&branch=cond")
    assert name_of(answer) == "red-cat-1.red-cat.gif"
    span = TokenSpan("red + cat", 0, 0, (1, 2, 3))
    expected = attnscope.animate(trace, span, tmp_path / "all.gif")
    assert answer.content == expected.read_bytes()


def test_an_mp4_needs_its_encoder(client, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    answer = client.post(f"{MADE}?kind=mp4&token=1")
    assert answer.status_code == 400
    assert 'pip install "attnscope[video]"' in answer.json()["error"]
    assert client.get(f"{MADE}?kind=mp4&token=1").json()["state"] == "absent"


def test_an_mp4_shows_the_word_in_each_step(client):
    pytest.importorskip("av")
    answer = made(client, "kind=mp4&token=1")
    assert (name_of(answer), answer.content[4:8]) == ("red-cat-1.red.mp4", b"ftyp")


def test_a_heat_map_has_its_legend(client, trace):
    answer = client.get("/api/traces/0/heatmap?token=2&token=3&block=1&head=0&step=2&image=1")
    assert name_of(answer) == "red-cat-2.cat.png"
    heat = attnscope.heat_map(trace, "cat", blocks=1, heads=0, steps=2, image=1)
    drawn = Image.open(io.BytesIO(answer.content))
    expected = heat.with_legend(note="step 2, block 1, head 0")
    np.testing.assert_array_equal(np.asarray(drawn), np.asarray(expected))
    answer = client.get("/api/traces/0/heatmap?token=0")
    assert name_of(answer) == "red-cat-1.start.png"


def test_a_file_waits_until_it_is_made(client):
    answer = client.get(f"{MADE}/file?kind=report")
    assert answer.status_code == 409
    assert "not made yet" in answer.json()["error"]


def test_it_tells_how_far_it_is_and_can_be_cancelled(client, monkeypatch, temporary):
    def slow(trace, path, *, progress, **_):
        for at in range(1000):
            progress(at, 1000)
            time.sleep(0.01)

    with monkeypatch.context() as slowly:
        slowly.setattr(making, "export_page", slow)
        client.post(f"{MADE}?kind=page").raise_for_status()
        time.sleep(0.1)
        state = client.get(f"{MADE}?kind=page").json()
        assert (state["state"], state["total"], state["done"] > 0) == ("running", 1000, True)
        assert len(list(temporary.iterdir())) == 1
        assert client.delete(f"{MADE}?kind=page").json()["state"] == "absent"
    made(client, "kind=gif&token=1")  # the worker is free again
    assert len(list(temporary.iterdir())) == 1


def test_a_cancelled_export_of_a_page_leaves_nothing(client, temporary):
    client.post(f"{MADE}?kind=page").raise_for_status()
    client.delete(f"{MADE}?kind=page").raise_for_status()
    made(client, "kind=gif&token=1")
    assert client.get(f"{MADE}?kind=page").json()["state"] == "absent"
    assert len(list(temporary.iterdir())) == 1


def test_only_the_last_files_are_kept_and_none_after_the_end(trace, temporary, monkeypatch):
    with TestClient(create_app([trace]), base_url="http://127.0.0.1") as client:
        for token in (0, 1, 2, 3, 4):
            made(client, f"kind=gif&token={token}")
        made(client, "kind=gif&token=1&token=2")
        made(client, "kind=gif&token=1&token=3")
        time.sleep(0.05)
        assert len(list(temporary.iterdir())) == 6
        assert client.get(f"{MADE}/file?kind=gif&token=0").status_code == 409
        assert client.get(f"{MADE}/file?kind=gif&token=1").status_code == 200
    assert list(temporary.iterdir()) == []


def test_a_file_that_somebody_removed_is_not_sent(client, temporary):
    made(client, "kind=gif&token=1")
    for place in temporary.iterdir():
        for path in place.iterdir():
            path.unlink()
    answer = client.get(f"{MADE}/file?kind=gif&token=1")
    assert answer.status_code == 409
    assert "no longer kept" in answer.json()["error"]


def test_what_killed_viewers_left_is_taken_away(client, temporary):
    own = Owner.current()
    left = temporary / f"{Owner(own.host, 4_000_000, 1)}abcdefgh"
    left.mkdir()
    (left / "made.html").write_text("old")
    making._tidy_once.cache_clear()
    made(client, "kind=gif&token=1")
    assert left.exists() == (os.name != "posix")


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("kind=exe", 422, "kind: Input should be 'page', 'report', 'gif', 'mp4' or 'trace', got 'exe'"),
        ("", 422, "kind: Field required"),
        ("kind=gif", 400, "a GIF shows a word over the steps: give its tokens as token=NUMBER"),
        ("kind=gif&token=99", 404, "token 99: the text of branch 'cond' has tokens 0 to 4"),
        ("kind=gif&token=-1", 404, "token -1"),
        ("kind=gif&token=x", 422, "token.0"),
        ("kind=page&step=99", 404, "step 99"),
        ("kind=page&image=9", 404, "image 9"),
        ("kind=report&branch=other", 404, "branch 'other'"),
        ("kind=page&step=nan", 422, "step"),
    ],
)  # fmt: skip
def test_files_that_can_not_be_made_are_refused(client, query, status, sentence):
    answer = client.post(f"{MADE}?{query}")
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_what_a_word_s_file_lacks_is_told(client):
    state = waited(client, f"{MADE}?kind=gif&token=1&block=9")
    assert state["state"] == "failed"
    assert "9" in state["error"]
    assert client.get("/api/traces/0/heatmap?token=1&block=9").status_code == 404
    assert client.get("/api/traces/0/heatmap?token=77").status_code == 404


def named(prompt, **changes):
    made_one = made_trace(**changes)
    made_one.run.prompts = [prompt] * changes.get("images", 1)
    return OpenTrace.of(0, made_one, "run.trace")


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("a red house", "a-red-house.gif"),
        ("../../etc/passwd", "etc-passwd.gif"),
        ('a "quoted"\r\nX-Evil: 1', "a-quoted-X-Evil-1.gif"),
        ("con", "word-con.gif"),
        ("", "run.gif"),
        (" ", "run.gif"),
        ("赤い家", "赤い家.gif"),
        ("long " * 40, f"{'-'.join(['long'] * 12)}.gif"),
        ("x" * 500, f"{'x' * 60}.gif"),
    ],
)
def test_files_are_called_after_the_prompt(prompt, name):
    assert file_name(named(prompt), 0, ending=".gif") == name


def test_names_say_the_word_and_which_picture():
    assert file_name(named("a cat"), 0, "red cat", ending=".gif") == "a-cat.red-cat.gif"
    assert file_name(named("a cat", images=2), 1, ending=".gif") == "a-cat-2.gif"


def test_a_name_of_any_letters_is_a_header_of_plain_ones():
    header = attachment('赤"\\\r\n家.gif')["content-disposition"]
    assert header.isascii()
    assert "\r" not in header
    assert "\n" not in header
    assert header.endswith("filename*=UTF-8''%E8%B5%A4%22%5C%0D%0A%E5%AE%B6.gif")


def test_a_word_s_picture_of_a_trace_without_a_picture_has_a_legend_too():
    with TestClient(create_app([made_trace()]), base_url="http://127.0.0.1") as client:
        drawn = Image.open(io.BytesIO(client.get("/api/traces/0/heatmap?token=1").content))
    assert drawn.width >= 240


def test_pages_of_a_folder_that_changed_are_not_made(on_disk, trace, folder):
    trace.save(folder, overwrite=True)
    for address in ("zip", "made?kind=page", "heatmap?token=1"):
        assert on_disk.get(f"/api/traces/0/{address}").status_code == 409
