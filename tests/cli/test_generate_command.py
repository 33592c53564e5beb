"""`attnscope generate`, and `info` and `heatmap` on what it wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from picture_file import read
from PIL import Image

import attnscope
from ldm_layout import save_as_single_file


def test_generate_writes_picture_trace_words_and_sheet(made):
    assert read(made / "output.png").size == (128, 128)
    assert sorted(file.name for file in (made / "words").iterdir()) == [
        "a-2.png", "a.png", "cat.png", "on.png", "red.png", "star.png",
    ]  # fmt: skip
    assert read(made / "words.png").width > 1000
    trace = attnscope.load_trace(made / "run.trace")
    assert (len(trace.steps), len(trace.layers), trace.branches) == (2, 32, ("uncond", "cond"))
    assert (trace.prompt(), trace.run.seed) == ("a red cat on a star", 5)


def test_the_picture_is_the_one_without_capture(made, pipe, seeded):
    plain = pipe("a red cat on a star", num_inference_steps=2, generator=seeded(5)).images[0]
    assert np.array_equal(np.asarray(read(made / "output.png")), np.asarray(plain))


def test_the_trace_holds_the_picture(made):
    trace = attnscope.load_trace(made / "run.trace")
    assert np.array_equal(np.asarray(trace.picture), np.asarray(read(made / "output.png")))


def test_generate_refuses_a_folder_that_holds_something(run, made, model):
    code, _, err = run("generate", "a cat", "--model", model, "-o", made, "-n", "1")
    assert code == 1
    assert "exists already" in err


def test_force_replaces_the_trace_and_the_words_of_an_earlier_prompt(run, model, tmp_path):
    for seed, prompt in ((1, "a star"), (2, "a cat")):
        options = ["-o", tmp_path / "out", "-n", "1", "-s", seed, "--force"]
        assert run("generate", prompt, "--model", model, *options)[0] == 0
    assert attnscope.load_trace(tmp_path / "out" / "run.trace").run.seed == 2
    assert {path.name for path in (tmp_path / "out" / "words").iterdir()} == {"a.png", "cat.png"}


def test_a_run_that_fails_leaves_the_older_trace_and_its_words(run, made, model, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "a")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*") if path.is_file()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    code, _, err = run("generate", "a star", "--model", model, "-o", tmp_path / "a", "-n", 2, "--force")
    assert code == 1
    assert "No space left on device" in err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*") if path.is_file()} == before


@pytest.mark.thorough
@pytest.mark.slow
def test_a_run_killed_before_its_first_manifest_is_begun_again(run, model, tmp_path):
    program = f"""
import os
from pathlib import Path
from attnscope.cli import main
Path.replace = lambda partial, target: os._exit(9)
main(["generate", "a star", "--model", {str(model)!r}, "-o", {str(tmp_path / "a")!r}, "-n", "1"])
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 9
    assert [path.name for path in (tmp_path / "a" / "run.trace").rglob("*.json")] == ["manifest.json"]
    assert not (tmp_path / "a" / "run.trace" / "manifest.json").exists()
    again = ("generate", "a star", "--model", model, "-o", tmp_path / "a", "-n", 1, "--force")
    assert run(*again)[0] == 0
    assert len(attnscope.load_trace(tmp_path / "a").steps) == 1
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "output.png",
        "run.trace",
        "words",
        "words.png",
    ]


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_run_that_is_ended_leaves_a_trace_so_far(model, tmp_path):
    command = [sys.executable, "-m", "attnscope", "generate", "a star", "--model", str(model)]
    shard = tmp_path / "a" / "run.trace" / "call-00003.safetensors"
    with subprocess.Popen([*command, "-o", str(tmp_path / "a"), "-n", "900"]) as process:
        while not shard.exists() and process.poll() is None:
            time.sleep(0.01)
        process.terminate()
    assert process.returncode == 143
    assert 3 <= len(attnscope.load_trace(tmp_path / "a").steps) < 900
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["run.trace"]


def test_less_can_be_kept_and_json_printed(run, model, tmp_path):
    options = [
        "--keep",
        "cross",
        "--keep-every",
        "2",
        "--keep-branch",
        "cond",
        "--size",
        "128x192",
        "-n",
        "3",
        "--json",
    ]
    code, out, _ = run("generate", "a red cat", "--model", model, "-o", tmp_path / "out", *options)
    assert code == 0
    assert [word["word"] for word in json.loads(out)["words"]] == ["a", "red", "cat"]
    trace = attnscope.load_trace(tmp_path / "out" / "run.trace")
    assert [step.index for step in trace.steps] == [0, 2]
    assert (trace.branches, {layer.kind for layer in trace.layers}) == (("cond",), {"cross"})
    assert read(tmp_path / "out" / "output.png").size == (192, 128)


