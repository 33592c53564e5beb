"""What is broken, hostile or damaged in a trace's folder is one error that says what."""

import json
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from trace_damage import edit, edit_pass, edit_run, rewrite, shard, verified

import attnscope
from attnscope.errors import SelectionError, TraceFormatError
from attnscope.records.reduced import Reduced, ReducedMaps
from attnscope.storage import manifest
from attnscope.storage.manifest import MANIFEST
from attnscope.storage.shards import MAX_HEADER_BYTES
from attnscope.testing.made_traces import made_trace
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace


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
    ("call twice", lambda f: edit_pass(f, lambda d: d["calls"].append(d["calls"][0])), "a call or a layer appears"),
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
