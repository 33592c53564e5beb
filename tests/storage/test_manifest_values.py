"""Digests, headers and values of a trace: whatever stands in another's place or has another type is found."""

import json
import shutil
import zlib

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from trace_damage import edit, edit_pass, edit_run, rewrite, shard, verified

import attnscope
from attnscope.errors import TraceFormatError
from attnscope.storage.manifest import MANIFEST
from attnscope.testing.made_traces import made_trace


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
        TraceFormatError, match="not a (whole )?number|is not a number in JSON|manifest names call"
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
    with pytest.raises(TraceFormatError, match="a name appears twice in one object"):
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
