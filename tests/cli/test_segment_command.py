"""`attnscope segment`: photos and traces, several at once, and what goes wrong."""

from __future__ import annotations

import gc
import json
import shutil
import struct
import weakref

import numpy as np
import pytest
from picture_file import read
from PIL import Image

import attnscope
from attnscope.segmentation import segment as segmentation


def test_segment_writes_labels_overlay_and_json(run, model, photo, tmp_path):
    code, out, err = run("segment", photo, "--model", model, "-o", tmp_path / "out", "-t", "0.3")
    assert code == 0, err
    assert "segments" in out
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "photo.labels.png", "photo.overlay.png", "photo.json",
    }  # fmt: skip
    assert read(tmp_path / "out" / "photo.labels.png").size == (64, 96)
    assert err.count("wrote ") == 3


def test_labels_equal_the_library_call(run, model, photo, tmp_path):
    options = ["-t", "0.2", "-t", "0.3", "--labels", "cat,star", "--json", "-o", tmp_path / "out"]
    code, out, _ = run("segment", photo, "--model", model, *options)
    pipe = attnscope.load_pipeline(model, device="cpu")
    expected = attnscope.segment(photo, pipe, thresholds=[0.2, 0.3], labels=["cat", "star"])
    assert code == 0
    assert np.array_equal(np.asarray(read(tmp_path / "out" / "photo.labels.png")), expected.labels)
    (found,) = json.loads(out)
    assert found["recipe"]["thresholds"] == [0.2, 0.3]
    assert [segment["label"] for segment in found["segments"]] == list(expected.names)


def test_a_trace_is_segmented_from_its_own_attention(run, model, made, tmp_path):
    code, _, _ = run("segment", made / "run.trace", "--model", model, "-o", tmp_path, "-t", "0.3")
    assert code == 0
    assert read(tmp_path / "run.trace.labels.png").size == (128, 128)


def test_a_model_that_a_trace_has_no_use_for_is_refused(run, made, tmp_path):
    for command, output in (("segment", "folder"), ("compare", "sheet.png")):
        code, _, err = run(command, made / "run.trace", "-m", "another", "-o", tmp_path / output)
        assert code == 2
        assert "--model another" in err
        assert "leave it out" in err


@pytest.mark.parametrize("arguments", [["segment"], ["compare"], ["segment", "--click", "1,1"]])
def test_a_picture_that_is_missing_is_said_before_a_model_is_loaded(run, tmp_path, monkeypatch, arguments):
    monkeypatch.setattr("attnscope.pipelines.load_pipeline", None)
    monkeypatch.chdir(tmp_path)
    command, *options = arguments
    code, _, err = run(command, "missing.png", *options)
    assert code == 1
    assert "no such file: missing.png" in err


def test_one_bad_picture_does_not_stop_the_others(run, model, photo, tmp_path):
    (tmp_path / "empty.png").touch()
    code, out, err = run(
        "segment", tmp_path / "empty.png", photo, "--model", model, "-o", tmp_path / "out", "--json"
    )
    assert code == 1
    assert "empty.png is empty (0 bytes)" in err
    assert [one["image"] for one in json.loads(out)] == [str(photo)]


def test_a_batch_goes_on_whatever_one_picture_does_and_its_end_says_so(
    run, model, photo, tmp_path, monkeypatch
):
    broken = {
        "cut.png": photo.read_bytes()[:60],
        "notes.png": b"text",
        "none.png": b"",
        "page.png": b"%!PS-Adobe",
    }
    for name, contents in broken.items():
        (tmp_path / name).write_bytes(contents)
    shutil.copy(photo, tmp_path / "memory.png")
    segment = segmentation.segment

    def failing(picture, *args, **kwargs):
        if picture.name.endswith("memory.png"):
            raise RuntimeError("out of\nmemory")
        return segment(picture, *args, **kwargs)

    monkeypatch.setattr(segmentation, "segment", failing)
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    bad = [tmp_path / name for name in (*broken, "memory.png", "missing.png", "circle.png")]
    code, _, err = run("segment", *bad, photo, "--model", model, "-o", tmp_path / "out")
    assert code == 1
    for path in bad:
        assert err.count(f"attnscope: {path}: ") == 1
    assert "RuntimeError: out of memory" in err
    assert err.splitlines()[-1] == "attnscope: 7 of 8 pictures failed, see above; 1 are done"
    assert (tmp_path / "out" / "photo.json").is_file()


