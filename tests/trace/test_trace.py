import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnscope.errors import ParameterError, SelectionError, WordError
from attnscope.testing.made_traces import made_trace
from attnscope.trace.asking import MEAN_AXES

AXES = ("step", "branch", "image", "head", "query", "key")


def materialised(trace, block, kind):
    """(step, branch, image, head, query, key) in float64, from the records alone."""
    layer = trace.layer(block, kind)
    steps = []
    for step in trace.steps:
        record = trace.records.get(step.index, layer.id)
        scores = record.query.double() @ record.key.double().mT * record.scale
        if record.mask is not None:
            scores = scores + record.mask.double()
        steps.append(scores.softmax(-1).unflatten(0, (len(trace.branches), trace.images)))
    return torch.stack(steps)


def agree(found, expected, tolerance=2e-6):
    assert found.shape == expected.shape
    assert (found.double() - expected).abs().max() < tolerance


@pytest.mark.parametrize("kind", ["self", "cross"])
@pytest.mark.parametrize("mask", [False, True])
def test_without_a_choice_all_axes_are_there(kind, mask):
    trace = made_trace(images=2, mask=mask)
    agree(trace.probabilities(block=1, kind=kind), materialised(trace, 1, kind))


def test_the_leading_axis_is_branch_image_head_as_in_the_model():
    trace = made_trace(images=2, steps=1)
    found = trace.probabilities(block=1, kind="cross")
    record = trace.record(block=1, kind="cross")
    expected = (record.query.flatten(0, 1) @ record.key.flatten(0, 1).mT * record.scale).softmax(-1)
    agree(found.reshape(-1, *found.shape[-2:]), expected.double())


single = st.one_of(st.none(), st.integers(0, 1))


@given(
    step=single,
    branch=st.sampled_from([None, "cond", ["cond", "uncond"]]),
    image=single,
    head=single,
    query=st.sampled_from([None, (1, 2), 5, [(0, 1), (3, 5)], slice(2, 7)]),
    token=st.sampled_from([None, 2, [1, 3], [4, 3, 2, 1, 0], [0] * 5]),
    mean=st.sets(st.sampled_from(MEAN_AXES)),
)
@settings(max_examples=120, deadline=None)
def test_every_choice_is_the_same_part_of_the_whole(step, branch, image, head, query, token, mean):
    trace = TRACE
    found = trace.probabilities(
        block=1,
        kind="cross",
        step=step,
        branch=branch,
        image=image,
        head=head,
        query=query,
        token=token,
        mean=mean,
    )
    places = {(1, 2): 8, (0, 1): 1, (3, 5): 23}
    flat = (
        [places.get(place, place) for place in query]
        if isinstance(query, list)
        else places.get(query, query)
        if not isinstance(query, slice)
        else query
    )
    names = {"cond": 1, "uncond": 0}
    branches = [names[name] for name in branch] if isinstance(branch, list) else names.get(branch)
    expected = WHOLE
    for axis, pick in reversed(list(zip(AXES, (step, branches, image, head, flat, token), strict=True))):
        at = AXES.index(axis)
        if axis in mean:  # a mean of one is that one
            kept = expected.movedim(at, 0)[
                slice(None) if pick is None else [pick] if isinstance(pick, int) else pick
            ]
            expected = kept.mean(0)
        elif pick is not None:
            expected = expected.movedim(at, 0)[pick]
            expected = expected if isinstance(pick, int) else expected.movedim(0, at)
    agree(found, expected)


TRACE = made_trace(images=2)
WHOLE = materialised(TRACE, 1, "cross")


def test_a_region_of_the_grid_is_a_choice_of_queries():
    trace = made_trace()
    region = np.zeros((4, 6), dtype=bool)
    region[1:3, 2:4] = True
    found = trace.probabilities(
        block=1, kind="self", query=region, mean=("query", "head"), step=0, branch="cond", image=0
    )
    expected = materialised(trace, 1, "self")[0, 1, 0][:, [8, 9, 14, 15]].mean((0, 1))
    agree(found, expected)
    with pytest.raises(SelectionError, match=r"region has shape \(2, 2\); this layer's grid is 4x6"):
        trace.probabilities(block=1, kind="self", query=np.ones((2, 2), dtype=bool))
    with pytest.raises(SelectionError, match="region is empty"):
        trace.probabilities(block=1, kind="self", query=np.zeros((4, 6), dtype=bool))


def test_keys_of_self_attention_are_places_too():
    trace = made_trace()
    agree(trace.probabilities(block=1, kind="self", key=(3, 5)), materialised(trace, 1, "self")[..., 23])


def test_a_tuple_of_places_is_several_places():
    trace = made_trace()
    agree(
        trace.probabilities(block=1, kind="self", query=((0, 1), (3, 5))),
        materialised(trace, 1, "self")[..., [1, 23], :],
    )


def test_a_word_is_the_columns_of_its_tokens():
    trace = made_trace()
    everything = materialised(trace, 2, "cross")
    agree(
        trace.probabilities(block=2, kind="cross", token="cat", branch=["cond"]),
        everything[:, 1:][..., [2, 3]],
    )
    agree(
        trace.probabilities(block=2, kind="cross", token="cat", branch=["uncond"]),
        everything[:, :1][..., [1]],
    )
    agree(trace.probabilities(block=2, kind="cross", token="<start>"), everything[..., [0]])


