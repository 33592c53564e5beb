"""Broken and hostile traces: the very numbers that were written, or one error of ours; never a gigabyte, never a wait.

A manifest that is changed and then signed again is another trace, not a damaged one: it must open or be refused.
"""

import contextlib
import json
import os
import shutil
import struct
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import attnscope
from attnscope.errors import AttnscopeError
from attnscope.records.reduced import Reduced, ReducedMaps
from attnscope.storage.digests import json_digest
from attnscope.storage.folder import TraceFolder
from attnscope.storage.manifest import MANIFEST, digest_of_pass
from attnscope.testing.made_traces import made_trace
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace
from attnscope.viewer.opened import open_traces

pytestmark = pytest.mark.attack

VERSION_1 = Path(__file__).parents[1] / "storage" / "version-1" / "run.trace"
MOST_SECONDS, MOST_BYTES = 10, 1_500_000_000
HOSTILE = (
    float("nan"), float("inf"), -float("inf"), 1e39, 1e308, 10**19, 10**400, -1, 0, 1, 2, -(2**63), 0.5, 1 << 20,
    "0.5", "", "x", "a\x00b", "\ud800", "\x1b]0;owned\x07", "[/]", "[bold]x[/bold]", "\u202egpj", "x" * 200_000,
    "../../etc/passwd", "/dev/zero", True, False, None, [], {}, [[]], [1, 2], [16384, 16384], {"a": 1}, [None] * 9,
)  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return everything(0).save(tmp_path_factory.mktemp("good") / "run.trace")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return everything(50).save(tmp_path_factory.mktemp("other") / "run.trace")


@pytest.fixture(scope="module")
def truth(good):
    return answers(good)


def everything(seed):
    """Two passes with all that a trace can hold."""
    passes = []
    for at in range(2):
        made = made_trace(mask=True, images=2, seed=seed + at, dtype=(torch.float32, torch.float16)[at])
        records = made.records._records
        for key, record in records.items():
            records[key] = replace(record, value=record.key.clone())
        layers = tuple(layer for layer in made.layers if layer.kind == "self")
        maps = {of.id: torch.rand(2, of.grid.places, of.keys) for of in layers}
        best = {of.grid: torch.rand(2, 2, of.grid.places, of.keys) for of in layers}
        steps = {key: torch.randint(2, each.shape, dtype=torch.int32) for key, each in best.items()}
        made.reduced = {
            "scene": ReducedMaps(Reduced("self"), maps, {}, layers, (0, 1)),
            "top": ReducedMaps(Reduced("self", how="top", per="grid"), best, steps, layers, (0, 1)),
        }
        made.run.pictures = [Image.effect_noise((48, 32), 50 + at).convert("RGB") for _ in range(2)]
        made.run.seed, made.run.guidance_scale, made.run.model = 7, 7.5, "some/model"
        passes.append(Pass(made.records, made.run, made.reduced))
    return Trace(*passes)


def answers(folder):
    """All that can be asked of a trace, as bytes."""
    told = []
    for trace in attnscope.load_trace(folder).passes:
        told += [
            repr(trace),
            trace._repr_html_(),
            json.dumps(trace.facts(), allow_nan=False),
            repr(trace.steps),
        ]
        for layer in trace.layers:
            told.append(trace.probabilities(layer=layer).numpy().tobytes())
            told += [t.clone() for t in trace.record(block=layer.block, kind=layer.kind).tensors.values()]
        told += [attnscope.heat_map(trace, word.word).array.tobytes() for word in trace.words()[:5]]
        for maps in trace.reduced.values():
            told += [maps.maps[key].clone() for key in maps.maps]
            told += [maps.step_numbers[key].clone() for key in maps.step_numbers]
        told += [picture.tobytes() for picture in trace.run.pictures]
    told += [opened.info.model_dump_json(exclude={"folder", "name"}) for opened in open_traces([folder])]
    return [one.numpy().tobytes() if isinstance(one, torch.Tensor) else one for one in told]


def judge(attack, folder, truth, *, is_signed=False):
    """Right, refused, or (where the change was signed) another trace. Anything else is a failure."""
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", attnscope.trace.step_rows.PartialMeanWarning)
        try:
            told = answers(folder)
        except AttnscopeError as error:
            told = str(error)
    if isinstance(told, str):
        assert len(told) < 2000
        assert told.isprintable()
        attack.count("refused")
    else:
        assert is_signed or told == truth, "other numbers, and nobody said so"
        attack.count("right" if told == truth else "another trace, signed")
    assert time.monotonic() - began < MOST_SECONDS