WRONG = {
    "empty prompt": (["  "], 2, "the prompt is empty"),
    "no steps": (["a cat", "-n", "0"], 2, "--steps 0: expected 1 or more"),
    "size off the grid": (["a cat", "--size", "100"], 2, "expected a multiple of 8"),
    "too large a trace": (
        ["a cat", "--max-trace-gb", "0.0001"],
        2,
        "more than --max-trace-gb 0.0001; keep less",
    ),
    "unknown device": (["a cat", "--device", "abacus"], 2, "device 'abacus' can't be used"),
    "unknown dtype": (["a cat", "--dtype", "int3"], 2, "dtype 'int3': expected one of"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG.values(), ids=WRONG)
def test_wrong_use(run, model, tmp_path, arguments, code, message):
    found, out, err = run("generate", *arguments, "--model", model, "-o", tmp_path / "out")
    assert (found, out) == (code, "")
    assert message in err
    assert not (tmp_path / "out" / "output.png").exists()


def test_a_model_that_is_not_there(run, tmp_path):
    code, _, err = run("generate", "a cat", "--model", tmp_path / "nothing", "-o", tmp_path / "out")
    assert code == 1
    assert "no such file or folder" in err


def test_a_dead_id_is_a_warning_of_one_line(run, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, err = run(
            "generate", "a cat", "--model", "stabilityai/stable-diffusion-2", "-o", tmp_path / "out"
        )
    assert code == 1
    assert "warning: stabilityai/stable-diffusion-2 is gone from the hub; loading its mirror" in err
    assert "HF_HUB_OFFLINE" in err


def test_info_prints_run_words_and_layers(run, made):
    code, out, err = run("info", made / "run.trace")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "Prompt a red cat on a star" in lines
    assert "Seed 5" in lines
    assert any(line.startswith("16x16 1, 2, 14, 15, 16 self 8 (16, 256, 2)") for line in lines)


def test_info_as_json(run, made):
    found = json.loads(run("info", made / "run.trace", "--json")[1])
    assert (found["prompts"], found["seed"], found["image_size"]) == (["a red cat on a star"], 5, [128, 128])
    assert [step["index"] for step in found["steps"]] == [0, 1]
    assert len(found["layers"]) == 32
    assert found["layers"][0]["query"] == [16, 256, 2]
    assert found["words"][0][2] == {"word": "cat", "tokens": [3]}


def test_info_of_what_is_no_trace(run, tmp_path):
    code, out, err = run("info", tmp_path)
    assert (code, out) == (1, "")
    assert "is not a trace" in err


def test_heatmap_draws_the_words_that_are_asked_for(run, made, tmp_path):
    options = [
        "--blocks",
        "1,14-16",
        "--steps",
        "0-1",
        "--heads",
        "0,3",
        "--numbers",
        "-o",
        tmp_path,
        "--json",
    ]
    code, out, _ = run("heatmap", made / "run.trace", "cat", "red cat", *options)
    found = json.loads(out)
    assert (code, [one["word"] for one in found]) == (0, ["cat", "red cat"])
    assert read(tmp_path / "red-cat.heat.png").size == (128, 128)
    trace = attnscope.load_trace(made / "run.trace")
    expected = attnscope.heat_map(trace, "cat", blocks=[1, 14, 15, 16], steps=[0, 1], heads=[0, 3]).array
    assert np.array_equal(np.load(tmp_path / "cat.heat.npy"), expected)
    assert found[0]["maximum"] == pytest.approx(float(expected.max()))


def test_heatmap_repeats_daam(run, made, tmp_path):
    out = run("heatmap", made / "run.trace", "cat", "--preset", "daam", "-o", tmp_path, "--json")[1]
    trace = attnscope.load_trace(made / "run.trace")
    expected = float(attnscope.heat_map(trace, "cat", preset="daam").array.max())
    assert json.loads(out)[0]["maximum"] == pytest.approx(expected)


def test_heatmap_takes_all_words_by_default_and_the_second_of_two(run, made, tmp_path):
    code, out, _ = run("heatmap", made / "run.trace", "-o", tmp_path / "all", "--same-scale")
    assert code == 0
    assert len(list((tmp_path / "all").glob("*.heat.png"))) == 6
    assert "Peak (row, column)" in out
    found = json.loads(
        run("heatmap", made / "run.trace", "a", "--occurrence", "1", "-o", tmp_path, "--json")[1]
    )
    assert found[0]["tokens"] == [5]


HEATMAP_WRONG = {
    "unknown word": (["dog"], 1, "no word 'dog'"),
    "block 17": (["cat", "--blocks", "17"], 1, "17"),
    "step out of range": (["cat", "--steps", "2"], 1, "step"),
    "head out of range": (["cat", "--heads", "8"], 1, "head"),
    "not a range": (["cat", "--steps", "1-"], 2, "expected numbers and ranges"),
    "endless range": (["cat", "--steps", "0-999999"], 2, "too long"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), HEATMAP_WRONG.values(), ids=HEATMAP_WRONG)
def test_heatmap_of_what_is_not_there(run, made, tmp_path, arguments, code, message):
    found, out, err = run("heatmap", made / "run.trace", *arguments, "-o", tmp_path)
    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1


def test_heatmap_overwrites_only_with_force(run, made, tmp_path):
    (tmp_path / "cat.heat.png").write_text("mine")
    assert run("heatmap", made / "run.trace", "cat", "-o", tmp_path)[0] == 1
    assert (tmp_path / "cat.heat.png").read_text() == "mine"
    assert run("heatmap", made / "run.trace", "cat", "-o", tmp_path, "--force")[0] == 0


def test_a_single_file_loads_with_the_configuration_of_a_folder(run, model, pipe, tmp_path):
    file = save_as_single_file(pipe, tmp_path / "tiny.safetensors")
    options = ["--model", file, "--config", model, "-o", tmp_path / "out", "-n", "1"]
    assert run("generate", "a cat", *options)[0] == 0
    assert read(tmp_path / "out" / "output.png").size == (128, 128)


def test_previews_of_steps_are_kept_and_told_of(run, model, tmp_path):
    folder = tmp_path / "with"
    assert run("generate", "a red cat", "-m", model, "-n", "2", "-o", folder, "--previews")[0] == 0
    trace = attnscope.load_trace(folder)
    assert list(trace.previews) == [0, 1]
    code, out, _ = run("info", folder)
    assert (code, "of 2 steps" in out) == (0, True)
    assert run("heatmap", folder, "cat", "--animate", "-o", tmp_path)[0] == 0
    with Image.open(tmp_path / "cat.gif") as gif:
        assert gif.width == 2 * 256 + 4
