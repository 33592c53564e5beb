"""`attnscope segment FOLDER`: what is done is skipped, what is of another recipe refused, what is broken reported."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from picture_file import read

import attnscope


@pytest.fixture
def folder(photo, tmp_path):
    (tmp_path / "in" / "below").mkdir(parents=True)
    for name in ("one.png", "below/two.png"):
        shutil.copy(photo, tmp_path / "in" / name)
    return tmp_path / "in"


def files(place):
    return {
        str(path.relative_to(place)): path.stat().st_mtime_ns
        for path in place.rglob("*.*")
        if "report" not in path.name
    }


def test_a_folder_gives_what_each_picture_gives_and_a_second_start_does_nothing(run, model, folder, tmp_path):
    arguments = ["segment", folder, "--model", model, "-o", tmp_path / "out", "-t", "0.3"]
    code, _, err = run(*arguments)
    assert code == 0, err
    expected = attnscope.segment(
        folder / "one.png", attnscope.load_pipeline(model, device="cpu"), thresholds=0.3
    )
    for name in ("one", "below/two"):
        assert np.array_equal(np.asarray(read(tmp_path / "out" / f"{name}.labels.png")), expected.labels)
    before = files(tmp_path / "out")
    assert len(before) == 6
    code, out, err = run(*arguments, "--json")
    assert (code, files(tmp_path / "out")) == (0, before)
    assert "0 done, 2 were done before, 0 failed" in err
    assert {row["segments"] for row in json.loads(out)} == {len(expected)}


def test_an_output_that_can_not_be_written_is_said_before_a_model_is_loaded(
    run, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("attnscope.pipelines.load_pipeline", None)
    (tmp_path / "taken").write_text("a file")
    code, _, err = run("segment", folder, "-o", tmp_path / "taken" / "below")
    assert code == 1
    assert "can't write" in err
    assert err.count("\n") == 1


def test_broken_pictures_are_reported_and_stop_nothing(run, model, folder, tmp_path):
    (folder / "bad.png").write_bytes(b"no picture")
    code, _, err = run("segment", folder, "--model", model, "-o", tmp_path / "out", "--no-overlays")
    assert code == 1
    assert "attnscope: 1 of 3 pictures failed" in err
    assert err.count("bad.png") == 1
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["counts"] == {"done": 2, "skipped": 0, "failed": 1}
    assert report["rows"][0]["error"] == "ImageError"
    assert not list((tmp_path / "out").rglob("*.overlay.png"))


def test_another_recipe_is_refused_or_done_again_by_force(run, model, folder, tmp_path):
    arguments = ["segment", folder, "--model", model, "-o", tmp_path / "out"]
    assert run(*arguments, "-t", "0.3")[0] == 0
    before = files(tmp_path / "out")
    code, _, err = run(*arguments, "-t", "0.6")
    assert code == 1
    assert "was made with settings" in err
    assert "--force" in err
    assert files(tmp_path / "out") == before
    assert run(*arguments, "-t", "0.6", "--force")[0] == 0
    recipe = json.loads((tmp_path / "out" / "one.json").read_text())["recipe"]
    assert recipe["thresholds"][0] == 0.6


def test_a_changed_picture_and_a_lost_file_are_done_again_and_no_others(run, model, folder, tmp_path):
    arguments = ["segment", folder, "--model", model, "-o", tmp_path / "out"]
    assert run(*arguments)[0] == 0
    os.utime(folder / "one.png", ns=(1, 1))
    assert "1 done, 1 were done before" in run(*arguments)[2]
    (tmp_path / "out" / "below" / "two.labels.png").unlink()
    assert "1 done, 1 were done before" in run(*arguments)[2]


def test_options_of_a_cluster_need_the_engine(run, model, folder, photo, tmp_path):
    code, _, err = run("segment", folder, "--model", model, "-o", tmp_path / "out", "--workers", "2")
    assert (code, "add it" in err) == (2, True)
    code, _, err = run("segment", photo, "--model", model, "-o", tmp_path / "out", "--engine", "ray")
    assert (code, "are for folders" in err) == (2, True)
