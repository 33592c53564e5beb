"""Commands on a trace of several passes."""

import json

import pytest

import attnscope
import capture_cases
from attnscope.pictures.reading import load_picture


@pytest.fixture
def folder(pipe, seeded, tmp_path):
    with attnscope.capture(pipe, where=tmp_path / "run.trace"):
        capture_cases.run(pipe, seeded, output_type="pil")
        capture_cases.run(pipe, seeded, prompt="the star", output_type="pil", height=64, width=96)
    return tmp_path / "run.trace"


def test_heatmap_and_segment_take_the_pass_that_is_named(run, folder, tmp_path):
    code, out, _ = run("heatmap", folder, "star", "--pass", "1", "--json", "-o", tmp_path / "words")
    maps = json.loads(out)
    assert code == 0
    assert [(one["word"], one["grid"]) for one in maps] == [("star", [8, 12])]
    code, out, _ = run("segment", folder, "--pass", "1", "--json", "-o", tmp_path / "segments")
    assert code == 0
    assert load_picture(tmp_path / "segments" / "run.trace.labels.png").size == (96, 64)


def test_without_a_pass_the_commands_say_how_many_there_are(run, folder, tmp_path):
    for command in (("heatmap", folder, "star"), ("segment", folder)):
        code, _, err = run(*command, "-o", tmp_path / "output")
        assert code == 2
        assert "has 2 passes: choose one with --pass, from 0 to 1" in err
    code, _, err = run("heatmap", folder, "star", "--pass", "2")
    assert code == 2
    assert "--pass 2" in err
    assert "has passes 0 to 1" in err


def test_info_lists_every_pass(run, folder):
    code, out, _ = run("info", folder, "--json")
    assert code == 0
    assert [one["prompts"] for one in json.loads(out)["passes"]] == [[capture_cases.PROMPT], ["the star"]]
