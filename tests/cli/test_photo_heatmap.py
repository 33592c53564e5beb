"""`attnscope heatmap` of a photo: a model reads it with a text."""

import json

import numpy as np
import pytest
from picture_file import read

from attnscope import heat_map, load_pipeline, load_trace, read_photo


@pytest.fixture
def asked(photo, model, tmp_path):
    """The command's first words and its folder."""
    return ["heatmap", photo, "a red cat on a star"], ["--model", model, "-o", tmp_path / "maps"]


def test_words_are_drawn_over_the_photo(run, asked, photo, model, tmp_path):
    words, options = asked
    code, out, _ = run(*words, "cat", "red cat", *options, "--numbers", "--json")
    assert code == 0
    entries = json.loads(out)
    assert [entry["word"] for entry in entries] == ["cat", "red cat"]
    assert read(tmp_path / "maps" / "cat.heat.png").size == (64, 96)
    pipe = load_pipeline(model, device="cpu")
    expected = heat_map(read_photo(pipe, photo, "a red cat on a star"), "red cat")
    assert np.allclose(np.load(tmp_path / "maps" / "red-cat.heat.npy"), expected.array, atol=1e-7)


@pytest.mark.thorough
def test_all_words_come_by_default_and_only_with_force_again(run, asked, tmp_path):
    words, options = asked
    code, out, err = run(*words, *options)
    assert (code, out.count("\n") > 5) == (0, True)
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == [
        f"{name}.heat.png" for name in ("a-2", "a", "cat", "on", "red", "star")
    ]
    code, _, err = run(*words, "cat", *options)
    assert code == 1
    assert "exists already" in err
    assert run(*words, "cat", *options, "--force")[0] == 0


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("options", "timesteps"),
    [
        (["--timestep", "120"], [120]),
        (["--timestep", "120", "--noise-seed", "3", "--crop"], [120]),
        (["--invert", "--inversion-steps", "2"], [1, 501]),
        (["--null-text", "--inversion-steps", "1"], [1]),
    ],
)
def test_a_trace_is_kept_where_it_is_asked_for(run, asked, options, timesteps, tmp_path):
    words, others = asked
    folder = tmp_path / "photo.trace"
    code, _, err = run(*words, "cat", *others, *options, "--save-trace", folder)
    assert (code, f"wrote {folder}" in err) == (0, True)
    trace = load_trace(folder)
    assert [step.timestep for step in trace.steps] == timesteps
    assert trace.picture.size == ((64, 64) if "--crop" in options else (64, 96))
    assert {layer.kind for layer in trace.layers} == {"self", "cross"}
    assert run("heatmap", folder, "star", "-o", tmp_path / "again")[0] == 0
    assert run("info", folder)[0] == 0
    code, _, err = run(*words, "star", *others, *options, "--save-trace", folder)
    assert (code, "exists already" in err) == (1, True)
    assert run(*words, "star", *others, *options, "--save-trace", folder, "--force")[0] == 0


WRONG = {
    "no prompt": ([], [], 2, "is a photo, so give a text that describes it first"),
    "no such word": (["a cat", "dog"], [], 1, "dog"),
    "no word": ([""], [], 1, "no words"),
    "a pass": (["a cat"], ["--pass", "0"], 2, "only a trace has passes"),
    "a timestep": (["a cat"], ["--timestep", "1000"], 2, "timestep is 1000"),
    "both": (["a cat"], ["--timestep", "10", "--invert"], 2, "timestep is a choice of the one pass"),
    "no inversion": (
        ["a cat"],
        ["--inversion-steps", "5"],
        2,
        "num_inference_steps is a choice of inversion",
    ),
    "a file for several": (["a cat", "a", "cat"], ["-o", "map.png"], 2, "one file for 2"),
    "a trace that is a picture": (["a cat"], ["--save-trace", "x.png"], 2, "-o is a folder"),
}


@pytest.mark.parametrize(("words", "options", "code", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_a_line(
    run, photo, model, tmp_path, monkeypatch, words, options, code, message
):
    monkeypatch.chdir(tmp_path)
    found, out, err = run("heatmap", photo, *words, "--model", model, *options)
    assert (found, out) == (code, "")
    assert message in err
    assert err.strip().splitlines()[-1].startswith("attnscope: ")


def test_what_is_no_picture_and_what_is_not_there_are_said(run, model, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    code, _, err = run("heatmap", tmp_path / "notes.txt", "a cat", "--model", model)
    assert (code, "notes.txt" in err) == (1, True)
    code, _, err = run("heatmap", tmp_path / "none.jpg", "a cat", "--model", model)
    assert (code, "no such file" in err) == (1, True)
    code, _, err = run("heatmap", tmp_path / "none", "a cat")
    assert (code, "no such folder" in err) == (1, True)


@pytest.mark.parametrize(
    "option",
    [["--invert"], ["--timestep", "3"], ["--crop"], ["--save-trace", "x"], ["--inversion-steps", "3"]],
)
def test_options_of_photos_are_refused_for_a_trace(run, made, option):
    code, _, err = run("heatmap", made / "run.trace", "cat", *option)
    assert (code, f"{option[0]} is for photos" in err) == (2, True)
