"""Statistics of attention are those that SciPy and scikit-learn compute of P written out in float64."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import entropy
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics.pairwise import cosine_similarity

import attnscope
from attnscope.errors import ParameterError, SelectionError
from attnscope.measuring import sums
from attnscope.measuring.clusters import clusters
from attnscope.records import Grid, LayerId
from attnscope.records.qkv import Record
from attnscope.testing import made_trace, tiny_transformer

EXACT = 1e-5  # P is float32, products of 8000 of its numbers too


def written_out(trace, layer, step, row):
    """P of one batch row in float64: (head, query, key)."""
    record = trace.record(block=layer.block, kind=layer.kind, step=step)
    scores = record.query[row].double() @ record.key[row].double().mT * record.scale
    if record.mask is not None:
        scores = scores + record.mask[row if record.mask.shape[0] > 1 else 0].double()
    return torch.softmax(scores, -1).numpy()


def places_of(grid):
    return np.stack(np.meshgrid(range(grid.height), range(grid.width), indexing="ij"), -1).reshape(-1, 2)


def check(numbers, every_p, own, roles, text):
    """Compare the numbers of a layer with P of each of its steps, rows being the image's places."""
    grid = numbers.layer.grid
    for at, p in enumerate(every_p):
        assert numbers.entropy_bits[at] == pytest.approx(entropy(p, base=2, axis=-1).mean(-1), rel=EXACT)
        share = entropy(p, base=2, axis=-1).mean(-1) / np.log2(p.shape[-1])
        assert numbers.entropy_share[at] == pytest.approx(share, rel=EXACT)
        if own is None:
            assert numbers.distance is numbers.strongest_place is numbers.even_distance is None
        else:
            far, part = cdist(places_of(grid), places_of(grid)) / max(grid), p[..., own]
            assert numbers.distance[at] == pytest.approx(
                (part * far).sum((1, 2)) / part.sum((1, 2)), rel=EXACT
            )
            assert numbers.strongest_place[at] == pytest.approx(part.mean(1).max(-1), rel=EXACT)
            assert numbers.even_distance == pytest.approx(far.mean())
        for role, keys in roles.items():
            assert getattr(numbers, role)[at] == pytest.approx(p[..., keys].sum(-1).mean(-1), rel=EXACT), role
        if text is not None:
            assert numbers.text[at] == pytest.approx(p[..., text].sum(-1).mean(-1), rel=EXACT)
    heads = np.stack(every_p, 1).reshape(len(every_p[0]), -1)
    assert numbers.similarity == pytest.approx(cosine_similarity(heads), rel=EXACT)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize(("branch", "image", "row"), [("cond", 0, 2), ("cond", 1, 3), ("uncond", 1, 1)])
def test_numbers_are_those_of_p_written_out(branch, image, row, mask):
    trace = made_trace(grids=((4, 6), (2, 3)), steps=3, images=2, mask=mask)
    found = attnscope.statistics(trace, branch=branch, image=image)
    roles = {"start": [0], "end": [4], "padding": []}
    roles = roles if branch == "cond" else {"start": [0], "end": [2], "padding": [3, 4]}
    assert [layer.layer.id for layer in found] == [layer.id for layer in trace.layers]
    for numbers in found:
        assert numbers.steps == (0, 1, 2)
        every_p = [written_out(trace, numbers.layer, step, row) for step in range(3)]
        is_own = numbers.kind == "self"
        check(
            numbers,
            every_p,
            slice(None) if is_own else None,
            {} if is_own else roles,
            None if is_own else slice(None),
        )
        if is_own:
            assert numbers.text is numbers.sink is numbers.start is None
        else:
            assert numbers.sink == pytest.approx(numbers.start + numbers.end + numbers.padding)


@pytest.mark.parametrize("numbers", [1, 50, 333])
def test_the_size_of_tiles_does_not_matter(monkeypatch, numbers):
    trace = made_trace(grids=((5, 7),))
    whole = attnscope.statistics(trace)
    monkeypatch.setattr("attnscope.measuring.statistics.TILE_NUMBERS", numbers)
    for one, other in zip(whole, attnscope.statistics(trace), strict=True):
        for name in ("entropy_bits", "distance", "strongest_place", "sink", "similarity"):
            assert (getattr(one, name) is None) == (getattr(other, name) is None)
            if getattr(one, name) is not None:
                assert getattr(one, name) == pytest.approx(getattr(other, name), rel=EXACT)


def test_even_attention_has_all_of_the_entropy_and_the_even_distance():
    trace = made_trace(grids=((4, 6),), steps=1)
    for layer in trace.layers:
        record = trace.records.get(0, layer.id)
        trace.records._records[0, layer.id] = Record(
            torch.zeros_like(record.query), record.key, scale=record.scale
        )
    found = attnscope.statistics(trace)
    own, text = found[1, "self"], found[1, "cross"]
    assert own.mean("entropy_share") == pytest.approx(1)
    assert own.mean("distance") == pytest.approx(own.even_distance)
    assert own.mean("strongest_place") == pytest.approx(1 / 24)
    assert text.mean("sink") == pytest.approx(2 / 5)
    assert own.similarity == pytest.approx(np.ones((3, 3)))
    assert own.clusters() == ((0, 1, 2),)