def test_a_name_that_the_system_refuses_does_not_stop_the_others(run, model, photo, tmp_path):
    code, _, err = run("segment", "x" * 300 + ".png", photo, "--model", model, "-o", tmp_path / "out")
    assert code == 1
    assert "can't be read: File name too long" in err
    assert err.splitlines()[-1] == "attnscope: 1 of 2 pictures failed, see above; 1 are done"
    assert (tmp_path / "out" / "photo.json").is_file()


def test_broken_exif_costs_neither_the_picture_nor_its_orientation(run, model, photo, tmp_path):
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2)
    exif += struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x011A, 10, 1, 38)
    exif += struct.pack("<I", 0) + struct.pack("<ii", -1, 0)
    turned = read(photo).transpose(Image.Transpose.ROTATE_90)  # as a camera that was held upright stores it
    turned.save(tmp_path / "phone.png", exif=exif)
    code, _, err = run(
        "segment", tmp_path / "phone.png", photo, "--model", model, "-o", tmp_path / "out", "-t", "0.3"
    )
    assert code == 0, err
    labels = [np.asarray(read(tmp_path / "out" / f"{name}.labels.png")) for name in ("phone", "photo")]
    assert np.array_equal(*labels)


@pytest.mark.thorough
def test_of_many_pictures_none_is_held_while_the_next_is_segmented(run, model, photo, tmp_path, monkeypatch):
    made, alive = [], []
    segment = segmentation.segment

    def watched(*given, **how):
        gc.collect()
        alive.append(sum(result() is not None for result in made))
        found = segment(*given, **how)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(segmentation, "segment", watched)
    photos = [shutil.copy(photo, tmp_path / f"{number}.png") for number in range(4)]
    code, _, _ = run("segment", *photos, "--model", model, "-o", tmp_path / "out")
    assert code == 0
    assert alive == [0, 0, 0, 0]


WRONG = {
    "no such file": (["nothing.png"], 1, "no such file"),
    "negative threshold": (["PHOTO", "-t", "-1"], 2, "threshold"),
    "threshold that is no number": (["PHOTO", "-t", "nan"], 2, "threshold"),
    "timestep out of range": (["PHOTO", "--timestep", "1000"], 2, "timestep is 1000"),
    "two of one name": (["PHOTO", "PHOTO"], 2, "several pictures are named photo"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG.values(), ids=WRONG)
def test_wrong_use(run, model, photo, tmp_path, arguments, code, message):
    given = [str(photo) if word == "PHOTO" else word for word in arguments]
    found, out, err = run("segment", *given, "--model", model, "-o", tmp_path / "out")
    assert (found, out) == (code, "")
    assert message in err
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_without_force(run, model, photo, tmp_path):
    (tmp_path / "photo.json").write_text("mine")
    code, _, err = run("segment", photo, "--model", model, "-o", tmp_path)
    assert code == 1
    assert "exists already" in err
    assert (tmp_path / "photo.json").read_text() == "mine"
    assert run("segment", photo, "--model", model, "-o", tmp_path, "--force")[0] == 0


def test_a_threshold_is_found_and_other_methods_are_there(run, model, photo, tmp_path):
    _, out, _ = run("segment", photo, "--model", model, "-o", tmp_path / "a", "-t", "auto", "--json")
    assert json.loads(out)[0]["recipe"]["threshold_source"] == "auto"
    options = ["-o", tmp_path / "b", "--method", "ncut", "--json"]
    _, out, _ = run("segment", photo, "--model", model, *options)
    assert json.loads(out)[0]["recipe"]["method"] == "ncut"


def test_features_are_cut_and_may_be_of_another_module(run, model, photo, tmp_path):
    options = ["--method", "diffcut", "--json"]
    _, out, _ = run("segment", photo, "--model", model, "-o", tmp_path / "a", *options)
    usual = json.loads(out)[0]["origin"]["features"]
    assert (usual["timestep"], usual["noise_seed"]) == (50, 42)
    options += ["--features", "mid_block.attentions.0"]
    _, out, _ = run("segment", photo, "--model", model, "-o", tmp_path / "b", *options)
    assert json.loads(out)[0]["origin"]["features"]["module"] == "mid_block.attentions.0"


@pytest.mark.parametrize("threshold", [["automatic"], ["auto", "-t", "0.5"], ["nan?"]])
def test_a_threshold_that_is_none_is_refused(run, model, photo, tmp_path, threshold):
    code, _, err = run("segment", photo, "--model", model, "-o", tmp_path, "-t", *threshold)
    assert code == 2
    assert "expected numbers in nats, or auto alone" in err
