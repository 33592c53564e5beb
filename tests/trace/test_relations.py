"""Relations: parts of a layer's attention by what attends to what."""

import numpy as np
import pytest
import torch

import attnscope
from attnscope.errors import ParameterError, SelectionError
from attnscope.records import Grid, KeyPart, Layer, LayerId, QueryPart
from attnscope.records.relations import as_kind, related, relations
from attnscope.testing.made_traces import made_trace
from attnscope.testing.transformers import tiny_flux

GRID = Grid(2, 3)
JOINT = Layer(
    1, "joint", "blocks.0.attn", "double", GRID, heads=2, head_dim=4, keys=15,
    parts=(KeyPart("context/clip", 3), KeyPart("context/t5", 4), KeyPart("own", 6), KeyPart("reference", 2)),
    query_parts=(QueryPart("context/clip", 3), QueryPart("context/t5", 4), QueryPart("own", 6)),
)  # fmt: skip


@pytest.fixture(scope="module")
def flux(tmp_path_factory):
    """A trace of Flux: 12 tokens of text, then 4 x 6 places."""
    pipe = tiny_flux(tmp_path_factory.mktemp("flux"))
    with attnscope.capture(pipe) as trace:
        pipe(
            "a red cat", height=64, width=96, num_inference_steps=2, max_sequence_length=12, output_type="latent",
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
    return trace


@pytest.mark.parametrize(
    ("relation", "kind", "first", "shape"),
    [
        ("image->image", "self", (7, 7), (6, 6)),
        ("image->text", "cross", (7, 0), (6, 7)),
        ("image->text/t5", "joint", (7, 3), (6, 4)),
        ("image -> reference", "joint", (7, 13), (6, 2)),
        ("text->image", "joint", (0, 7), (7, 6)),
        ("text/t5->text/clip", "joint", (3, 0), (4, 3)),
        ("own->context", "joint", (7, 0), (6, 7)),
    ],
)
def test_a_relation_is_a_window_of_the_softmax(relation, kind, first, shape):
    part = related(JOINT, relation)
    assert (part.view.first_query, part.view.first_key) == first
    assert part.probability == (2, *shape)
    assert (part.kind, part.record_id, part.path) == (kind, LayerId(1, "joint"), "blocks.0.attn")


def test_all_relations_of_a_layer_are_listed_and_can_be_asked():
    assert len(relations(JOINT)) == 4 * 5
    assert all(related(JOINT, relation).view.relation == relation for relation in relations(JOINT))


@pytest.mark.parametrize(
    ("relation", "error", "message"),
    [
        (
            "text->objects",
            SelectionError,
            "has 'text->text', .*; the text's parts are 'text/clip', 'text/t5'",
        ),
        ("reference->text", SelectionError, "block 1 joint has"),
        ("image", ParameterError, "expected two parts and an arrow, such as 'image->text'"),
        ("->text", ParameterError, "expected two parts"),
        ("a->b->c", ParameterError, "expected two parts"),
        (7, ParameterError, "relation 7"),
    ],
)
def test_what_is_no_relation_is_said(relation, error, message):
    with pytest.raises(error, match=message):
        related(JOINT, relation)


def test_parts_that_do_not_lie_side_by_side_are_no_part():
    apart = Layer(
        1, "joint", "attn", "double", GRID, heads=1, head_dim=4, keys=10,
        parts=(KeyPart("context/a", 2), KeyPart("own", 6), KeyPart("context/b", 2)),
    )  # fmt: skip
    with pytest.raises(SelectionError, match="the text's parts are 'text/a', 'text/b'"):
        related(apart, "image->text")
    assert related(apart, "image->text/b").view.first_key == 8


def test_a_part_of_a_part_is_refused():
    part = as_kind(JOINT, "cross")
    assert related(part, "image->text") is part
    with pytest.raises(
        ParameterError, match="is a part of a softmax already, image->text; ask its joint layer"
    ):
        related(part, "image->image")


def test_layers_of_a_u_net_have_the_relation_that_they_are():
    trace = made_trace()
    for layer in trace.layers:
        relation = {"self": "image->image", "cross": "image->text"}[layer.kind]
        whole = trace.probabilities(layer=layer)
        assert torch.equal(trace.probabilities(layer=layer.path, relation=relation), whole)
        with pytest.raises(SelectionError, match=f"has '{relation}'"):
            trace.probabilities(layer=layer, relation="text->image")


def test_places_words_and_numbers_count_within_the_part(flux):
    whole = flux.probabilities(layer=0, step=1)[0, 0]
    for layer in (flux.layers[0], flux.layers[0].path, flux.layer(1, "joint")):
        to_text = flux.probabilities(layer=layer, relation="image->text", step=1)[0, 0]
        torch.testing.assert_close(to_text, whole[:, 12:, :12])
    at = flux.probabilities(layer=0, relation="image->image", step=1, query=(1, 2), key=(3, 5), head=1)
    assert at.item() == pytest.approx(whole[1, 12 + 8, 12 + 23].item(), rel=1e-5)
    word = flux.probabilities(layer=0, relation="image->text", step=1, token="cat")
    torch.testing.assert_close(word[0, 0], whole[:, 12:, [2]])
    back = flux.probabilities(layer=0, relation="text->image", step=1, query=2, key=(1, 0))
    torch.testing.assert_close(back[0, 0], whole[:, 2, 12 + 6])
    region = np.zeros((4, 6), dtype=bool)
    region[2, 1:3] = True
    marked = flux.probabilities(layer=0, relation="text->image", step=1, key=region)
    torch.testing.assert_close(marked[0, 0], whole[:, :12, [12 + 13, 12 + 14]])


def test_kinds_are_parts_of_a_joint_attention(flux):
    assert [layer.kind for layer in flux.layers] == 4 * ["joint"]
    assert [(layer.block, layer.kind) for layer in flux.layers.in_parts][:3] == [
        (1, "self"), (1, "cross"), (2, "self"),
    ]  # fmt: skip
    for part in flux.layers.in_parts:
        by_layer = flux.probabilities(layer=part, mean="head")
        assert torch.equal(by_layer, flux.probabilities(block=part.block, kind=part.kind, mean="head"))
    assert flux.record(block=1, kind="cross").query.shape[2] == 12 + 24


def test_a_pair_of_numbers_is_no_query_of_a_whole_joint_attention(flux):
    with pytest.raises(SelectionError, match="choose relation='image->image' or relation='image->text'"):
        flux.probabilities(layer=0, query=(0, 0))
    assert flux.probabilities(layer=0, query=35, step=0).shape == (1, 1, 2, 36)
    with pytest.raises(SelectionError, match="query 36"):
        flux.probabilities(layer=0, query=36)


def test_a_named_answer_says_the_relation(flux):
    named = flux.probabilities(layer=0, relation="image->text", step=0, branch="cond", image=0, named=True)
    assert named.about["relation"] == "image->text"
    assert named.axes == ("head", "query", "key")
    assert list(named.labels["token"][1])[:3] == ["a", "red", "cat"]


def test_a_capture_of_one_kind_keeps_what_answers_for_it(tmp_path):
    pipe = tiny_flux(tmp_path)
    for kind in ("self", "cross", "joint"):
        with attnscope.capture(pipe, kind=kind, blocks=2) as trace:
            pipe(
                "a cat",
                height=32,
                width=32,
                num_inference_steps=1,
                max_sequence_length=12,
                output_type="latent",
            )
        assert [layer.kind for layer in trace.layers] == ["joint"]
    with pytest.raises(SelectionError, match="this trace has 'joint', 'self', 'cross'"):
        trace.probabilities(block=2, kind="fuser")
