"""The whole computation of one place: the numbers of trace.probabilities, in every kind of attention and trace."""

from __future__ import annotations

import pytest
import torch

from attnscope.errors import ParameterError, SelectionError
from attnscope.places import computation, key_sections
from attnscope.records import Grid
from attnscope.records.layers import Layer
from attnscope.records.parts import KeyPart
from attnscope.testing.made_traces import made_trace
from changed_records import with_even_rows, with_value

WHERE = {"step": 1, "head": 2, "branch": "cond", "image": 1}


@pytest.fixture
def trace():
    return made_trace(images=2, mask=True)


@pytest.mark.parametrize("kind", ["self", "cross"])
@pytest.mark.parametrize("query", [(2, 3), 15])
def test_the_row_is_that_of_probabilities(trace, kind, query):
    one = computation(trace, block=1, kind=kind, query=query, **WHERE)
    expected = trace.probabilities(block=1, kind=kind, query=query, **WHERE)
    torch.testing.assert_close(one.row.probability.float(), expected, rtol=1e-5, atol=1e-7)
    assert one.query == 15
    assert one.is_masked
    assert not one.is_edited


def test_q_k_and_scale_are_the_records(trace):
    one = computation(trace, block=2, kind="self", query=(1, 2), **WHERE)
    record = trace.record(block=2, kind="self", step=1)
    row = trace.rows.index(next(r for r in trace.rows if (r.branch, r.image) == ("cond", 1)))
    assert torch.equal(one.row.query, record.query[row, 2, 5].double())
    assert torch.equal(one.row.key, record.key[row, 2].double())
    assert one.row.scale == record.scale
    assert one.row.value is None


def test_v_says_what_the_place_gets(trace):
    known = with_value(trace)
    one = computation(known, block=1, kind="cross", query=0, **WHERE)
    value = known.record(block=1, kind="cross", step=1).value[3, 2]  # uncond twice, cond, then this one
    torch.testing.assert_close(one.row.output, one.row.probability @ value.double())


def test_an_edited_row_is_told_and_used():
    trace = with_even_rows(made_trace(), 0.25)
    where = {"block": 1, "kind": "cross", "step": 0, "head": 0, "query": 0, "branch": "cond", "image": 0}
    one = computation(trace, **where)
    assert one.is_edited
    assert one.row.used.tolist() == [0.25] * 5
    before = trace.probabilities(**where, before_edits=True)
    torch.testing.assert_close(one.row.probability.float(), before, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("axis", ["step", "head", "query", "image"])
@pytest.mark.parametrize("choice", [None, [0, 1]])
def test_means_are_no_computation(trace, axis, choice):
    asked = {"step": 0, "head": 0, "query": 0, "image": 0, axis: choice}
    with pytest.raises(ParameterError, match=f"a computation is that of one {axis}"):
        computation(trace, block=1, kind="self", **asked)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"block": 9}, "block 9 self: this trace has self blocks 1 to 2"),
        ({"head": 3}, "head 3"),
        ({"step": 7}, "step 7"),
        ({"query": (9, 0)}, "query"),
        ({"branch": "best"}, "branch 'best'"),
    ],
)
def test_what_the_trace_lacks_is_refused(trace, changed, message):
    asked = {"block": 1, "kind": "self", "query": 0, **WHERE, **changed}
    with pytest.raises(SelectionError, match=message):
        computation(trace, **asked)


def layer(kind, keys, *parts, frames=1):
    return Layer(1, kind, "attn", "double", Grid(2, 3), 2, 4, keys, parts=parts, frames=frames)


def sections(of):
    return [(one.name, one.first, one.keys, one.grid, one.frame) for one in key_sections(of)]


def test_sections_of_usual_layers():
    assert sections(layer("self", 6)) == [("own", 0, 6, (2, 3), None)]
    assert sections(layer("cross", 77)) == [("context", 0, 77, None, None)]


def test_sections_of_joint_layers_in_the_model_s_order():
    flux = layer("joint", 11, KeyPart("context", 5), KeyPart("own", 6))
    assert sections(flux) == [("context", 0, 5, None, None), ("own", 5, 6, (2, 3), None)]
    sd3 = layer("joint", 13, KeyPart("own", 6), KeyPart("context/clip", 3), KeyPart("context/t5", 4))
    assert sections(sd3) == [("own", 0, 6, (2, 3), None), ("context", 6, 7, None, None)]


def test_frames_of_a_video_are_sections_of_their_own():
    video = layer("self", 12, frames=2)
    assert sections(video) == [("own", 0, 6, (2, 3), 0), ("own", 6, 6, (2, 3), 1)]
