"""A trace on disk: what is saved is what is loaded, and what is broken is said."""

import json
import os
import shutil
import stat
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import attnscope
from attnscope.errors import OutputError, SelectionError, TraceFormatError
from attnscope.records.reduced import Reduced, ReducedMaps
from attnscope.storage import manifest
from attnscope.storage.folder import TraceFolder
from attnscope.storage.manifest import MANIFEST
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


def rewrite(folder, change, path=None):
    path = path or shard(folder)
    with safe_open(path, framework="pt") as opened:
        about = opened.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=about)


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


def no_digest(folder):
    edit_pass(folder, lambda data: data["calls"][0]["records"]["block01.self"].pop("digest"))


def digest_text(folder):
    edit_pass(folder, lambda data: data["calls"][0]["records"]["block01.self"]["digest"].update(key="x"))


CASES = [
    ("no manifest", lambda f: (f / MANIFEST).unlink(), "has no manifest.json"),
    ("not json", lambda f: (f / MANIFEST).write_text("{"), "not readable as JSON"),
    ("json bomb", lambda f: (f / MANIFEST).write_text("[" * 100_000), "not readable as JSON|not an attnscope-trace"),
    ("another format", lambda f: edit(f, lambda d: d.update(format="zip")), "not an attnscope-trace"),
    ("another version", lambda f: edit(f, lambda d: d.update(version=3)), "version 3; this attnscope reads versions 1"),
    ("no passes", lambda f: edit(f, lambda d: d.update(passes=[])), "0 passes; expected 1 to"),
    ("digest of another type", digest_text, "'x' is not a whole number"),
    ("no digest", no_digest, "there is no 'digest'"),
    ("no layers", lambda f: edit_pass(f, lambda d: d.pop("layers")), "damaged: there is no 'layers'"),
    ("negative heads", lambda f: edit_pass(f, lambda d: d["layers"][0].update(heads=-1)), "-1 is not a whole number"),
    ("huge grid", lambda f: edit_pass(f, lambda d: d["layers"][0].update(grid=[1 << 40, 1])), "is not a whole number"),
    ("wrong type", lambda f: edit_pass(f, lambda d: d.update(calls=3)), "3 is not a list"),
    ("call twice", lambda f: edit_pass(f, lambda d: d["calls"].append(d["calls"][0])), "a call or a layer stands"),
    ("path outside", lambda f: edit_pass(f, lambda d: d.update(pictures=["../../secret.png"])), "not a plain name"),
    ("token without place", lambda f: edit_run(f, lambda r: r["tokens"][0][1].update(start_char="x")), "'x' is not"),
    ("token out of order", lambda f: edit_run(f, lambda r: r["tokens"][0].reverse()), "token 0 is"),
    ("plan of another type", lambda f: edit_run(f, lambda r: r.update(planned_steps={})), "{} is not a whole number"),
    ("huge latent", lambda f: edit_run(f, lambda r: r.update(latent_size_hw=[4096, 4096])), "a latent of 4096x4096"),
    ("row twice", row_twice, "two rows are the same"),
    ("unknown part", unknown_part, "record with parts"),
    ("missing shard", lambda f: shard(f).unlink(), "missing; the trace is incomplete"),
    ("missing picture", lambda f: (f / "picture-00.png").unlink(), "names this picture, but it is missing"),
    ("empty shard", lambda f: shard(f).write_bytes(b""), "header of 0 bytes in a file of 0"),
    ("truncated shard", lambda f: cut(shard(f), 5000), "damaged: "),
    ("oversized header", big_header, "expected at most"),
    ("link", link_away, "a link"),
    ("wrong shape", other_shape, r"has shape \(2, 3, 24, 4\); the manifest says \(2, 3, 24, 5\)"),
    ("integers", whole_numbers, "block01.self.key is of type I32"),
    ("cut picture", lambda f: cut(f / "picture-00.png", 60), "picture-00.png: damaged: it has no end"),
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

    def flip(tensors):
        tensors["block01.self.value"].view(-1).view(torch.uint8)[9] ^= 64

    rewrite(folder, flip, path)
    with pytest.raises(TraceFormatError, match=r"block01\.self\.value is damaged"):
        attnscope.load_trace(folder).reduced["scene"].map(block=1)
    with pytest.raises(TraceFormatError, match=r"block01\.self\.value is damaged"):
        list(verified(folder))


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


# Digests, headers, values


def shard_names(folder):
    return sorted(path.name for path in folder.glob("call-*.safetensors"))


def exchanged(one, two):
    def exchange(tensors):
        tensors[one], tensors[two] = tensors[two], tensors[one]

    return exchange


def from_another(folder):
    other = made_trace(mask=True, seed=9).save(folder.parent / "other")
    shutil.copyfile(shard(other), shard(folder))


def exchange_shards(folder):
    first, second = (folder / name for name in shard_names(folder))
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)


