"""What lies beside the files of a trace or in their place, and files that change while it is open."""

import contextlib
import json
import os
import shutil
import sys

import pytest
import torch
from hostile_traces import answers, blank, cut, flip, judge, lengthen

import attnscope
from attnscope.errors import AttnscopeError
from attnscope.storage.folder import TraceFolder
from attnscope.storage.manifest import MANIFEST

pytestmark = pytest.mark.attack


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


@pytest.mark.thorough
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


@pytest.mark.thorough
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
