"""A trace on disk: what is saved is what is loaded, and what is broken is said."""

import json
import subprocess
import sys

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

import attnscope
from attnscope.errors import OutputError, TraceFormatError
from attnscope.testing.made_traces import made_trace


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_save_then_load_is_identity(tmp_path, dtype):
    trace = made_trace(images=2, dtype=dtype, mask=True)
    trace.run.pictures = [Image.effect_noise((48, 32), 50).convert("RGB")]
    trace.run.seed, trace.run.model = 7, "some/model"
    loaded = attnscope.load_trace(trace.save(tmp_path / "a.trace"))
    assert loaded.layers == trace.layers
    assert loaded.steps == trace.steps
    assert loaded.picture.tobytes() == trace.picture.tobytes()
    for name in (
        "prompts",
        "tokens",
        "seed",
        "model",
        "image_size_hw",
        "latent_size_hw",
        "planned_steps",
        "versions",
    ):
        assert getattr(loaded.run, name) == getattr(trace.run, name)
    for layer in trace.layers:
        for step in (0, 1):
            ours = trace.record(block=layer.block, kind=layer.kind, step=step)
            theirs = loaded.record(block=layer.block, kind=layer.kind, step=step)
            assert ours.scale == theirs.scale
            assert all(
                torch.equal(ours.tensors[part], theirs.tensors[part]) for part in ("query", "key", "mask")
            )
            assert theirs.query.dtype == dtype
    again = attnscope.load_trace(loaded.save(tmp_path / "b.trace"))
    assert torch.equal(again.probabilities(block=1, kind="self"), trace.probabilities(block=1, kind="self"))


def test_a_trace_opens_without_diffusers_or_transformers(folder):
    program = f"""
import sys
import zlib
from pathlib import Path
for name in ("diffusers", "transformers", "matplotlib"):
    sys.modules[name] = None
import attnscope
trace = attnscope.load_trace({str(folder)!r})
print(attnscope.heat_map(trace, "cat").array.shape, trace.probabilities(block=1, kind="self", query=0, step=0).shape)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["(4,", "6)", "torch.Size([2,", "1,", "3,", "24])"]


def test_shards_describe_themselves_and_hold_the_very_numbers(folder):
    shard = folder / "call-00001.safetensors"
    with safe_open(shard, framework="pt") as opened:
        header = json.loads(opened.metadata()["attnscope"])
    assert (header["format"], header["version"], header["call"]["index"]) == ("attnscope-trace", 2, 1)
    assert header["records"]["block02.cross"]["layer"]["grid"] == [2, 3]
    trace = made_trace(mask=True)
    assert torch.equal(
        load_file(shard)["block02.cross.query"], trace.record(block=2, kind="cross", step=1).query
    )


def test_nothing_is_pickled(folder):
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors", ".png"}


def test_an_existing_trace_is_not_overwritten_unasked(folder):
    with pytest.raises(OutputError, match="exists already"):
        made_trace().save(folder)
    made_trace(steps=1).save(folder, overwrite=True)
    assert len(attnscope.load_trace(folder).steps) == 1
    assert [path.name for path in folder.parent.iterdir()] == ["run.trace"]


def test_a_folder_that_is_no_trace_is_never_deleted(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    with pytest.raises(OutputError, match="is not a trace: it is left alone"):
        made_trace().save(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "meow"


def test_a_save_that_fails_leaves_nothing(tmp_path, monkeypatch):
    import safetensors.torch

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OutputError, match="No space left on device"):
        made_trace().save(tmp_path / "run.trace")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_disk_is_said_and_leaves_a_trace_that_opens(tmp_path):
    program = f"""
import resource, signal, sys
import attnscope
from attnscope.errors import OutputError
from attnscope.testing.made_traces import made_trace
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
try:
    made_trace().save({str(tmp_path / "run.trace")!r})
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "can't write" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_a_free_place(tmp_path):
    assert len(attnscope.load_trace(made_trace().save(tmp_path)).steps) == 2


def test_a_place_that_is_a_file_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="can't write"):
        made_trace().save(tmp_path / "file" / "run.trace")


def test_a_read_only_place_is_said(nobody):
    nobody.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        made_trace().save(nobody / "run.trace")


@pytest.mark.parametrize("mode", [0, 0o600])
def test_a_folder_that_nobody_may_enter_is_one_error(nobody, mode):
    folder = made_trace().save(nobody / "output" / "run.trace")
    for closed in (folder, folder.parent):
        closed.chmod(mode)
        for named in (folder, folder.parent):
            with pytest.raises(TraceFormatError, match=r"can't read .*: Permission denied"):
                attnscope.load_trace(named)
        for overwrite in (False, True) if closed == folder.parent else (True,):
            with pytest.raises(OutputError, match=r"can't write .*run\.trace: Permission denied"):
                made_trace().save(folder, overwrite=overwrite)
        closed.chmod(0o700)
    assert len(attnscope.load_trace(folder).steps) == 2


@pytest.mark.parametrize("name", ["manifest.json", "call-00001.safetensors"])
def test_a_file_that_nobody_may_read_is_one_error(nobody, name):
    folder = made_trace().save(nobody / "run.trace")
    (folder / name).chmod(0)
    with pytest.raises(TraceFormatError, match=rf"{name}.*Permission denied"):
        attnscope.load_trace(folder)


def test_a_read_only_trace_is_replaced_without_a_rest(nobody):
    folder = made_trace().save(nobody / "run.trace")
    folder.chmod(0o500)
    made_trace(steps=1).save(folder, overwrite=True)
    assert [path.name for path in nobody.iterdir()] == ["run.trace"]
    assert len(attnscope.load_trace(folder).steps) == 1


@pytest.mark.thorough
@pytest.mark.slow
def test_a_run_killed_half_way_opens_and_says_how_far_it_came(tmp_path):
    program = f"""
import os, sys
import torch, attnscope
from attnscope.testing.tiny_models import tiny_unet
unet = tiny_unet()
with torch.no_grad(), attnscope.capture(unet, where={str(tmp_path / "run.trace")!r}) as trace:
    trace.run.planned_steps = 50
    for step in range(3):
        unet(torch.randn(1, 4, 16, 16), 999 - step, encoder_hidden_states=torch.randn(1, 5, 16))
    os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    trace = attnscope.load_trace(tmp_path / "run.trace")
    assert (len(trace.steps), trace.run.planned_steps) == (3, 50)
    assert "3 of 50 steps" in repr(trace)
    assert trace.probabilities(block=16, kind="cross", step=2).shape[-1] == 5