def as_type(dtype):
    return lambda tensors: tensors.update({"block01.self.query": tensors["block01.self.query"].view(dtype)})


def of_header(change):
    def edit_header(folder):
        with safe_open(shard(folder), framework="pt") as opened:
            about = json.loads(opened.metadata()["attnscope"])
        change(about)
        save_file(load_file(shard(folder)), shard(folder), metadata={"attnscope": json.dumps(about)})

    return edit_header


IN_ANOTHERS_PLACE = [
    ("shards exchanged", exchange_shards, r"holds call 1 \(step 1, timestep 899\) of pass 0, where the manifest names"),
    ("shard of another trace", from_another, "is damaged: its bytes are not those that were written"),
    ("Q and K exchanged", lambda f: rewrite(f, exchanged("block01.self.query", "block01.self.key")), "query of"),
    ("float32 read as two halves", lambda f: rewrite(f, as_type(torch.float16)), "has shape"),
    ("other step", of_header(lambda about: about["call"].update(step=5)), "holds call 0 .step 5"),
    ("other scale", of_header(lambda about: about["records"]["block01.self"].update(scale=2.0)), "'block01.self' has"),
    ("other path", of_header(lambda about: about["records"]["block01.self"]["layer"].update(path="x")), "has another"),
    ("other pass", of_header(lambda about: about.update({"pass": 1})), "of pass 1, where"),
    ("nothing said", of_header(lambda about: about.clear()), "what it says of itself is no header"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "damage", "message"), IN_ANOTHERS_PLACE, ids=[case[0] for case in IN_ANOTHERS_PLACE]
)
def test_what_is_in_anothers_place_is_found(folder, name, damage, message):
    damage(folder)
    with pytest.raises(TraceFormatError, match=message):
        attnscope.load_trace(folder).probabilities(block=1, kind="self")


@pytest.mark.parametrize("dtype", [torch.int32, torch.float8_e4m3fn, torch.complex64, torch.bool])
def test_queries_of_other_types_are_refused(folder, dtype):
    rewrite(folder, lambda tensors: tensors.update({"block01.self.query": torch.ones(2, 3, 24, 5).to(dtype)}))
    with pytest.raises(TraceFormatError, match="query is of type .*; expected one of F16, BF16, F32, F64"):
        attnscope.load_trace(folder)


def test_halves_read_as_the_other_halves_are_found(tmp_path):
    folder = made_trace(dtype=torch.float16).save(tmp_path / "run.trace")
    rewrite(folder, as_type(torch.bfloat16))
    with pytest.raises(TraceFormatError, match="query of block 1 self is damaged"):
        attnscope.load_trace(folder).probabilities(block=1, kind="self")


BAD_NUMBERS = [float("nan"), float("inf"), 1e39, 10**400, "0.5", True, None, [], {}, -(2**70)]


@pytest.mark.parametrize("value", BAD_NUMBERS, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize(
    "name", ["scale", "timestep", "index", "heads", "start_char", "frames", "guidance_scale"]
)
def test_numbers_of_the_manifest_have_types_and_limits(folder, name, value):
    places = {
        "scale": lambda data: data["calls"][0]["records"]["block01.self"],
        "timestep": lambda data: data["calls"][0],
        "index": lambda data: data["calls"][0],
        "heads": lambda data: data["layers"][0],
        "start_char": lambda data: data["run"]["tokens"][0][1],
        "frames": lambda data: data["run"],
        "guidance_scale": lambda data: data["run"],
    }
    edit_pass(folder, lambda data: places[name](data).update({name: value}))
    if value is None and name == "guidance_scale":  # unknown, as it was before
        assert attnscope.load_trace(folder).run.guidance_scale is None
        return
    with pytest.raises(
        TraceFormatError, match="not a (whole )?number|is no number of JSON|manifest names call"
    ):
        attnscope.load_trace(folder)


def test_a_manifest_that_was_changed_is_said_and_can_be_read_as_it_is(folder):
    edit_run(folder, lambda run: run.update(prompts=["red dog"]))
    with pytest.raises(TraceFormatError, match="changed since it was written.* verify=False"):
        attnscope.load_trace(folder)
    assert attnscope.load_trace(folder, verify=False).prompt() == "red dog"


def test_a_manifest_may_be_written_anew_by_a_program(folder):
    edit(folder, lambda data: None)
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4, sort_keys=True, ensure_ascii=True))
    assert attnscope.load_trace(folder).prompt() == "red cat"


