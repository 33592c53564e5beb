"""A trace on disk: what is saved is what is loaded, and what is broken is said."""

import json
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import attnscope
from attnscope.errors import OutputError, SelectionError, TraceFormatError
from attnscope.records.reduced import Reduced, ReducedMaps
from attnscope.storage import manifest
from attnscope.storage.folder import TraceFolder
from attnscope.storage.manifest import MANIFEST, PassManifest
from attnscope.storage.shards import MAX_HEADER_BYTES
from attnscope.testing.made_traces import made_trace
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace


@pytest.fixture
def folder(tmp_path):
    trace = made_trace(mask=True)
    trace.run.pictures = [Image.new("RGB", (48, 32), (9, 8, 7))]
    return trace.save(tmp_path / "run.trace")


def verified(folder):
    for records in TraceFolder.open(folder).passes:
        yield from records.verified()


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


# Hostile and broken folders


def shard(folder):
    return folder / "call-00000.safetensors"


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
    edit_pass(folder, lambda data: data["calls"][0].update(rows=data["calls"][0]["rows"][:1] * 2))


def unknown_part(folder):
    edit_pass(folder, lambda data: data["calls"][0]["records"]["block01.self"].update(parts=["x"]))


def edit_run(folder, change):
    edit_pass(folder, lambda data: change(data["run"]))


def edit_pass(folder, change):
    edit(folder, lambda data: change(data["passes"][0]))


def whole_numbers(folder):
    rewrite(folder, lambda tensors: tensors.update({"block01.self.key": tensors["block01.self.key"].int()}))


def other_shape(folder):
    rewrite(folder, lambda tensors: tensors.update({"block01.self.query": torch.zeros(2, 3, 24, 4)}))


def no_checksum(folder):
    edit_pass(folder, lambda data: data["calls"][0]["records"]["block01.self"].pop("crc32"))


def checksum_text(folder):
    edit_pass(folder, lambda data: data["calls"][0]["records"]["block01.self"]["crc32"].update(key="x"))


CASES = [
    ("no manifest", lambda f: (f / MANIFEST).unlink(), "has no manifest.json"),
    ("not json", lambda f: (f / MANIFEST).write_text("{"), "not readable as JSON"),
    ("json bomb", lambda f: (f / MANIFEST).write_text("[" * 100_000), "not readable as JSON|not an attnscope-trace"),
    ("another format", lambda f: edit(f, lambda d: d.update(format="zip")), "not an attnscope-trace"),
    ("another version", lambda f: edit(f, lambda d: d.update(version=3)), "version 3; this attnscope reads versions 1"),
    ("no passes", lambda f: edit(f, lambda d: d.update(passes=[])), "0 passes; expected 1 to"),
    ("checksum of another type", checksum_text, "'x' is not a whole number"),
    ("no checksum", no_checksum, "KeyError 'crc32'"),
    ("no layers", lambda f: edit_pass(f, lambda d: d.pop("layers")), "damaged: KeyError 'layers'"),
    ("negative heads", lambda f: edit_pass(f, lambda d: d["layers"][0].update(heads=-1)), "-1 is not a whole number"),
    ("huge grid", lambda f: edit_pass(f, lambda d: d["layers"][0].update(grid=[1 << 40, 1])), "is not a whole number"),
    ("wrong type", lambda f: edit_pass(f, lambda d: d.update(calls=3)), "damaged: TypeError"),
    ("call twice", lambda f: edit_pass(f, lambda d: d["calls"].append(d["calls"][0])), "a call stands twice"),
    ("path outside", lambda f: edit_pass(f, lambda d: d.update(pictures=["../../secret.png"])), "not a plain name"),
    ("token without place", lambda f: edit_run(f, lambda r: r["tokens"][0][1].update(start_char="x")), "'x' is not"),
    ("token out of order", lambda f: edit_run(f, lambda r: r["tokens"][0].reverse()), "token 0 is"),
    ("plan of another type", lambda f: edit_run(f, lambda r: r.update(planned_steps={})), "planned_steps is {}"),
    ("huge latent", lambda f: edit_run(f, lambda r: r.update(latent_size_hw=[4096, 4096])), "a latent of 4096x4096"),
    ("row twice", row_twice, "two rows are the same"),
    ("unknown part", unknown_part, "record with parts"),
    ("missing shard", lambda f: shard(f).unlink(), "missing; the trace is incomplete"),
    ("missing picture", lambda f: (f / "picture-00.png").unlink(), "missing or a link"),
    ("empty shard", lambda f: shard(f).write_bytes(b""), "header of 0 bytes in a file of 0"),
    ("truncated shard", lambda f: cut(shard(f), 5000), "damaged or cut short"),
    ("oversized header", big_header, "expected at most"),
    ("link", link_away, "a link"),
    ("wrong shape", other_shape, r"has shape \(2, 3, 24, 4\); the manifest says \(2, 3, 24, 5\)"),
    ("integers", whole_numbers, "block01.self.key is of type I32"),
    ("cut picture", lambda f: cut(f / "picture-00.png", 60), "damaged: .*picture-00"),
    ("missing tensor", lambda f: rewrite(f, lambda t: t.pop("block01.self.key")), "lacks block01.self.key"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "damage", "message"), CASES, ids=[case[0] for case in CASES])
def test_a_broken_trace_gives_one_clear_error(folder, name, damage, message):
    damage(folder)
    with pytest.raises(TraceFormatError, match=message):
        attnscope.load_trace(folder)