@contextlib.contextmanager
def bounded_memory():
    if sys.platform != "linux":
        yield
        return
    Path("/proc/self/clear_refs").write_text("5")
    yield
    peak = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    assert int(peak.split()[1]) * 1024 < MOST_BYTES


@pytest.fixture
def copies(tmp_path):
    """Copies of a trace, each gone when the next is made."""

    def copy(source):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        return Path(shutil.copytree(source, tmp_path / "copy"))

    with bounded_memory():
        yield copy


# Bytes


def flip(random, path):
    data = bytearray(path.read_bytes())
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    path.write_bytes(data)


def cut(random, path):
    path.write_bytes(path.read_bytes()[: random.randrange(path.stat().st_size)])


def lengthen(random, path):
    path.write_bytes(path.read_bytes() + random.randbytes(random.randrange(1, 5000)))


def blank(random, path):
    data = bytearray(path.read_bytes())
    begin = random.randrange(len(data))
    end = min(len(data), begin + random.choice((1, 8, 512, 4096)))
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)


def shift(random, path):
    data = path.read_bytes()
    at, size = random.randrange(len(data)), random.choice((1, 8, 512))
    path.write_bytes(data[:at] + data[at + size :] + data[at : at + size])


def header_number(random, path):
    """A shard's header with one digit more, less or other."""
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        (length,) = struct.unpack("<Q", data[:8])
        at = random.randrange(8, 8 + length)
        data = data[:at] + bytes([random.choice(b'0123456789"{}[],:FIB')]) + data[at + 1 :]
    path.write_bytes(data)


BYTES = (flip, flip, flip, cut, lengthen, blank, shift, header_number)


def test_bytes_that_change_are_found_wherever_they_are(attack, copies, good, truth):
    for _ in attack.tries(250):
        folder = copies(good)
        path = attack.random.choice(sorted(folder.iterdir()))
        attack.random.choice(BYTES)(attack.random, path)
        judge(attack, folder, truth)


# Files and tensors in another's place


def tensors_of(path):
    with safe_open(path, framework="pt") as opened:
        return load_file(path), opened.metadata()


def exchange_files(random, folder, other):
    one, two = random.sample(sorted(folder.glob("*.safetensors")), 2)
    ours = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(ours)


def take_from_another(random, folder, other):
    name = random.choice(sorted(path.name for path in folder.iterdir()))
    shutil.copyfile(other / name, folder / name)


def exchange_tensors(random, folder, other):
    path = random.choice(sorted(folder.glob("*.safetensors")))
    tensors, about = tensors_of(path)
    one, two = random.sample(sorted(tensors), 2)
    tensors[one], tensors[two] = tensors[two], tensors[one]
    save_file(tensors, path, metadata=about)


def exchange_calls(random, folder, other):
    """Two shards with each other's tensors, each under its own header."""
    one, two = (random.choice(sorted(folder.glob("*call-*.safetensors"))) for _ in range(2))
    (_, about), (theirs, _) = tensors_of(one), tensors_of(two)
    save_file(theirs, one, metadata=about)


def reinterpret(random, folder, other):
    path = random.choice(sorted(folder.glob("*.safetensors")))
    tensors, about = tensors_of(path)
    name = random.choice(sorted(tensors))
    kinds = (
        torch.int32,
        torch.bfloat16,
        torch.float8_e4m3fn,
        torch.complex64,
        torch.bool,
        torch.float64,
        torch.uint8,
    )
    kind, tensor = random.choice(kinds), tensors[name]
    same_size = tensor.element_size() == kind.itemsize
    tensors[name] = tensor.view(kind) if same_size and random.random() < 0.5 else tensor.to(kind)
    save_file(tensors, path, metadata=random.choice((about, None)))


def reshape(random, folder, other):
    path = random.choice(sorted(folder.glob("*.safetensors")))
    tensors, about = tensors_of(path)
    name = random.choice(sorted(tensors))
    tensors[name] = random.choice(
        (lambda t: t.transpose(0, 1), lambda t: t.flip(-1), lambda t: t[:1], torch.ravel)
    )(tensors[name]).contiguous()
    save_file(tensors, path, metadata=about)


def lose_or_add(random, folder, other):
    path = random.choice(sorted(folder.glob("*.safetensors")))
    tensors, about = tensors_of(path)
    if random.random() < 0.5:
        tensors["more"] = torch.zeros(3)
    else:
        tensors.pop(random.choice(sorted(tensors)))
    save_file(tensors, path, metadata=about)