def test_a_word_of_several_branches_is_read_by_each_ones_own_tokens_or_refused():
    trace = made_trace()
    with pytest.raises(
        SelectionError, match=r"'cat' has different numbers in different branches: choose branch="
    ):
        trace.probabilities(block=2, kind="cross", token="cat")
    with pytest.raises(
        WordError, match=r"branch 'uncond' is chosen, too .*no word 'red' in the negative prompt 'cat'"
    ):
        trace.probabilities(block=2, kind="cross", token="red")
    trace.run.negative_prompts, trace.run.negative_tokens = trace.run.prompts, trace.run.tokens
    agree(
        trace.probabilities(block=2, kind="cross", token="cat"), materialised(trace, 2, "cross")[..., [2, 3]]
    )


def test_only_a_single_choice_or_a_mean_drops_an_axis():
    trace = made_trace(steps=1, branches=("cond",), heads=1)
    assert trace.probabilities(block=1, kind="cross").shape == (1, 1, 1, 1, 24, 5)
    assert trace.probabilities(block=1, kind="cross", step=[0], head=[0]).ndim == 6
    assert trace.probabilities(block=1, kind="cross", step=0).shape == (1, 1, 1, 24, 5)
    assert trace.probabilities(block=1, kind="cross", mean=("step", "head")).shape == (1, 1, 24, 5)
    assert trace.probabilities(block=1, kind="cross", query=(0, 0), token=2).shape == (1, 1, 1, 1)


def test_one_row_does_not_compute_the_others(monkeypatch):
    trace = made_trace()
    seen = []
    real = torch.baddbmm
    monkeypatch.setattr(torch, "baddbmm", lambda c, a, b, **k: seen.append(a.shape[-2]) or real(c, a, b, **k))
    trace.probabilities(block=1, kind="self", query=(1, 2), step=0)
    assert set(seen) == {1}


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"block": 17, "kind": "self"}, "block 17 self: this trace has self blocks 1 to 2"),
        ({"block": 1, "kind": "both"}, "kind 'both'"),
        ({"block": 1, "kind": "self", "step": 2}, "step 2: this run has 0 to 1"),
        ({"block": 1, "kind": "self", "head": 3}, "head 3: this run has 0 to 2"),
        ({"block": 1, "kind": "self", "head": -4}, "head -4"),
        ({"block": 1, "kind": "self", "image": 1}, "image 1: this run has 0"),
        ({"block": 1, "kind": "self", "branch": "con"}, "branch 'con': this run has 'cond'"),
        ({"block": 1, "kind": "self", "query": (4, 0)}, r"\(4, 0\): this layer's grid is 4x6"),
        ({"block": 1, "kind": "self", "query": 24}, "query 24: this run has 0 to 23"),
        ({"block": 1, "kind": "self", "token": 1}, "no tokens: its keys are places"),
        ({"block": 1, "kind": "cross", "token": 1, "key": 2}, "give one of them"),
        ({"block": 1, "kind": "cross", "token": 5}, "token 5: this run has 0 to 4"),
        ({"block": 1, "kind": "cross", "head": 1.5}, "head 1.5: expected a number"),
        ({"block": [1], "kind": "cross"}, r"block \[1\] cross: this trace has"),
        ({"block": 1, "kind": "cross", "head": []}, r"head \[\] chooses nothing"),
        ({"block": 1, "kind": "cross", "step": []}, r"step \[\] chooses nothing"),
        ({"block": 1, "kind": "cross", "step": slice(5, 9)}, "chooses nothing"),
        ({"block": 1, "kind": "cross", "branch": []}, r"branch \[\] chooses nothing"),
        ({"block": 1, "kind": "self", "query": 3.0}, r"query 3.0: expected \(row, column\)"),
        ({"block": 1, "kind": "self", "query": "ab"}, "query 'ab': expected"),
        ({"block": 1, "kind": "self", "query": (1.7, 2)}, "query 1.7: expected"),
        ({"block": 1, "kind": "self", "query": [(1, 2, 3)]}, "two whole numbers"),
        ({"block": 1, "kind": "cross", "head": [True]}, "head True: expected a whole number"),
    ],
)
def test_what_a_trace_lacks_is_said(choice, message):
    with pytest.raises(SelectionError, match=message):
        made_trace().probabilities(**choice)


def test_unknown_words_and_axes_are_said():
    with pytest.raises(WordError, match="nearest: 'cat'"):
        made_trace().probabilities(block=1, kind="cross", token="cats", branch="cond")
    with pytest.raises(ParameterError, match=r"mean over \['heads'\]"):
        made_trace().probabilities(block=1, kind="cross", mean="heads")


def test_an_empty_trace_says_so():
    with pytest.raises(SelectionError, match="no step"):
        made_trace(steps=0).probabilities(block=1, kind="self")


def test_layers_come_in_execution_order():
    trace = made_trace(grids=((4, 4),) * 3)
    assert [(layer.block, layer.kind) for layer in trace.layers] == list(
        itertools.product((1, 2, 3), ("self", "cross"))
    )


def test_a_result_is_added_into_the_tensor_that_is_given():
    trace = made_trace(steps=3)
    choice = {"block": 1, "kind": "self", "branch": "cond", "image": 0, "mean": ("step", "head")}
    for query in (None, (1, 2)):
        once = trace.probabilities(query=query, **choice)
        total = once.clone()
        assert trace.probabilities(query=query, into=total, **choice) is total
        torch.testing.assert_close(total, 2 * once, atol=1e-6, rtol=1e-6)
    with pytest.raises(ParameterError, match="choose one step"):
        trace.probabilities(**{**choice, "mean": "head"}, into=torch.zeros(24, 24))
