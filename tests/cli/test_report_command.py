"""`attnscope report`: a page, its numbers as JSON, one-line errors."""

import json

import pytest
from PIL import Image

import attnscope
from attnscope.testing.made_traces import made_trace


@pytest.fixture
def folder(tmp_path):
    made = made_trace(steps=3)
    made.run.pictures = [Image.new("RGB", (48, 32), "teal")]
    return made.save(tmp_path / "run.trace")


def test_it_writes_the_library_s_page(run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("report", folder)
    assert (code, out) == (0, "")
    assert "wrote report.html" in err
    assert (tmp_path / "report.html").read_text("utf-8") == attnscope.report(folder).html()


def test_json_is_what_the_library_gives(run, folder, tmp_path):
    code, out, _ = run("report", folder, "-o", tmp_path / "mine.html", "--steps", "0,2", "--json")
    assert code == 0
    told = json.loads(out)
    assert told.pop("file") == str(tmp_path / "mine.html")
    assert told == json.loads(json.dumps(attnscope.report(folder, steps=[0, 2]).to_dict()))


def test_nothing_is_written_over_without_force(run, folder, tmp_path):
    page = tmp_path / "report.html"
    page.write_text("mine")
    code, _, err = run("report", folder, "-o", page)
    assert code == 1
    assert "--force" in err
    assert page.read_text() == "mine"
    assert run("report", folder, "-o", page, "--force")[0] == 0
    assert page.read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("-o", "report.pdf"), 2, "expected a name that ends in .html"),
        (("--image", "3"), 1, "image 3"),
        (("--branch", "positive"), 1, "branch 'positive'"),
        (("--steps", "7"), 1, "step 7"),
        (("--steps", "few"), 2, "expected numbers and ranges"),
        (("--pass", "2"), 2, "has passes 0 to 0"),
        (("-o", "run.trace/report.html"), 2, "is inside the trace"),
    ],
)
def test_wrong_use_is_one_line(run, folder, tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    got, _, err = run("report", folder, *arguments)
    assert got == code
    assert said in " ".join(err.split())
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*.html"))
