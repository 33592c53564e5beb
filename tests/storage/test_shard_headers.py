"""What a shard says of itself: a letter that changed is found, what other versions say more or less is not."""

import json
import re
import struct

import pytest

from attnscope.errors import TraceFormatError
from attnscope.storage.folder import TraceFolder
from attnscope.testing import made_trace


@pytest.fixture
def shard(tmp_path):
    folder = made_trace(grids=((4, 4),), steps=1).save(tmp_path / "run.trace")
    (path,) = folder.glob("*.safetensors")
    return path


def verify(path):
    for records in TraceFolder.open(path.parent).passes:
        list(records.verified())


def parts_of(path):
    """What a shard says of itself, all of its header, and its tensors."""
    contents = path.read_bytes()
    (length,) = struct.unpack_from("<Q", contents)
    header = json.loads(contents[8 : 8 + length])
    return json.loads(header["__metadata__"]["attnscope"]), header, contents[8 + length :]


def write(path, about, header, tensors):
    header["__metadata__"]["attnscope"] = json.dumps(about)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + tensors)


def test_a_letter_of_any_name_that_changed_is_found(shard):
    whole = shard.read_bytes()
    (length,) = struct.unpack_from("<Q", whole)
    names = list(re.finditer(rb'"(\w+)\\?":', whole[8 : 8 + length]))
    assert {b"format", b"parts", b"extra", b"shape"} <= {name[1] for name in names}
    for name in names:
        changed = bytearray(whole)
        changed[8 + name.start(1)] ^= 1
        shard.write_bytes(changed)
        with pytest.raises(TraceFormatError):
            verify(shard)
    shard.write_bytes(whole)
    verify(shard)


def test_another_format_is_no_shard(shard):
    about, *rest = parts_of(shard)
    write(shard, {**about, "format": "attnscope-trbce"}, *rest)
    with pytest.raises(
        TraceFormatError, match="what it says of itself is no header: it holds 'attnscope-trbce'"
    ):
        verify(shard)


def layers_of(about):
    return [record["layer"] for record in about["records"].values()]


def test_what_a_newer_attnscope_says_more_is_let_pass(shard):
    about, *rest = parts_of(shard)
    about["machine"] = "a newer one"
    about["call"]["cost"] = 3
    for layer in layers_of(about):
        layer["colour"] = "red"
    write(shard, about, *rest)
    verify(shard)


def test_what_an_older_attnscope_did_not_say_is_let_pass(shard):
    about, *rest = parts_of(shard)
    for layer in layers_of(about):
        for name in ("parts", "query_parts", "frames", "view"):
            del layer[name]
    write(shard, about, *rest)
    verify(shard)
