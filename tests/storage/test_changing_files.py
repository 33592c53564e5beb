"""Files of an open trace that others change, cut short, replace or put back."""

import os
import sys

import pytest
import torch
from trace_damage import shard, verified

import attnscope
from attnscope.errors import TraceFormatError
from attnscope.testing.made_traces import made_trace


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