PLACES = (
    exchange_files,
    take_from_another,
    exchange_tensors,
    exchange_calls,
    reinterpret,
    reshape,
    lose_or_add,
)


def test_files_and_tensors_in_anothers_place_are_found(attack, copies, good, other, truth):
    for _ in attack.tries(120):
        folder = copies(good)
        attack.random.choice(PLACES)(attack.random, folder, other)
        judge(attack, folder, truth)


# Values of the manifest


def places_in(value, at=()):
    """Where every value in a JSON value is."""
    yield at
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places_in(inner, (*at, key))


def inside(value, at):
    for key in at:
        value = value[key]
    return value


def change_value(random, data):
    *at, last = random.choice([place for place in places_in(data) if place])
    holder = inside(data, at)
    how = random.random()
    if how < 0.75:
        holder[last] = random.choice(HOSTILE)
    elif how < 0.85:
        del holder[last]
    elif isinstance(holder, list):
        holder.insert(last, holder[last])
    else:
        holder[random.choice(HOSTILE[15:27])] = holder[last]


def sign(data):
    """As somebody would who wants to be believed."""
    with contextlib.suppress(Exception):
        passes = [digest_of_pass(item, map(json_digest, item["calls"])) for item in data["passes"]]
        data["digest"] = json_digest(passes)


@pytest.mark.parametrize("is_signed", [False, True], ids=["damaged", "signed"])
def test_values_of_the_manifest_are_what_they_should_be(attack, copies, good, truth, is_signed):
    for _ in attack.tries(200):
        folder = copies(good)
        data = json.loads((folder / MANIFEST).read_text())
        for _ in range(attack.random.choice((1, 1, 1, 3))):
            change_value(attack.random, data)
        if is_signed:
            sign(data)
        (folder / MANIFEST).write_text(json.dumps(data))
        judge(attack, folder, truth, is_signed=is_signed)


def test_values_of_a_trace_of_version_1(attack, copies):
    """It has no digests: what is changed may be another trace, and never anything worse."""
    truth = answers(VERSION_1)
    for _ in attack.tries(100):
        folder = copies(VERSION_1)
        if attack.random.random() < 0.5:
            data = json.loads((folder / MANIFEST).read_text())
            change_value(attack.random, data)
            (folder / MANIFEST).write_text(json.dumps(data))
        else:
            path = attack.random.choice(sorted(folder.iterdir()))
            attack.random.choice(BYTES)(attack.random, path)
        judge(attack, folder, truth, is_signed=True)


def bomb(text):
    return lambda folder: (folder / MANIFEST).write_text(text)


def with_text(at, text):
    def change(folder):
        data = json.loads((folder / MANIFEST).read_text())
        *inner, last = at
        inside(data["passes"][0], inner)[last] = text
        sign(data)
        (folder / MANIFEST).write_text(json.dumps(data))

    return change


def long_text(folder):
    """As many words and tokens as may be."""
    data = json.loads((folder / MANIFEST).read_text())
    run = data["passes"][0]["run"]
    run["prompts"] = ["ab " * 10_900] * 2
    token = {"text": "ab", "role": "text"}
    run["tokens"] = [
        [{**token, "index": at, "start_char": 3 * at, "end_char": 3 * at + 2} for at in range(2048)]
    ] * 2
    sign(data)
    (folder / MANIFEST).write_text(json.dumps(data))


BOMBS = {
    "depth": bomb("[" * 5_000_000),
    "depth that ends": bomb('{"a":' * 100_000 + "1" + "}" * 100_000),
    "deep pass": bomb('{"format": "attnscope-trace", "version": 2, "passes": ' + "[" * 900 + "]" * 900 + "}"),
    "lists": bomb("[" + "[]," * 20_000_000 + "1]"),
    "names twice": bomb(
        '{"format": "attnscope-trace", "format": "attnscope-trace", "version": 2, "passes": []}'
    ),
    "digits": bomb('{"format": "attnscope-trace", "version": ' + "9" * 4000 + "}"),
    "more digits": bomb('{"format": "attnscope-trace", "version": ' + "9" * 5_000_000 + "}"),
    "20 MB prompt": with_text(("run", "prompts", 0), "x " * 10_000_000),
    "20 MB token": with_text(("run", "tokens", 0, 0, "text"), "x" * 20_000_000),
    "huge picture": with_text(("run", "image_size_hw"), [16384, 16384]),
    "large picture": with_text(("run", "image_size_hw"), [8192, 8192]),
    "long text": long_text,
    "pictures named often": with_text(("pictures",), ["picture-00.png"] * 50),
    "many pictures": with_text(("pictures",), [f"picture-{at:02d}.png" for at in range(100_000)]),
}


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_never_take_gigabytes_or_minutes(attack, copies, good, truth, name):
    folder = copies(good)
    BOMBS[name](folder)
    judge(attack, folder, truth, is_signed=True)


