"""`attnscope explain`: sentences, a table, a picture, JSON."""

import json

import pytest
from PIL import Image

import attnscope
from attnscope.pictures.reading import load_picture
from attnscope.testing.made_traces import made_trace


@pytest.fixture
def folder(tmp_path):
    made = made_trace()
    made.run.pictures = [Image.new("RGB", (48, 32), "teal")]
    return made.save(tmp_path / "run.trace")


def test_it_prints_the_library_s_sentences_and_a_table_and_draws(run, folder, tmp_path):
    code, out, err = run("explain", folder, "cat", "-o", tmp_path)
    assert code == 0
    assert out.startswith(str(attnscope.explain(folder, "cat")))
    assert "Words of 'red cat'" in out
    assert "Verdict" in out
    assert f"wrote {tmp_path / 'cat.explain.png'}" in err.replace("\n", "")
    assert load_picture(tmp_path / "cat.explain.png").width > 500


def test_json_is_what_the_library_gives(run, folder, tmp_path):
    code, out, _ = run("explain", folder, "cat", "--json", "-o", tmp_path / "mine.jpg")
    assert code == 0
    told = json.loads(out)
    assert told.pop("file") == str(tmp_path / "mine.jpg")
    assert told == json.loads(json.dumps(attnscope.explain(folder, "cat").to_dict()))
    assert (tmp_path / "mine.jpg").exists()


def test_it_speaks_japanese(run, folder, tmp_path):
    code, out, _ = run("explain", folder, "cat", "--lang", "ja", "-o", tmp_path)
    assert code == 0
    assert out.startswith(attnscope.explain(folder, "cat").text("ja"))
    assert "「red cat」の単語" in out
    code, out, _ = run("explain", folder, "cat", "--lang", "ja", "--json", "-o", tmp_path, "--force")
    assert json.loads(out)["sentences"] == attnscope.explain(folder, "cat").sentences("ja")
    code, _, err = run("explain", folder, "cat", "--lang", "de", "-o", tmp_path, "--force")
    assert code != 0
    assert "expected one of en, ja" in err


def test_a_second_time_says_the_same_and_leaves_the_picture(run, folder, tmp_path):
    _, first, _ = run("explain", folder, "cat", "-o", tmp_path)
    before = (tmp_path / "cat.explain.png").stat().st_mtime_ns
    code, again, err = run("explain", folder, "cat", "-o", tmp_path)
    assert (code, again) == (1, first)
    assert "exists already" in err
    assert (tmp_path / "cat.explain.png").stat().st_mtime_ns == before


def test_without_a_word_all_are_explained(run, folder, tmp_path):
    code, out, _ = run("explain", folder, "--json", "-o", tmp_path)
    assert code == 0
    assert json.loads(out)["asked"] == ["red", "cat"]
    assert (tmp_path / "explain.png").exists()


def test_a_trace_without_a_picture_shows_the_map_by_itself(run, tmp_path):
    folder = made_trace().save(tmp_path / "run.trace")
    code, _, _ = run("explain", folder, "cat", "-o", tmp_path)
    assert code == 0
    assert (tmp_path / "cat.explain.png").exists()


def test_nothing_is_written_over_without_force(run, folder, tmp_path):
    assert run("explain", folder, "cat", "-o", tmp_path)[0] == 0
    code, _, err = run("explain", folder, "cat", "-o", tmp_path)
    assert code == 1
    assert "--force" in err
    assert run("explain", folder, "cat", "-o", tmp_path, "--force")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("dog",), 1, "no word 'dog'"),
        (("cat", "--image", "3"), 1, "image 3"),
        (("cat", "-o", "map.npy"), 2, "written as .png, .jpg or .webp"),
        (("cat", "--model", "demo"), 1, "the run can't be repeated: the trace is not of a pipeline's call"),
    ],
)
def test_wrong_use_is_one_line(run, folder, tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    got, _, err = run("explain", folder, *arguments)
    assert got == code
    assert said in " ".join(err.split())
    assert "Traceback" not in err


def test_texts_from_others_do_not_reach_the_terminal(run, tmp_path):
    made = made_trace()
    made.run.prompts = ["\x1b]0;owned\x07[/cat]at"]
    made.run.tokens = [tuple(made.run.tokens[0])]
    made.run.model = "\x1b[bold]"
    code, out, err = run("explain", made.save(tmp_path / "run.trace"), "-o", tmp_path)
    assert code in (0, 1)
    assert not {"\x1b", "\x07"} & set(out + err)


def test_with_the_model_it_says_what_the_word_did(run, made, model, tmp_path):
    code, out, _ = run("explain", made / "run.trace", "cat", "--model", model, "--json", "-o", tmp_path)
    assert code == 0
    (report,) = [word for word in json.loads(out)["words"] if word["word"] == "cat"]
    assert [effect["edit"] for effect in report["effects"]] == ["Ablate('cat')", "Reweight('cat', 2)"]
    assert report["effects"][0]["mean"] > 0
    assert load_picture(tmp_path / "cat.explain.png").height > 900
