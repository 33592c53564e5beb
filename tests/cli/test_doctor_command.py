"""`attnscope doctor` says what is there, in a table, as JSON and by its exit code."""

import io
import json

import pytest
from rich.console import Console

from attnscope.cli import doctor


def test_a_model_that_is_well(run, model):
    code, out, err = run("doctor", model)
    assert (code, err) == (0, "")
    assert "Nothing stands in the way." in out
    assert "torch" in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "1-16 self AttnProcessor2_0 SDPA float32 cpu yes" in lines
    assert any(line.startswith("Q and K of every layer") and line.endswith("yes") for line in lines)


def test_json_holds_the_same(run, model):
    code, out, _ = run("doctor", "--model", model, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["well"] is True
    assert found["obstacles"] == []
    assert len(found["model"]["layers"]) == 32
    assert all(layer["seen"] for layer in found["model"]["layers"])
    assert {"name", "version", "supported", "fits", "needed"} == set(found["versions"][0])
    assert found["hub"]["offline"] is True
    assert found["devices"][0]["name"] == "cpu"


def test_what_stands_in_the_way_is_exit_code_1_with_what_to_do(run, tmp_path):
    code, out, _ = run("doctor", tmp_path)
    assert code == 1
    assert "1. In the way:" in out
    assert "model_index.json" in out
    code, out, _ = run("doctor", "sd1", "--json")
    assert code == 1
    assert json.loads(out)["obstacles"][0]["remedy"].startswith(
        "fetch them, `pipe = attnscope.load_pipeline('sd1')`"
    )


@pytest.mark.parametrize("columns", [60, 80])
def test_nothing_is_cut_off_on_a_narrow_screen(run, model, columns, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(doctor, "data_console", lambda: Console(file=screen, width=columns, highlight=False))
    assert run("doctor", model)[0] == 0
    out = screen.getvalue()
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= columns
    for number in ("AttnProcessor2_0", "float32", "GB", ">=2.4"):
        assert number in out