def test_a_place_that_looks_at_itself_alone_has_neither_entropy_nor_distance():
    p = torch.eye(6).expand(2, 6, 6)
    total = sums.row_sums([(range(0, 4), p[:, :4]), (range(4, 6), p[:, 4:])], Grid(2, 3), range(6))
    assert total.entropy.tolist() == total.distance.tolist() == [0, 0]
    assert total.rows == 6


def test_choices_are_kinds_blocks_and_steps():
    trace = made_trace(steps=4)
    found = attnscope.statistics(trace, kind="self", blocks=2, steps=slice(1, 3))
    assert [(layer.block, layer.kind, layer.steps) for layer in found] == [(2, "self", (1, 2))]
    whole = attnscope.statistics(trace)
    assert found[2, "self"].distance == pytest.approx(whole[2, "self"].distance[1:3])
    assert attnscope.statistics(trace, block=1).kinds == ("self", "cross")


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"kind": "joint"}, "kind 'joint': the layers of this trace are 'self', 'cross'"),
        ({"block": 7}, "block 7: this run has 1 to 2"),
        ({"step": 5}, "step 5: this run has 0 to 1"),
        ({"branch": "positive"}, "branch 'positive'"),
        ({"image": 1}, "image 1"),
    ],
)
def test_what_a_trace_lacks_is_refused(choice, said):
    with pytest.raises(SelectionError, match=said):
        attnscope.statistics(made_trace(), **choice)


def test_a_trace_without_q_and_k_is_refused_with_what_works(pipe):
    keep = {"own": attnscope.Reduced("self")}
    with attnscope.capture(pipe, qk=False, keep=keep) as trace:
        pipe("a cat", num_inference_steps=1, output_type="latent")
    with pytest.raises(SelectionError, match="holds no Q and K, .*: capture with qk=True"):
        attnscope.statistics(trace)
    with attnscope.capture(pipe, qk=True, keep=keep) as trace:
        pipe("a cat", num_inference_steps=1, output_type="latent")
    assert len(attnscope.statistics(trace)) == len(trace.layers)


def test_layers_that_did_not_run_are_named():
    trace = made_trace(steps=2)
    gone = LayerId(2, "self")
    for step in range(2):
        del trace.records._records[step, gone]
    found = attnscope.statistics(trace)
    assert found.left_out == ("block 2 self",)
    assert "left out: block 2 self" in repr(found)
    with pytest.raises(SelectionError, match="block 2 self ran for branch 'cond' in none of these steps"):
        attnscope.statistics(trace, kind="self", block=2)
    with pytest.raises(SelectionError, match=r"there are numbers of \(1, 'self'\)"):
        found[2, "self"]


def test_unknown_tokens_have_no_sinks():
    trace = made_trace()
    trace.run.tokens = [()]
    numbers = attnscope.statistics(trace)[1, "cross"]
    assert numbers.start is numbers.end is numbers.padding is numbers.sink is None
    assert numbers.mean("sink") is None
    assert numbers.text == pytest.approx(np.ones((2, 3)))


def test_a_joint_attention_is_one_softmax_whose_queries_are_places(tmp_path):
    pipe = tiny_transformer("sd3", tmp_path)
    with attnscope.capture(pipe) as trace:
        pipe("a red cat", height=64, width=96, num_inference_steps=2, output_type="latent")
    found = attnscope.statistics(trace)
    assert "joint" in found.kinds
    row = [row.branch for row in trace.rows].index("cond")
    for numbers in found:
        layer = numbers.layer
        own = layer.queries_of("own")
        every_p = [written_out(trace, layer, step, row)[:, own.start : own.stop] for step in numbers.steps]
        keys = layer.keys_of("own")
        text = layer.keys_of("context") if layer.reads_text else None
        tokens = trace.tokens()
        roles = (
            {
                role: [text.start + token.index for token in tokens if token.role == role]
                for role in ("start", "end", "padding")
            }
            if text
            else {}
        )
        check(numbers, every_p, slice(keys.start, keys.stop), roles, text and slice(text.start, text.stop))
        assert not text or numbers.mean("text") < 1


def test_a_frame_of_a_video_is_measured_among_its_own_places(tmp_path):
    pipe = tiny_transformer("cogvideox", tmp_path)
    with attnscope.capture(pipe) as trace:
        pipe("a red cat", height=64, width=96, num_frames=5, num_inference_steps=2, output_type="latent")
    assert trace.images > 1
    row = [row.branch for row in trace.rows].index("cond")
    for image in range(trace.images):
        for numbers in attnscope.statistics(trace, image=image):
            layer, places = numbers.layer, numbers.layer.grid.places
            first = layer.queries_of("own").start + image * places
            every_p = [
                written_out(trace, layer, step, row)[:, first : first + places] for step in numbers.steps
            ]
            own = layer.keys_of("own").start + image * places
            check(numbers, every_p, slice(own, own + places), {}, None)


