"""Answers that know their axes, layers by every name they have, keywords in both spellings."""

import numpy as np
import pytest
import torch
import xarray

import attnscope
from attnscope.errors import KeywordError, ParameterError, SelectionError
from attnscope.records import LayerId
from attnscope.records.reduced import ReducedMaps
from attnscope.spelling import both_spellings
from attnscope.testing.made_traces import made_trace


def test_a_named_answer_holds_the_plain_one_and_says_its_axes():
    trace = made_trace()
    named = trace.probabilities(block=1, kind="self", branch="cond", head=[0, 2], named=True)
    plain = trace.probabilities(block=1, kind="self", branch="cond", head=[0, 2])
    assert torch.equal(named.tensor, plain)
    assert named.axes == ("step", "image", "head", "query", "key")
    assert named.shape == plain.shape
    assert np.array_equal(np.asarray(named), plain.numpy())
    assert repr(named) == "<NamedTensor self block 1: step 2, image 1, head 2, query 24, key 24>"


def test_xarray_knows_what_stands_along_each_axis():
    trace = made_trace(images=2)
    array = trace.probabilities(
        block=1, kind="cross", branch="cond", image=1, mean="head", query=[(0, 1), (2, 3)], named=True
    ).to_xarray()
    assert isinstance(array, xarray.DataArray)
    assert array.dims == ("step", "query", "key")
    assert array["step"].values.tolist() == [0, 1]
    assert array["timestep"].values.tolist() == [900.0, 899.0]
    assert array["query"].values.tolist() == [1, 15]
    assert array["query_row"].values.tolist() == [0, 2]
    assert array["query_column"].values.tolist() == [1, 3]
    assert array["token"].values.tolist() == ["<s>", "red", "c", "at", "<e>"]
    assert array.attrs["branch"] == "cond"
    assert array.attrs["image"] == 1
    assert array.attrs["path"] == trace.layers[1, "cross"].path
    expected = trace.probabilities(
        block=1, kind="cross", branch="cond", image=1, step=1, mean="head", query=(2, 3)
    )
    np.testing.assert_array_equal(array.sel(step=1, query=15).values, expected.numpy())
    places = trace.probabilities(
        block=2, kind="self", branch="cond", image=0, step=0, head=0, named=True
    ).to_xarray()
    assert places["key_row"].values.tolist() == [0, 0, 0, 1, 1, 1]


def test_layers_are_found_by_number_block_and_kind_and_path():
    trace = made_trace()
    first, second = trace.layers[:2]
    assert [layer.id for layer in trace.layers] == [
        LayerId(block, kind) for block in (1, 2) for kind in ("self", "cross")
    ]
    assert trace.layers[1] == trace.layers[1, "cross"] == trace.layers[LayerId(1, "cross")] == second
    assert trace.layers[first.path] == first
    assert trace.layers[-1].id == LayerId(2, "cross")
    assert [layer.block for layer in trace.layers.of_kind("self")] == [1, 2]
    with pytest.raises(SelectionError, match=r"attn9': this trace has 'down_blocks.*attn1'"):
        trace.layers["down_blocks.0.attentions.0.transformer_blocks.0.attn9"]
    with pytest.raises(SelectionError, match="block 3 self: this trace has self blocks 1 to 2"):
        trace.layers[3, "self"]
    with pytest.raises(IndexError):
        trace.layers[4]


def test_a_layer_may_be_given_in_every_way():
    trace = made_trace()
    layer = trace.layers[2, "self"]
    expected = trace.probabilities(block=2, kind="self")
    for given in (layer, layer.path, (2, "self"), 2):
        assert torch.equal(trace.probabilities(layer=given), expected)
    with pytest.raises(ParameterError, match="layer and block .* both choose the layer"):
        trace.probabilities(layer=layer, block=2)
    with pytest.raises(ParameterError, match="which layer"):
        trace.probabilities(block=2)


def test_both_spellings_are_one_choice():
    trace = made_trace()
    singular = trace.probabilities(block=1, kind="self", step=0, head=[1], branch="cond")
    assert torch.equal(
        trace.probabilities(block=1, kind="self", steps=0, heads=[1], branches="cond"), singular
    )
    with pytest.raises(KeywordError, match="got both step and steps: they are one choice"):
        trace.probabilities(block=1, kind="self", step=0, steps=0)
    with pytest.raises(TypeError, match=r"Trace.probabilities\(\) has no 'haed'; the nearest: 'head'"):
        trace.probabilities(block=1, kind="self", haed=0)


def test_spellings_on_classes_and_with_positions():
    assert attnscope.Reduced("self", block=3).blocks == (3,)

    @both_spellings("branch", "steps")
    def first(branch, *, steps=None):
        return branch, steps

    assert first("cond", step=1) == first(branches="cond", steps=1) == ("cond", 1)


def test_nothing_prints_a_wall_of_numbers():
    trace = made_trace()
    layer = trace.layers[1, "cross"]
    maps = trace.probabilities(layer=layer, branch="cond", mean=("step", "head"))
    kept = ReducedMaps(attnscope.Reduced("cross"), {layer.id: maps}, {}, (layer,), (0, 1))
    shown = [trace, trace.layers, layer, trace.run, trace.record(block=1, kind="self"), kept, trace.steps[0]]
    assert [repr(one) for one in shown[1:6]] == [
        "<Layers self: blocks 1 to 2; cross: blocks 1 to 2>",
        f"<Layer block 1 cross, 4x6, 3 heads of 5, 5 keys: {layer.path}>",
        "<Run of 'red cat' by a bare model>",
        "<Record query 2x3x24x5, key 2x3x24x5, float32>",
        "<ReducedMaps: mean of cross-attention over 2 steps, 1 maps, per layer>",
    ]
    assert max(len(repr(one)) for one in shown) < 250
