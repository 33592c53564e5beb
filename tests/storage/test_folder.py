"""A trace on disk: what is saved is what is loaded, and what is broken is said."""

import json
import os
import shutil
import stat
import subprocess
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import attnscope
from attnscope.errors import OutputError, SelectionError, TraceFormatError
from attnscope.storage.manifest import MANIFEST, Manifest
from attnscope.storage.shards import MAX_HEADER_BYTES
from attnscope.testing.made_traces import made_trace


@pytest.fixture
def folder(tmp_path):
    trace = made_trace(mask=True)
    trace.run.pictures = [Image.new("RGB", (48, 32), (9, 8, 7))]
    return trace.save(tmp_path / "run.trace")


def edit(folder, change):
    path = folder / MANIFEST
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


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
    from safetensors import safe_open

    shard = folder / "step-00001.safetensors"
    with safe_open(shard, framework="pt") as opened:
        header = json.loads(opened.metadata()["attnscope"])
    assert (header["format"], header["version"], header["step"]["index"]) == ("attnscope-trace", 1, 1)
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


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_place_is_said(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        made_trace().save(tmp_path / "run.trace")


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


# Hostile and broken folders


def shard(folder):
    return folder / "step-00000.safetensors"


def rewrite(folder, change):
    tensors = load_file(shard(folder))
    change(tensors)
    save_file(tensors, shard(folder))


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def big_header(folder):
    data = shard(folder).read_bytes()
    shard(folder).write_bytes((MAX_HEADER_BYTES + 1).to_bytes(8, "little") + data[8:])


def link_away(folder):
    target = folder.parent / "outside.safetensors"
    shutil.move(shard(folder), target)
    shard(folder).symlink_to(target)


def row_twice(folder):
    edit(folder, lambda data: data["steps"][0].update(rows=data["steps"][0]["rows"][:1] * 2))


def unknown_part(folder):
    edit(folder, lambda data: data["steps"][0]["records"]["block01.self"].update(parts=["x"]))


def other_shape(folder):
    rewrite(folder, lambda tensors: tensors.update({"block01.self.query": torch.zeros(2, 3, 24, 4)}))


CASES = [
    ("no manifest", lambda f: (f / MANIFEST).unlink(), "has no manifest.json"),
    ("not json", lambda f: (f / MANIFEST).write_text("{"), "not readable as JSON"),
    ("json bomb", lambda f: (f / MANIFEST).write_text("[" * 100_000), "not readable as JSON|not an attnscope-trace"),
    ("another format", lambda f: edit(f, lambda d: d.update(format="zip")), "not an attnscope-trace"),
    ("another version", lambda f: edit(f, lambda d: d.update(version=2)), "version 2; this attnscope reads version 1"),
    ("no layers", lambda f: edit(f, lambda d: d.pop("layers")), "damaged: KeyError 'layers'"),
    ("negative heads", lambda f: edit(f, lambda d: d["layers"][0].update(heads=-1)), "-1 is not a whole number"),
    ("huge grid", lambda f: edit(f, lambda d: d["layers"][0].update(grid=[1 << 40, 1])), "is not a whole number"),
    ("wrong type", lambda f: edit(f, lambda d: d.update(steps=3)), "damaged: TypeError"),
    ("step twice", lambda f: edit(f, lambda d: d["steps"].append(d["steps"][0])), "a step stands twice"),
    ("path outside", lambda f: edit(f, lambda d: d.update(pictures=["../../secret.png"])), "not a plain name"),
    ("token without place", lambda f: edit(f, lambda d: d["run"]["tokens"][0][1].update(start_char="x")), "'x' is not"),
    ("token out of order", lambda f: edit(f, lambda d: d["run"]["tokens"][0].reverse()), "token 0 is"),
    ("plan of another type", lambda f: edit(f, lambda d: d["run"].update(planned_steps={})), "planned_steps is {}"),
    ("huge latent", lambda f: edit(f, lambda d: d["run"].update(latent_size_hw=[4096, 4096])), "a latent of 4096x4096"),
    ("row twice", row_twice, "two rows are the same"),
    ("unknown part", unknown_part, "record with parts"),
    ("missing shard", lambda f: shard(f).unlink(), "missing; the trace is incomplete"),
    ("missing picture", lambda f: (f / "picture-00.png").unlink(), "missing or a link"),
    ("empty shard", lambda f: shard(f).write_bytes(b""), "header of 0 bytes in a file of 0"),
    ("truncated shard", lambda f: cut(shard(f), 5000), "damaged or cut short"),
    ("oversized header", big_header, "expected at most"),
    ("link", link_away, "a link"),
    ("wrong shape", other_shape, r"has shape \(2, 3, 24, 4\); the manifest says \(2, 3, 24, 5\)"),
    ("missing tensor", lambda f: rewrite(f, lambda t: t.pop("block01.self.key")), "lacks block01.self.key"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "damage", "message"), CASES, ids=[case[0] for case in CASES])
def test_a_broken_trace_gives_one_clear_error(folder, name, damage, message):
    damage(folder)
    with pytest.raises(TraceFormatError, match=message):
        attnscope.load_trace(folder)


def test_nan_is_found_when_it_is_read(folder):
    rewrite(folder, lambda tensors: tensors["block01.self.query"].view(-1)[3:5].fill_(float("nan")))
    trace = attnscope.load_trace(folder)
    trace.probabilities(block=2, kind="self")
    with pytest.raises(TraceFormatError, match="query of block 1 self holds 2 numbers that are NaN"):
        trace.probabilities(block=1, kind="self", step=0)


def test_no_such_folder(tmp_path):
    with pytest.raises(TraceFormatError, match="no such folder"):
        attnscope.load_trace(tmp_path / "nothing")


def test_a_layer_that_did_not_run_in_a_step_is_said(tmp_path):
    trace = made_trace()
    del trace.records._records[1, trace.layers[0].id]
    loaded = attnscope.load_trace(trace.save(tmp_path / "a.trace"))
    for each in (trace, loaded):
        with pytest.raises(SelectionError, match="step 1 has no record of block 1 self"):
            each.probabilities(block=1, kind="self")
        assert each.probabilities(block=1, kind="self", step=0).shape == (2, 1, 3, 24, 24)


def test_a_step_is_written_into_the_manifest_text_once(tmp_path, monkeypatch):
    """The manifest is written anew after every step: a long run must not take the square of its steps."""
    made, rendered = made_trace(steps=12), []
    facts_json = Manifest._facts_json
    monkeypatch.setattr(
        Manifest, "_facts_json", lambda self, step: rendered.append(step.index) or facts_json(self, step)
    )
    trace = attnscope.load_trace(made.save(tmp_path / "run.trace"))
    assert rendered == list(range(12))
    assert trace.steps == made.steps


def test_files_have_the_permissions_that_the_user_asks_for_and_nobody_elses_change_meanwhile(
    tmp_path, monkeypatch
):
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", None)  # of the whole process: other threads create files, too
        folder = made_trace(steps=1).save(tmp_path / "run.trace")
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o640}