def test_nan_is_found_when_it_is_read(folder):
    rewrite(folder, lambda tensors: tensors["block01.self.query"].view(-1)[3:5].fill_(float("nan")))
    trace = attnscope.load_trace(folder, verify=False)
    trace.probabilities(block=2, kind="self")
    with pytest.raises(TraceFormatError, match="query of block 1 self holds 2 numbers that are NaN"):
        trace.probabilities(block=1, kind="self", step=0)


@pytest.mark.parametrize("part", ["query", "key", "value", "mask"])
def test_a_single_flipped_bit_is_found_when_it_is_read(tmp_path, part):
    made = made_trace(mask=True)
    layer = made.layers[1, "cross"].id
    record = made.records.get(0, layer)
    made.records._records[0, layer] = replace(record, value=record.key.clone())
    folder = made.save(tmp_path / "run.trace")

    def flip(tensors):
        tensors[f"block01.cross.{part}"].view(-1).view(torch.uint8)[5] ^= 1

    rewrite(folder, flip)
    trace = attnscope.load_trace(folder)
    with pytest.raises(
        TraceFormatError, match=f"{part} of block 1 cross is damaged: its bytes are not those"
    ):
        trace.probabilities(block=1, kind="cross")
    with pytest.raises(TraceFormatError, match=f"{part} of block 1 cross is damaged"):
        list(verified(folder))
    assert attnscope.load_trace(folder, verify=False).probabilities(block=1, kind="cross").shape[0] == 2


def test_a_flipped_bit_in_reduced_maps_is_found(tmp_path):
    made = made_trace()
    maps = made.probabilities(block=1, kind="self", branch="cond", mean=("step", "head"))
    layer = made.layers[1, "self"]
    made.reduced = {"scene": ReducedMaps(Reduced("self"), {layer.id: maps}, {}, (layer,), (0, 1))}
    folder = made.save(tmp_path / "run.trace")
    path = folder / "reduced-scene.safetensors"
    tensors = load_file(path)
    tensors["block01.self.value"].view(-1).view(torch.uint8)[9] ^= 64
    save_file(tensors, path)
    with pytest.raises(TraceFormatError, match=r"block01\.self\.value is damaged"):
        attnscope.load_trace(folder)


def test_a_trace_without_damage_is_verified_to_its_end(folder):
    assert list(verified(folder)) == [(1, 3), (2, 3), (3, 3)]


def test_a_trace_of_version_1_reads_as_it_did():
    """The folder and its numbers were written by the last attnscope with version 1."""
    stored = Path(__file__).parent / "version-1"
    expected = json.loads((stored / "expected.json").read_text())
    trace = attnscope.load_trace(stored / "run.trace")
    for name, numbers in expected["probabilities"].items():
        block, kind = name.split()
        asked = trace.probabilities(block=int(block), kind=kind, branch="cond", image=0, step=1, mean="head")
        assert asked.flatten()[:12].tolist() == pytest.approx(numbers, abs=1e-7)
    for grid, numbers in expected["reduced"].items():
        maps = trace.reduced["scene"].map(grid=tuple(map(int, grid.split("x"))))
        assert maps.flatten()[:6].tolist() == pytest.approx(numbers, abs=1e-7)
    heat = attnscope.heat_map(trace, "cat").array.flatten()[:8]
    assert heat.tolist() == pytest.approx(expected["heat"], abs=1e-7)
    assert [[word.word, list(word.tokens)] for word in trace.words()] == expected["words"]
    assert (trace.run.seed, trace.run.planned_steps, trace.picture.size) == (7, 4, (48, 32))
    assert trace.record(block=1, kind="cross").value is not None
    assert list(verified(stored / "run.trace"))[-1] == (3, 3)


def test_a_trace_of_several_passes_is_saved_whole(tmp_path):
    first, second = made_trace(seed=1), made_trace(grids=((6, 6),), steps=3, seed=2)
    first.run.pictures = [Image.new("RGB", (8, 8), (1, 2, 3))]
    second.run.pictures = [Image.new("RGB", (8, 8), (4, 5, 6))]
    both = Trace(*(Pass(one.records, one.run) for one in (first, second)))
    loaded = attnscope.load_trace(both.save(tmp_path / "run.trace"))
    assert len(loaded.passes) == 2
    for made, read in zip((first, second), loaded.passes, strict=True):
        assert read.steps == made.steps
        assert read.layers == made.layers
        assert read.picture.getpixel((0, 0)) == made.picture.getpixel((0, 0))
        for layer in made.layers:
            read_record, made_record = (
                t.record(block=layer.block, kind=layer.kind, step=0) for t in (read, made)
            )
            assert torch.equal(read_record.query, made_record.query)
            # sums run in another order where a file's tensors lie at other addresses
            torch.testing.assert_close(
                read.probabilities(layer=layer), made.probabilities(layer=layer), rtol=0, atol=1e-6
            )
    with pytest.raises(
        SelectionError, match=r"this trace has 2 passes: say which one is meant. trace.passes\[0\] is"
    ):
        loaded.probabilities(block=1, kind="self")


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
    rendering = manifest.call_json
    monkeypatch.setattr(manifest, "call_json", lambda call: rendered.append(call.index) or rendering(call))
    monkeypatch.setattr(PassManifest, "shard_header", lambda self, call, records: {})
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