def test_edited_attention_is_measured_as_it_was_used(pipe):
    with attnscope.edit(pipe, attnscope.Reweight("cat", 4.0)), attnscope.capture(pipe, kind="cross") as trace:
        pipe("a red cat", num_inference_steps=1, output_type="latent")
    found, before = attnscope.statistics(trace), attnscope.statistics(trace, before_edits=True)
    for numbers, computed in zip(found, before, strict=True):
        layer = numbers.layer
        p = trace.probabilities(layer=layer, step=0, branch="cond", image=0).double().numpy()
        assert numbers.entropy_bits[0] == pytest.approx(entropy(p, base=2, axis=-1).mean(-1), rel=1e-5)
        q = (
            trace.probabilities(layer=layer, step=0, branch="cond", image=0, before_edits=True)
            .double()
            .numpy()
        )
        assert computed.entropy_bits[0] == pytest.approx(entropy(q, base=2, axis=-1).mean(-1), rel=1e-5)
        assert abs(numbers.entropy_bits - computed.entropy_bits).max() > 1e-3


def test_negative_attention_is_refused_with_what_works(pipe):
    with (
        attnscope.edit(pipe, attnscope.Reweight("cat", -2.0)),
        attnscope.capture(pipe, kind="cross") as trace,
    ):
        pipe("a red cat", num_inference_steps=1, output_type="latent")
    with pytest.raises(ParameterError, match="negative numbers, .* no entropy: ask with before_edits=True"):
        attnscope.statistics(trace)
    assert len(attnscope.statistics(trace, before_edits=True)) == len(trace.layers)


def test_tables_and_json_hold_the_numbers():
    found = attnscope.statistics(made_trace())
    table = found.to_pandas()
    assert len(table) == 4 * 2 * 3
    row = table.query("block == 2 and kind == 'self' and step == 1 and head == 2").iloc[0]
    assert row["distance"] == found[2, "self"].distance[1, 2]
    assert np.isnan(row["sink"])
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["layers"][3]["sink"] == found[2, "cross"].sink.tolist()
    assert told["layers"][2]["sink"] is None
    assert repr(found) == "<AttentionStatistics of 2 self, 2 cross layers, 2 steps, branch 'cond'>"
    assert repr(found[1, "self"]).startswith("<LayerStatistics block 1 self, 2 steps, 3 heads: entropy_bits")
    with pytest.raises(
        ParameterError, match="'width' is not a number that layers have: expected one of 'entropy_bits'"
    ):
        found[1, "self"].numbers("width")


def test_over_steps_is_the_mean_over_layers_and_heads():
    found = attnscope.statistics(made_trace(steps=3))
    by_step = found.over_steps("distance", "self")
    assert list(by_step) == [0, 1, 2]
    assert by_step[1] == pytest.approx(np.mean([layer.distance[1].mean() for layer in found.of_kind("self")]))
    assert found.over_steps("sink", "self") == {}


@pytest.mark.parametrize("seed", range(20))
def test_groups_of_heads_are_scikit_learn_s(seed):
    chance = np.random.default_rng(seed)
    centres = chance.random((3, 40)) ** 3
    heads = centres[chance.integers(0, 3, 9)] + chance.random((9, 40)) * 0.2
    similarity, alike = cosine_similarity(heads), chance.uniform(0.6, 0.99)
    theirs = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - alike
    ).fit_predict(1 - similarity)
    expected = {tuple(np.flatnonzero(theirs == label).tolist()) for label in set(theirs)}
    found = clusters(similarity, alike)
    assert set(found) == expected
    assert [len(heads) for heads in found] == sorted(map(len, found), reverse=True)


def test_groups_of_one_head_and_of_wrong_choices():
    assert clusters(np.ones((1, 1))) == ((0,),)
    with pytest.raises(ParameterError, match="alike is 2: expected 0"):
        clusters(np.ones((2, 2)), 2)


def test_progress_is_told_layer_by_layer():
    told = []
    attnscope.statistics(made_trace(), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_trace_in_a_graph_has_the_same_numbers():
    trace, expected = made_trace(), attnscope.statistics(made_trace()).to_dict()
    for record in trace.records._records.values():
        record.query.requires_grad_()
    assert attnscope.statistics(trace).to_dict() == expected


def test_an_adapter_s_pictures_are_no_places_even_where_they_are_as_many():
    trace = made_trace(grids=((4, 6),), kinds=("self",))
    (of_places,) = trace.layers
    layer = replace(of_places, kind="image")
    trace.records.layers = {layer.id: layer}
    for step in range(2):
        trace.records._records[step, layer.id] = trace.records._records.pop((step, of_places.id))
    numbers = attnscope.statistics(trace)[1, "image"]
    assert numbers.distance is numbers.strongest_place is numbers.text is None
    assert numbers.mean("entropy_share") < 1
