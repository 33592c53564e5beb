"""`attnscope generate --open-words` and `attnscope heatmap --open`: words that are not in the prompt."""

import json

import numpy as np
import pytest

import attnscope


@pytest.fixture
def opened(run, model, tmp_path):
    code, _, err = run(
        "generate",
        "a red cat",
        "-m",
        model,
        "-n",
        "2",
        "-o",
        tmp_path / "any",
        "--open-words",
        "--keep",
        "cross",
    )
    assert code == 0, err
    return tmp_path / "any"


def test_a_word_is_read_as_a_text_of_its_own_or_in_its_context(run, model, opened, tmp_path):
    code, out, _ = run(
        "heatmap",
        opened,
        "star",
        "the grass",
        "--open",
        "-m",
        model,
        "-o",
        tmp_path / "maps",
        "--numbers",
        "--json",
    )
    assert code == 0
    assert [(entry["word"], entry["tokens"]) for entry in json.loads(out)] == [
        ("star", [1]),
        ("the grass", [1, 2]),
    ]
    pipe = attnscope.load_pipeline(model)
    expected = attnscope.heat_map(opened, "star", pipe=pipe, open_words=True).array
    assert np.array_equal(np.load(tmp_path / "maps" / "star.heat.npy"), expected)
    code, out, _ = run(
        "heatmap",
        opened,
        "star",
        "--open",
        "--context",
        "a red star",
        "-m",
        model,
        "-o",
        tmp_path / "more",
        "--json",
    )
    assert (code, json.loads(out)[0]["tokens"]) == (0, [3])
    code, out, _ = run(
        "heatmap", opened, "--open", "--context", "the star", "-m", model, "-o", tmp_path / "all", "--json"
    )
    assert [entry["word"] for entry in json.loads(out)] == ["the", "star"]


def test_the_model_is_the_one_that_the_trace_names(run, opened, tmp_path):
    trace = attnscope.load_trace(opened)
    code, _, err = run("heatmap", opened, "star", "--open", "-o", tmp_path / "maps")
    if trace.run.model is None:
        assert (code, "give it with --model" in err) == (1, True)
    else:
        assert (code, (tmp_path / "maps" / "star.heat.png").exists()) == (0, True)


def test_wrong_use_is_said(run, model, opened, tmp_path):
    for arguments, said in (
        (("star",), "no word 'star'"),
        (("star",), "to read it anyway, add --open"),
        (("cat", "--context", "a cat"), "add --open"),
        (("cat", "-m", model), "--model is for photos"),
        (("--open", "-m", model), "no words are given"),
        (("star", "--open", "--kind", "image", "-m", model), "reads none"),
    ):
        code, _, err = run("heatmap", opened, *arguments, "-o", tmp_path / "maps")
        assert code == (1 if arguments == ("star",) else 2)
        assert said in err


def test_a_trace_that_lacks_it_says_how_it_is_made(run, model, tmp_path):
    run("generate", "a red cat", "-m", model, "-n", "1", "-o", tmp_path / "plain", "--keep", "cross")
    code, _, err = run("heatmap", tmp_path / "plain", "star", "--open", "-m", model, "-o", tmp_path / "maps")
    assert code == 1
    assert "--open-words" in err
    assert "Open words" not in run("info", tmp_path / "plain")[1]


def test_info_tells_that_it_is_there_and_how_many_bytes(run, opened):
    assert "keys of any text in 16 layers" in run("info", opened)[1]
    assert json.loads(run("info", opened, "--json")[1])["open_words"] == 16
    assert run("info", opened, "--verify")[0] == 0


def test_a_photo_is_read_with_one_text_and_asked_for_words_of_another(run, model, photo, tmp_path):
    arguments = (
        "heatmap",
        photo,
        "a picture",
        "star",
        "--open",
        "-m",
        model,
        "-o",
        tmp_path / "maps",
        "--numbers",
    )
    code, _, err = run(*arguments)
    assert code == 0, err
    pipe = attnscope.load_pipeline(model)
    trace = attnscope.read_photo(pipe, photo, "a picture", open_words=True)
    expected = attnscope.heat_map(trace, "star", pipe=pipe, open_words=True).array
    assert np.array_equal(np.load(tmp_path / "maps" / "star.heat.npy"), expected)