def test_a_picture_of_many_pixels_is_refused_by_its_header(attack, copies, good, truth):
    """156 million pixels in 152 kB."""
    folder = copies(good)
    Image.new("1", (13_000, 12_000)).save(folder / "picture-00.png")
    for path in folder.glob("*picture-*.png"):
        path.write_bytes((folder / "picture-00.png").read_bytes())
    judge(attack, folder, truth)


# What lies beside, and in place of, the files that the manifest names


def beside(name, make):
    def put(random, folder):
        make(folder / name)

    return put


def instead(make):
    def put(random, folder):
        path = random.choice(sorted(folder.iterdir()))
        kept = folder.parent / "kept"
        shutil.move(path, kept)
        make(path, kept)

    return put


def link_to(path, kept):
    path.symlink_to(kept)


def ring(path, kept=None):
    path.symlink_to(path)


BESIDE = (
    beside("dangling", lambda path: path.symlink_to("nowhere")),
    beside("ring", ring),
    beside("up", lambda path: path.symlink_to("..")),
    beside("pipe", os.mkfifo),
    beside("manifest.json.old", lambda path: path.mkdir()),
    beside("caf\udce9", lambda path: path.write_text("x")),
    beside("call-00099.safetensors", lambda path: path.write_text("x")),
)
INSTEAD = tuple(
    map(
        instead,
        (
            link_to,
            ring,
            lambda path, kept: os.mkfifo(path),
            lambda path, kept: path.mkdir(),
            lambda path, kept: path.symlink_to("/dev/zero"),
            lambda path, kept: path.write_bytes(b""),
            lambda path, kept: None,
        ),
    )
)


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes as POSIX has them")
def test_only_files_that_the_manifest_names_count(attack, copies, good, truth):
    for _ in attack.tries(40):
        folder = copies(good)
        attack.random.choice(BESIDE)(attack.random, folder)
        assert answers(folder) == truth
        attack.count("right")


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes as POSIX has them")
def test_only_plain_files_are_read(attack, copies, good, truth):
    for _ in attack.tries(60):
        folder = copies(good)
        attack.random.choice(INSTEAD)(attack.random, folder)
        judge(attack, folder, truth)
        (folder.parent / "kept").unlink(missing_ok=True)


# Files that change while a trace is open


def test_files_that_change_while_a_trace_is_open_end_no_process(attack, copies, good, truth):
    for _ in attack.tries(80):
        folder = copies(good)
        traces = attnscope.load_trace(folder).passes
        asked = attack.random.choice(traces)
        layer = attack.random.choice(list(asked.layers))
        before = asked.probabilities(layer=layer).clone() if attack.random.random() < 0.5 else None
        path = attack.random.choice(sorted(folder.glob("*.safetensors")))
        attack.random.choice((flip, cut, lengthen, blank, lambda _, path: path.unlink()))(attack.random, path)
        try:
            told = asked.probabilities(layer=layer)
        except AttnscopeError:
            attack.count("refused")
        else:
            assert torch.equal(
                told, attnscope.load_trace(good).passes[traces.index(asked)].probabilities(layer=layer)
            )
            assert before is None or torch.equal(told, before)
            attack.count("right")


def test_verify_finds_what_questions_find(attack, copies, good):
    for _ in attack.tries(60):
        folder = copies(good)
        path = attack.random.choice(sorted(folder.iterdir()))
        before = path.read_bytes()
        attack.random.choice((flip, blank))(attack.random, path)
        if path.read_bytes() == before or (path.name == MANIFEST and json_is_same(path, before)):
            continue
        with pytest.raises(AttnscopeError):
            for records in TraceFolder.open(folder).passes:
                list(records.verified())
        attack.count("refused")


def json_is_same(path, before):
    with contextlib.suppress(ValueError):
        return json.loads(path.read_bytes()) == json.loads(before)
    return False
