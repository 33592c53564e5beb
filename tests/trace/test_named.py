"""Answers that know their axes, layers by every name they have, keywords in both spellings."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray

import attnscope
from attnscope.errors import KeywordError, ParameterError, SelectionError, WordError
from attnscope.records import LayerId
from attnscope.records.reduced import ReducedMaps
from attnscope.spelling import both_spellings
from attnscope.testing.made_traces import made_trace
from attnscope.trace.tokens import unnamed_tokens


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


def test_tokens_are_named_only_where_every_row_reads_them():
    trace = made_trace(images=2)
    named = trace.probabilities(block=1, kind="cross", branch="cond", named=True)
    assert named.labels["token"][1] == ["<s>", "red", "c", "at", "<e>"]
    assert "token" not in trace.probabilities(block=1, kind="cross", named=True).labels
    trace.run.tokens[1] = tuple(replace(token, text="x") for token in trace.run.tokens[1])
    assert "token" not in trace.probabilities(block=1, kind="cross", branch="cond", named=True).labels
    assert (
        trace.probabilities(block=1, kind="cross", branch="cond", image=1, named=True).labels["token"][1]
        == ["x"] * 5
    )


def test_a_word_of_another_image_is_found_there():
    trace = made_trace(images=2)
    trace.run.prompts[1] = "a blue dog"
    with pytest.raises(
        WordError, match="no word 'dog' in the prompt 'red cat'.*image 1 has it.*give image=1"
    ):
        trace.span("dog")
    with pytest.raises(WordError, match="the nearest: 'cat'$"):
        trace.span("cart")


def test_the_negative_branch_has_its_own_words():
    trace = made_trace()
    for ask in (
        lambda: trace.probabilities(block=1, kind="cross", branch="uncond", token="red"),
        lambda: attnscope.heat_maps(trace, "red", branch="uncond"),
        lambda: trace.span("red", branch="uncond"),
    ):
        with pytest.raises(WordError, match="no word 'red' in the negative prompt 'cat'"):
            ask()
    assert [(span.word, span.tokens) for span in trace.words(branch="uncond")] == [("cat", (1,))]
    (mine,) = attnscope.heat_maps(trace, branch="uncond")
    assert mine == attnscope.heat_map(trace, "cat", branch="uncond")
    assert np.array_equal(mine.array, attnscope.heat_map(trace, 1, branch="uncond").array)
    assert mine != attnscope.heat_map(trace, "cat")
    assert list(attnscope.word_table(trace, branch="uncond")["tokens"]) == [(1,)]
    named = trace.probabilities(block=1, kind="cross", branch="uncond", named=True)
    assert named.labels["token"] == ("key", ["<s>", "cat", "<e>", "<p>", "<p>"])


def test_words_of_an_unknown_negative_prompt_are_refused_by_the_true_cause():
    trace = made_trace()
    asks = (
        lambda: attnscope.heat_maps(trace, branch="uncond"),
        lambda: attnscope.heat_map(trace, "cat", branch="uncond"),
        lambda: attnscope.word_table(trace, branch="uncond"),
    )
    trace.run.negative_prompts, trace.run.negative_tokens = [], [unnamed_tokens(5)]
    for ask in asks:
        with pytest.raises(WordError, match=r"the negative prompt was not seen.*negative_prompt=.*0 to 4"):
            ask()
    trace.run.negative_tokens = []
    for ask in asks:
        with pytest.raises(WordError, match="holds no negative prompt: .* an earlier version"):
            ask()


@pytest.mark.parametrize(
    "into", [torch.zeros(5, 24, 24), torch.zeros(24), torch.zeros(24, 24, dtype=torch.int64)]
)
def test_a_result_that_does_not_fit_is_refused(into):
    with pytest.raises(ParameterError, match=r"into has shape .*; the answer has shape \(24, 24\)"):
        made_trace().probabilities(block=1, kind="self", step=0, branch="cond", image=0, head=0, into=into)


def test_odd_choices_are_answered_in_one_sentence():
    trace = made_trace()
    mixed = trace.probabilities(block=1, kind="self", query=[(1, 2), 3])
    assert torch.equal(mixed, trace.probabilities(block=1, kind="self", query=[8, 3]))
    assert torch.equal(trace.probabilities(layer=[1, "self"]), trace.probabilities(block=1, kind="self"))
    with pytest.raises(ParameterError, match="expected a number, .block, kind., a module path or a Layer"):
        trace.probabilities(layer=slice(0, 2))
    with pytest.raises(SelectionError, match="layer 99: this trace has 4 layers"):
        trace.probabilities(layer=99)
    assert [one.word for one in attnscope.heat_maps(trace, word="cat")] == ["cat"]


def test_a_trace_from_disk_can_be_sent_to_another_process(tmp_path):
    trace = attnscope.load_trace(made_trace().save(tmp_path / "run.trace"))
    expected = trace.probabilities(block=1, kind="self")
    for copied in (pickle.loads(pickle.dumps(trace)), copy.deepcopy(trace)):
        assert torch.equal(copied.probabilities(block=1, kind="self"), expected)
