"""Traces with everything in them, what may be asked of them, and what must come of it when they are broken."""

import contextlib
import json
import struct
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

import attnscope
from attnscope.errors import AttnscopeError
from attnscope.records.reduced import Reduced, ReducedMaps
from attnscope.testing.made_traces import made_trace
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace
from attnscope.viewer.opened import open_traces

MOST_SECONDS, MOST_BYTES = 10, 1_500_000_000
FRESH_BYTES = 400_000_000  # of a process that has loaded torch, diffusers and attnscope


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
    before = _status("VmRSS")
    yield
    # a process of the suite may have grown by then: what counts is what this adds to a fresh one
    assert _status("VmHWM") - before + FRESH_BYTES < MOST_BYTES


def _status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


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
