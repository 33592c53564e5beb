"""Where output goes: -o is a folder, or the very file that it names; nothing is replaced that was not meant."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from picture_file import read
from PIL import Image

import attnscope


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["my.png", "my.JPG", "new/my.webp", "./x.heat.jpeg"])
def test_one_word_goes_into_the_file_that_is_named(run, made, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("heatmap", made, "cat", "-o", name, "--json")
    assert code == 0, err
    assert read(tmp_path / name).size == (128, 128)
    assert files_in(tmp_path) == [str((tmp_path / name).relative_to(tmp_path))]
    assert json.loads(out)[0]["file"] == str((tmp_path / name).relative_to(tmp_path))
    assert run("heatmap", made, "cat", "-o", name)[0] == 1  # exists already
    assert run("heatmap", made, "cat", "-o", name, "--force")[0] == 0


def test_numbers_go_into_the_file_that_is_named(run, made, tmp_path):
    assert run("heatmap", made, "cat", "-o", tmp_path / "cat.npy")[0] == 0
    expected = attnscope.heat_map(made, "cat").array
    assert np.array_equal(np.load(tmp_path / "cat.npy"), expected)
    assert run("heatmap", made, "cat", "-o", tmp_path / "both.png", "--numbers")[0] == 0
    assert files_in(tmp_path) == ["both.npy", "both.png", "cat.npy"]


def test_a_folder_may_be_named_like_a_picture(run, made, tmp_path):
    (tmp_path / "maps.png").mkdir()
    assert run("heatmap", made, "cat", "star", "-o", tmp_path / "maps.png")[0] == 0
    assert run("heatmap", made, "cat", "-o", tmp_path / "maps.v2")[0] == 0
    assert files_in(tmp_path) == ["maps.png/cat.heat.png", "maps.png/star.heat.png", "maps.v2/cat.heat.png"]


WRONG = {
    "several words": (
        ["heatmap", "MADE", "cat", "star"],
        "my.png",
        "is one file for 2 heat maps: give one word",
    ),
    "all words": (["heatmap", "MADE"], "my.png", "is one file for 6 heat maps"),
    "another picture": (["heatmap", "MADE", "cat"], "my.tiff", "written as .png, .jpg or .webp"),
    "text": (["heatmap", "MADE", "cat"], "my.json", "expected one of these, or a folder"),
    "segments": (["segment", "PHOTO"], "my.png", "so -o is a folder"),
    "a generated picture": (["generate", "a cat"], "my.png", "so -o is a folder"),
    "the demo": (["demo"], "my.jpg", "so -o is a folder"),
}


@pytest.mark.parametrize(("arguments", "name", "message"), WRONG.values(), ids=WRONG)
def test_one_file_for_several_is_refused_before_anything_is_made(
    run, made, photo, tmp_path, arguments, name, message
):
    given = [{"MADE": made, "PHOTO": photo}.get(word, word) for word in arguments]
    code, out, err = run(*given, "-o", tmp_path / name)
    assert (code, out) == (2, "")
    assert message in err
    assert files_in(tmp_path) == (["photo.png"])


def test_a_trace_without_a_picture_has_numbers_only(run, made, tmp_path):
    bare = attnscope.load_trace(made)
    bare.run.pictures = []
    bare.save(tmp_path / "bare.trace")
    code, _, err = run("heatmap", tmp_path / "bare.trace", "cat", "-o", tmp_path / "my.png")
    assert code == 2
    assert "holds no picture to draw on; give a name that ends in .npy" in err
    assert run("heatmap", tmp_path / "bare.trace", "cat", "-o", tmp_path / "my.npy")[0] == 0


@pytest.mark.parametrize("name", ["unet.jpg", "unet.pdf", "unet", "x.SVG.pdf"])
def test_a_diagram_that_is_neither_svg_nor_png_is_refused_and_the_name_that_works_is_told(
    run, tmp_path, name
):
    code, out, err = run("layers", "sd1", "--diagram", tmp_path / name)
    assert (code, out) == (2, "")
    advised = err.split("such as ")[1].strip()
    assert files_in(tmp_path) == []
    assert run("layers", "sd1", "--diagram", advised)[0] == 0
    assert len(files_in(tmp_path)) == 1


@pytest.mark.parametrize("command", ["heatmap", "segment", "export", "generate", "demo", "layers"])
def test_nothing_is_written_into_a_trace(run, made, photo, tmp_path, monkeypatch, command):
    shutil.copytree(made / "run.trace", tmp_path / "any.trace")
    before = files_in(tmp_path / "any.trace")
    monkeypatch.chdir(tmp_path / "any.trace")
    arguments = {
        "heatmap": [".", "cat"],
        "segment": [photo],
        "export": [made, "page.html"],
        "generate": ["a cat", "-o", "new"],
        "demo": ["-o", "new"],
        "layers": ["sd1", "--diagram", "unet.svg"],
    }[command]
    code, _, err = run(command, *arguments, "--force")
    assert code == 2
    assert f"is inside the trace {tmp_path / 'any.trace'}" in err
    assert files_in(tmp_path / "any.trace") == before


def test_words_that_look_alike_have_files_of_their_own(run, model, tmp_path):
    prompt = "Cat cat CAT con nul cat-2"
    assert run("generate", prompt, "--model", model, "-o", tmp_path / "g", "-n", "1")[0] == 0
    trace = attnscope.load_trace(tmp_path / "g")
    code, out, err = run("heatmap", tmp_path / "g", "-o", tmp_path / "maps", "--numbers", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert len({entry["file"].casefold() for entry in found}) == len(found) == len(trace.words())
    for entry, heat in zip(found, attnscope.heat_maps(trace), strict=True):
        assert np.array_equal(np.load(entry["file"].replace(".png", ".npy")), heat.array)
    assert len(list((tmp_path / "g" / "words").iterdir())) == len(found)


def test_force_replaces_what_an_earlier_run_wrote_and_nothing_else(run, model, tmp_path):
    mine = ["notes.txt", "words/dog.png", "words/notes.txt"]
    (tmp_path / "words").mkdir()
    for name in mine:
        (tmp_path / name).write_text("mine")
    options = ["--model", model, "-o", tmp_path, "-n", "1", "--force"]
    assert run("generate", "a star", *options)[0] == 0
    assert run("generate", "a red cat", *options)[0] == 0
    assert [(tmp_path / name).read_text() for name in mine] == ["mine"] * 3
    assert {path.name for path in (tmp_path / "words").iterdir()} == {
        "a.png", "cat.png", "red.png", "dog.png", "notes.txt",
    }  # fmt: skip


@pytest.mark.parametrize("there", ["output.png", "words.png", "words/mine.png", "run.trace/mine.txt"])
def test_generate_looks_at_the_very_names_that_it_writes(run, tmp_path, there):
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    code, _, err = run("generate", "a cat", "-o", tmp_path)
    assert code == 1
    assert "exists already" in err
    assert files_in(tmp_path) == sorted(["notes.txt", there])


def test_generate_writes_beside_other_files(run, model, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert run("generate", "a cat", "--model", model, "-o", tmp_path, "-n", "1")[0] == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_force_leaves_a_folder_alone_that_is_no_trace(run, model, tmp_path):
    (tmp_path / "run.trace").mkdir()
    (tmp_path / "run.trace" / "manifest.json").write_text('{"name": "a web page"}')
    code, _, err = run("generate", "a cat", "--model", model, "-o", tmp_path, "-n", "1", "--force")
    assert code == 1
    assert "is not a trace: it is left alone; name another folder with -o" in err
    assert files_in(tmp_path) == ["run.trace/manifest.json"]


# Pictures that are segmented


def test_pictures_whose_names_differ_in_the_ending_have_files_of_their_own(run, model, photo, tmp_path):
    Image.new("RGB", (64, 96), "red").save(tmp_path / "photo.jpg")
    shutil.copy(photo, tmp_path / "photo.jpg.png")
    shutil.copy(photo, tmp_path / "PHOTO.png")
    names = ["photo.png", "photo.jpg", "photo.jpg.png", "PHOTO.png"]
    out = tmp_path / "out"
    code, _, err = run("segment", *(tmp_path / name for name in names), "--model", model, "-o", out)
    assert code == 0, err
    stems = ["photo", "photo-2", "photo.jpg", "PHOTO-3"]
    endings = [".labels.png", ".overlay.png", ".json"]
    assert files_in(out) == sorted(stem + ending for stem in stems for ending in endings)
    red = np.asarray(read(out / "photo-2.overlay.png"))
    assert red[..., 0].mean() > red[..., 1].mean() + 50  # the JPEG's own


ODD = [
    "-x.png",
    "a b'\"c.png",
    "new\nline.png",
    "[bold]red.png",
    "猫.png",
    "x" * 251 + ".png",
    "con.png",
    "..png.png",
]


def test_pictures_with_odd_names(run, model, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ODD:
        shutil.copy(photo, name)
    code, out, err = run("segment", "--model", model, "-o", "out", "--json", "--", *ODD)
    assert code == 0, err
    assert [entry["image"] for entry in json.loads(out)] == ODD
    assert len(files_in(tmp_path / "out")) == 3 * len(ODD)
    assert err.count("\n") == 3 * len(ODD)  # one line a file, whatever it is called
    shutil.rmtree("out")


@pytest.mark.parametrize("given", [".", "../scene", "sub/.."])
def test_a_trace_that_is_named_by_dots_has_a_name(run, model, made, tmp_path, monkeypatch, given):
    shutil.copytree(made, tmp_path / "scene")
    (tmp_path / "scene" / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "scene")
    assert run("segment", given, "--model", model, "-o", tmp_path / "out")[0] == 0
    assert files_in(tmp_path / "out") == ["scene.json", "scene.labels.png", "scene.overlay.png"]


def test_a_picture_is_never_written_over_by_the_segments_of_another(run, model, photo, tmp_path):
    shutil.copy(photo, tmp_path / "photo.overlay.png")
    before = (tmp_path / "photo.overlay.png").read_bytes()
    given = [photo, tmp_path / "photo.overlay.png"]
    code, _, err = run("segment", *given, "--model", model, "-o", tmp_path, "--force")
    assert code == 2
    assert "photo.overlay.png is one of the pictures and would be overwritten" in err
    assert (tmp_path / "photo.overlay.png").read_bytes() == before


@pytest.mark.parametrize("command", ["info", "heatmap", "segment", "export"])
def test_the_folder_that_generate_wrote_stands_for_its_trace(run, made, model, tmp_path, command):
    for number, folder in enumerate((made, made / "run.trace", made / "words" / "..")):
        extra = {
            "info": [],
            "heatmap": ["cat", "-o", tmp_path / str(number)],
            "segment": ["--model", model, "-o", tmp_path / str(number)],
            "export": [tmp_path / f"{number}.html"],
        }[command]
        code, _, err = run(command, folder, *extra)
        assert code == 0, err
