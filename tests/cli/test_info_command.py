"""`attnscope info`: what a trace holds, and whether it holds what was written."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import attnscope
from attnscope.records.reduced import Reduced, ReducedMaps
from attnscope.testing.made_traces import made_trace


@pytest.fixture
def folder(tmp_path):
    made = made_trace()
    made.run.pictures = [Image.new("RGB", (48, 32))]
    layer = made.layers[1, "self"]
    maps = made.probabilities(layer=layer, branch="cond", mean=("step", "head"))
    made.reduced = {"scene": ReducedMaps(Reduced("self"), {layer.id: maps}, {}, (layer,), (0, 1))}
    return made.save(tmp_path / "output" / "run.trace")


def test_it_tells_what_there_is(run, folder):
    code, out, _ = run("info", folder)
    assert code == 0
    for told in ("red cat", "uncond, cond", "2 of 2", "mean of self-attention over 2 steps", "2, 3"):
        assert told in out
    facts = json.loads(run("info", folder, "--json")[1])
    assert [step["index"] for step in facts["steps"]] == [0, 1]
    assert facts["words"] == [[{"word": "red", "tokens": [1]}, {"word": "cat", "tokens": [2, 3]}]]
    assert facts["layers"][1]["probability"] == [6, 24, 5]
    assert "verified" not in facts


def refuse(name):
    raise AssertionError(f"{name} is not a number in JSON")


def test_what_is_unknown_is_null_in_json(run, tmp_path):
    made = made_trace()
    made.records.calls[:] = [replace(call, timestep=float("nan")) for call in made.records.calls]
    out = run("info", made.save(tmp_path / "run.trace"), "--json")[1]
    assert [step["timestep"] for step in json.loads(out, parse_constant=refuse)["steps"]] == [None, None]


def test_texts_from_others_reach_neither_terminal_nor_markup(run, folder):
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    del data["digest"]
    data["passes"][0]["run"] |= {"model": "\x1b]0;owned\x07[bold]x[/cat]", "prompts": ["a\x00 [/] \u202ecat"]}
    path.write_text(json.dumps(data))
    code, out, _ = run("info", folder)
    assert code == 0
    assert "[bold]x[/cat]" in out
    assert not {"\x1b", "\x07", "\x00", "\u202e"} & set(out)


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes as POSIX has them")
def test_what_lies_beside_the_files_of_a_trace_does_not_count(run, folder):
    size = json.loads(run("info", folder, "--json")[1])["bytes"]
    (folder / "dangling").symlink_to("nowhere")
    (folder / "ring").symlink_to(folder / "ring")
    (folder / "up").symlink_to("..")
    (folder / "caf\udce9").write_text("x" * 999)
    assert json.loads(run("info", folder, "--json")[1])["bytes"] == size


def test_it_takes_the_folder_that_generate_wrote(run, folder):
    assert json.loads(run("info", folder.parent, "--json")[1])["folder"] == str(folder)


def test_verify_reads_everything_and_says_so(run, folder):
    code, _, err = run("info", folder, "--verify")
    assert (code, "all checksums match" in err) == (0, True)
    assert json.loads(run("info", folder, "--verify", "--json")[1])["verified"] is True


@pytest.mark.parametrize("file", ["call-00001.safetensors", "reduced-scene.safetensors"])
def test_verify_finds_one_flipped_bit(run, folder, file):
    path = folder / file
    tensors = load_file(path)
    name = sorted(tensors)[0]
    tensors[name].view(-1).view(torch.uint8)[7] ^= 16
    save_file(tensors, path)
    code, out, err = run("info", folder, "--verify")
    assert (code, out) == (1, "")
    assert file in err
    assert "its bytes are not those that were written" in err


def test_of_two_passes_both_are_told(run, folder, tmp_path):
    passes = [made_trace(seed=seed)._only for seed in (1, 2)]
    both = attnscope.Trace(*passes).save(tmp_path / "both.trace")
    assert run("info", both)[1].count("red cat") >= 2
    assert len(json.loads(run("info", both, "--json")[1])["passes"]) == 2


def test_a_picture_in_place_of_a_trace_is_said(run, photo):
    code, out, err = run("info", photo)
    assert (code, out) == (1, "")
    assert "photo.png: a file; expected a trace, a folder" in err


def test_the_negative_branch_has_its_own_words_on_the_command_line(run, tmp_path):
    folder = made_trace().save(tmp_path / "run.trace")
    told = run("info", folder)[1]
    assert "Words of the negative prompt and their tokens" in told
    facts = json.loads(run("info", folder, "--json")[1])
    assert facts["negative_words"] == [[{"word": "cat", "tokens": [1]}]]
    for branch, tokens in (("cond", [2, 3]), ("uncond", [1])):
        shown = run("heatmap", folder, "cat", "--branch", branch, "--json", "-o", tmp_path / branch)[1]
        assert [entry["tokens"] for entry in json.loads(shown)] == [tokens]
    code, _, told = run("heatmap", folder, "red", "--branch", "uncond", "-o", tmp_path / "none")
    assert (code, "no word 'red' in the negative prompt 'cat'" in " ".join(told.split())) == (1, True)