def test_texts_are_cleaned_of_what_nobody_should_get(tmp_path):
    made = made_trace()
    made.run.prompts = ["red\x00cat \x1b]0;x\x07\ud800 a\tb\nc"]
    made.run.model = "m" * 100_000
    made.run.guidance_scale = float("inf")
    loaded = attnscope.load_trace(made.save(tmp_path / "run.trace"))
    assert loaded.prompt() == "red\ufffdcat \ufffd]0;x\ufffd\ufffd a\tb\nc"
    assert len(loaded.run.model) == 32768
    assert loaded.run.guidance_scale is None


def test_names_that_stand_twice_are_refused(folder):
    path = folder / MANIFEST
    path.write_text(path.read_text().replace('"seed": null', '"seed": null, "seed": null'))
    with pytest.raises(TraceFormatError, match="a name stands twice in one object"):
        attnscope.load_trace(folder)


def test_traces_with_the_checksums_of_before_are_read_and_checked(folder):
    def older(data):
        for call in data["passes"][0]["calls"]:
            tensors = load_file(folder / f"call-{call['index']:05d}.safetensors")
            for name, facts in call["records"].items():
                parts = facts.pop("digest")
                sums = {part: zlib.crc32(tensors[f"{name}.{part}"].numpy().tobytes()) for part in parts}
                facts["crc32"] = sums
        del data["digest"], data["passes"][0]["picture_digests"]

    edit(folder, older)
    list(verified(folder))
    rewrite(
        folder, lambda tensors: tensors["block01.self.query"].view(-1).view(torch.uint8)[5].bitwise_xor_(1)
    )
    with pytest.raises(TraceFormatError, match="query of block 1 self is damaged"):
        attnscope.load_trace(folder).probabilities(block=1, kind="self")


# Files that others change


def test_pictures_are_decoded_when_asked_for_and_checked(folder):
    path = folder / "picture-00.png"
    data = bytearray(path.read_bytes())
    data[45] ^= 4
    path.write_bytes(data)
    trace = attnscope.load_trace(folder)
    trace.probabilities(block=1, kind="self")
    with pytest.raises(TraceFormatError, match="picture-00.png: damaged: its bytes are not those"):
        _ = trace.picture
    with pytest.raises(TraceFormatError, match="picture-00.png: damaged"):
        list(verified(folder))


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes as POSIX has them")
def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(folder):
    shard(folder).unlink()
    os.mkfifo(shard(folder))
    with pytest.raises(TraceFormatError, match="a pipe or a device"):
        attnscope.load_trace(folder)


def test_a_file_cut_short_while_the_trace_is_open_is_an_error_and_no_end_of_the_process(tmp_path):
    folder = made_trace(grids=((32, 32),), steps=1, heads=8, dim=40).save(tmp_path / "run.trace")
    trace = attnscope.load_trace(folder)
    before = trace.probabilities(block=1, kind="self", query=0)
    with shard(folder).open("r+b") as file:
        file.truncate(5000)
    assert torch.equal(trace.probabilities(block=1, kind="self", query=0), before)  # it was kept
    with pytest.raises(TraceFormatError, match="damaged: 5000 bytes, where tensors end at"):
        trace.probabilities(block=1, kind="cross")


def test_a_file_that_was_damaged_after_its_first_reading_is_found_at_the_next(folder, monkeypatch):
    monkeypatch.setattr("attnscope.storage.folder.KEPT_BYTES", 0)
    trace = attnscope.load_trace(folder)
    layer = trace.layers[0]
    trace.probabilities(layer=layer)
    trace.probabilities(layer=trace.layers[1])
    data = bytearray(shard(folder).read_bytes())
    for at in range(len(data) - len(data) // 2, len(data)):
        data[at] ^= 16
    shard(folder).write_bytes(data)
    with pytest.raises(TraceFormatError, match="is damaged: its bytes are not those"):
        for each in trace.layers:
            trace.probabilities(layer=each)


def test_a_file_that_was_put_back_is_read_on(folder):
    trace = attnscope.load_trace(folder)
    kept = shard(folder).read_bytes()
    shard(folder).unlink()
    with pytest.raises(TraceFormatError, match="missing; the trace is incomplete"):
        trace.probabilities(block=1, kind="self")
    shard(folder).write_bytes(kept)
    assert torch.equal(
        trace.probabilities(block=1, kind="self"), made_trace(mask=True).probabilities(block=1, kind="self")
    )
