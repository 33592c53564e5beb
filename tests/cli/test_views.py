"""`attnscope heatmap`'s other views: --minus, --minus-trace, --grid and --animate."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from picture_file import read
from PIL import Image

import attnscope
from attnscope.cli import main


@pytest.fixture(scope="module")
def other(model, tmp_path_factory):
    """A run of the same words from another seed."""
    folder = tmp_path_factory.mktemp("other") / "output"
    command = ["generate", "a red cat on a star", "-m", str(model), "-o", str(folder), "-n", "2", "-s", "6"]
    assert main(command) == 0
    return folder


def test_one_word_less_another(run, made, tmp_path):
    code, out, _ = run(
        "heatmap", made, "red", "cat", "--minus", "star", "-o", tmp_path, "--json", "--numbers"
    )
    assert code == 0
    expected = [
        attnscope.difference(attnscope.heat_map(made, word), attnscope.heat_map(made, "star"))
        for word in ("red", "cat")
    ]
    for entry, less, word in zip(json.loads(out), expected, ("red", "cat"), strict=True):
        assert (entry["word"], entry["minus"]) == (word, "star")
        assert entry["minimum"] == pytest.approx(less.array.min())
        file = tmp_path / f"{word}-less-star.difference.png"
        assert entry["file"] == str(file)
        assert read(file).size == (128, 128)
        assert np.array_equal(np.load(file.with_suffix(".npy")), less.array)


def test_one_word_of_two_traces(run, made, other, tmp_path):
    assert run("heatmap", made, "cat", "red", "--minus-trace", other, "-o", tmp_path, "--numbers")[0] == 0
    for word in ("cat", "red"):
        less = attnscope.difference(attnscope.heat_map(made, word), attnscope.heat_map(other, word))
        assert np.array_equal(np.load(tmp_path / f"{word}.difference.npy"), less.array)
    both = ("--minus-trace", other, "--minus", "star", "--steps", "1", "-o", tmp_path / "one.npy")
    assert run("heatmap", made, "cat", *both)[0] == 0
    cat, star = attnscope.heat_map(made, "cat", steps=[1]), attnscope.heat_map(other, "star", steps=[1])
    assert np.array_equal(np.load(tmp_path / "one.npy"), cat.array - star.array)


def test_a_later_occurrence_less_the_first(run, made, tmp_path):
    assert run("heatmap", made, "a", "--occurrence", "1", "--minus", "a", "-o", tmp_path / "a.npy")[0] == 0
    first, second = (attnscope.heat_map(made, "a", occurrence=at) for at in (0, 1))
    assert np.array_equal(np.load(tmp_path / "a.npy"), second.array - first.array)


def test_differences_have_one_scale_on_request(run, made, tmp_path):
    for folder, more in (("own", []), ("same", ["--same-scale"])):
        assert run("heatmap", made, "red", "cat", "--minus", "star", "-o", tmp_path / folder, *more)[0] == 0
    names = [f"{word}-less-star.difference.png" for word in ("red", "cat")]
    changed = [read(tmp_path / "own" / name) != read(tmp_path / "same" / name) for name in names]
    assert sorted(changed) == [False, True]


def test_each_head_of_each_block_on_a_page(run, made, tmp_path):
    code, out, _ = run("heatmap", made, "red cat", "--grid", "-o", tmp_path, "--blocks", "1,16", "--json")
    assert code == 0
    (entry,) = json.loads(out)
    grid = attnscope.head_grid(made, "red cat", blocks=[1, 16])
    assert read(tmp_path / "red-cat.heads.png") == grid.picture()
    assert [head["share"] for head in entry["heads"]] == pytest.approx(grid.shares.ravel().tolist())
    assert {(head["block"], head["head"]) for head in entry["heads"]} == {
        (block, head) for block in (1, 16) for head in range(8)
    }
    code, out, _ = run("heatmap", made, "cat", "--grid", "-o", tmp_path / "cat.webp")
    assert (code, read(tmp_path / "cat.webp").width > 0) == (0, True)
    assert "Head" in out


def test_each_step_in_a_gif(run, made, tmp_path):
    code, out, _ = run(
        "heatmap", made, "cat", "red", "--animate", "-o", tmp_path, "--seconds", "0.5", "--json"
    )
    assert code == 0
    cat, red = json.loads(out)
    assert [step["step"] for step in cat["steps"]] == [0, 1]
    assert red["steps"][1]["maximum"] == pytest.approx(attnscope.heat_map(made, "red", steps=1).array.max())
    for entry in (cat, red):
        with Image.open(entry["file"]) as gif:
            assert (gif.format, gif.n_frames, gif.info["duration"]) == ("GIF", 2, 500)
    assert run("heatmap", made, "cat", "--animate", "-o", tmp_path / "one.gif")[0] == 0
    assert run("heatmap", made, "cat", "--animate", "-o", tmp_path / "one.gif")[0] == 1  # exists already


@pytest.mark.parametrize("arguments", [["--animate", "-o", "cat.mp4"], ["--mp4", "-o", "."]])
def test_each_step_in_an_mp4(run, made, tmp_path, monkeypatch, arguments):
    pytest.importorskip("av", reason="PyAV is not installed: attnscope[video]")
    monkeypatch.chdir(tmp_path)
    assert run("heatmap", made, "cat", *arguments)[0] == 0
    assert (tmp_path / "cat.mp4").read_bytes()[4:8] == b"ftyp"


def test_without_its_library_an_mp4_is_refused_with_the_remedy(run, made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    code, _, err = run("heatmap", made, "cat", "--mp4", "-o", tmp_path)
    assert (code, 'pip install "attnscope[video]"' in err) == (1, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "--animate"], "--grid and --animate are different views"),
        (["--minus", "red", "--mp4"], "--minus and --animate are different views"),
        (["--grid", "--preset", "daam"], "--preset is not for --grid"),
        (["--animate", "--numbers"], "--numbers is not for --animate"),
        (["--animate", "--same-scale"], "--same-scale is not for --animate"),
        (["--seconds", "1"], "--seconds 1 is for --animate"),
        (["--animate", "--seconds", "0"], "--seconds is 0; expected 0.02 to 60"),
        (["--mp4", "-o", "x.gif"], "ends in .mp4, or a folder"),
        (["--grid", "-o", "x.npy"], "ends in .png, .jpg"),
        (["red", "--grid", "-o", "x.png"], "one file for 2 words"),
        (["--context", "a cat", "--grid"], "--context is for words that are not in the prompt"),
    ],
)
def test_what_does_not_go_together_is_wrong_use(run, made, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("heatmap", made, "cat", *arguments)
    assert code == 2
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_word_or_a_trace_that_is_not_there(run, made, tmp_path):
    code, _, err = run("heatmap", made, "cat", "--minus", "dog", "-o", tmp_path)
    assert (code, "'dog'" in err) == (1, True)
    code, _, err = run("heatmap", made, "cat", "--minus-trace", tmp_path / "none", "-o", tmp_path)
    assert (code, "none" in err) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_of_a_trace_with_passes_the_one_that_is_meant_can_be_saved(run, made, tmp_path, pipe, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with attnscope.capture(pipe, kind="cross") as trace:
        pipe("a red cat", num_inference_steps=1, output_type="latent")
        pipe("a red cat", num_inference_steps=1, output_type="latent")
    trace.save("both")
    code, _, err = run("heatmap", made, "cat", "--minus-trace", "both", "-o", "maps")
    assert (code, "has 2 passes" in err) == (2, True)
    exec("import attnscope; " + err[err.index("attnscope.load_trace") :].replace("\n", ""))
    assert run("heatmap", made, "cat", "--minus-trace", "one.trace", "-o", "maps")[0] == 0


def test_words_that_are_not_in_the_prompt_have_these_views_too(run, model, tmp_path):
    folder = tmp_path / "any"
    command = (
        "generate",
        "a red cat",
        "-m",
        model,
        "-n",
        "2",
        "-o",
        folder,
        "--open-words",
        "--keep",
        "cross",
    )
    assert run(*command)[0] == 0
    openly = ("heatmap", folder, "star", "--open", "-m", model, "-o", tmp_path / "maps", "--json")
    code, _, err = run(*openly, "--minus", "grass", "--numbers")
    assert code == 0, err
    pipe = attnscope.load_pipeline(model)
    star, grass = (attnscope.heat_map(folder, word, pipe=pipe, open_words=True) for word in ("star", "grass"))
    less = np.load(tmp_path / "maps" / "star-less-grass.difference.npy")
    assert np.array_equal(less, star.array - grass.array)
    for view, file in (("--grid", "star.heads.png"), ("--animate", "star.gif")):
        code, _, err = run(*openly, view)
        assert code == 0, err
        assert (tmp_path / "maps" / file).exists()
