"""Transformers: the picture is unchanged, and every relation of every layer is what the model computed."""

from itertools import accumulate

import numpy as np
import pytest
import torch

import attnscope
from attnscope import Reduced
from attnscope.errors import SelectionError, WordError
from attnscope.records.relations import relations
from transformer_cases import CASES, HEIGHT, OTHER, PROMPT, WIDTH, in_equal_places, seen_attention

pytestmark = [
    pytest.mark.filterwarnings("ignore::attnscope.recording.running.passes.IncompleteCaptureWarning"),
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),  # Mochi's positions
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(scope="module")
def pipes(tmp_path_factory):
    """Each pipeline once."""
    made = {}

    def pipe_of(case):
        if case.name not in made:
            made[case.name] = case.make(tmp_path_factory.mktemp(case.name))
        return made[case.name]

    return pipe_of


@pytest.fixture(scope="module")
def runs(pipes):
    """Of each pipeline, once: a trace, what it watched made, and P by a run of its own."""
    made = {}

    def run_of(case):
        if case.name not in made:
            pipe = pipes(case)
            with seen_attention(pipe.transformer) as seen:
                plain = case.run(pipe)
            with attnscope.capture(pipe) as trace:
                watched = case.run(pipe)
            made[case.name] = trace, plain, watched, seen
        return made[case.name]

    return run_of


@every_case
def test_the_picture_is_the_same_to_the_bit_and_nothing_stays_on_the_model(case, pipes, runs):
    trace, plain, watched, _ = runs(case)
    assert np.array_equal(plain, watched)
    model = pipes(case).transformer
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not any("forward" in vars(module) for module in model.modules())
    assert (trace.run.image_size_hw, len(trace.layers)) == ((HEIGHT, WIDTH), case.layers)
    assert trace.run.family == case.family
    assert {layer.grid for layer in trace.layers} == {(HEIGHT // case.place, WIDTH // case.place)}


@every_case
def test_every_relation_of_every_layer_is_what_the_model_computed(case, runs):
    trace, _, _, seen = runs(case)
    for layer in trace.layers:
        lengths = [case.lengths(parts) for parts in case.sides_of(layer.path)]
        there = case.there or [case.tokens.get("text", 0)] * len(case.branches)
        calls = [
            in_equal_places(p, *lengths, count)
            for p, count in zip(seen[layer.path], 2 * [*there], strict=True)
        ]
        truth = torch.stack(calls).flatten(0, 1)  # (call x row, head, query, key)
        queries, keys = (_spans(of_side) for of_side in lengths)
        assert set(relations(layer)) == {f"{query}->{key}" for query in queries for key in keys}
        whole = trace.probabilities(layer=layer)
        torch.testing.assert_close(whole.flatten(0, 2).double(), truth, rtol=0, atol=1e-6)
        for relation in relations(layer):
            query, key = (
                spans[side] for side, spans in zip(relation.split("->"), (queries, keys), strict=True)
            )
            expected = truth[:, :, query, key]
            p = trace.probabilities(layer=layer.path, relation=relation)
            torch.testing.assert_close(p.flatten(0, 2).double(), expected, rtol=0, atol=1e-6)
            mean = trace.probabilities(layer=layer.path, relation=relation, mean="head")
            torch.testing.assert_close(mean.flatten(0, 2).double(), expected.mean(1), rtol=0, atol=1e-6)


@every_case
def test_self_and_cross_are_the_parts_from_the_image(case, runs):
    trace, *_ = runs(case)
    for kind, relation in (("self", "image->image"), ("cross", "image->text")):
        for layer in trace.layers.of_kind(kind):
            by_kind = trace.probabilities(block=layer.block, kind=kind, mean="head")
            by_relation = trace.probabilities(layer=layer.path, relation=relation, mean="head")
            assert by_kind.shape[2] == by_relation.shape[2] * case.frames
            for image in range(by_kind.shape[2]):  # a frame is an image, and sees itself
                video, frame = divmod(image, case.frames)
                places = layer.grid.places
                own = slice(frame * places, (frame + 1) * places)
                expected = by_relation[:, :, video, own, own if kind == "self" else slice(None)]
                torch.testing.assert_close(by_kind[:, :, image], expected, rtol=0, atol=1e-7)


@every_case
def test_rows_are_the_branches_of_each_call(case, pipes, runs):
    trace, *_ = runs(case)
    assert [call.step for call in trace.calls] == [step for step in (0, 1) for _ in case.branches]
    assert [tuple(row.branch for row in call.rows) for call in trace.calls] == 2 * [*case.branches]
    with attnscope.capture(pipes(case)) as trace:
        case.run(pipes(case), **({"negative_prompt": case.negative} if case.negative else {}), **case.guided)
    assert [tuple(row.branch for row in call.rows) for call in trace.calls] == 2 * [*case.guided_branches]
    if "uncond" in trace.branches:
        assert trace.prompt(branch="uncond") == case.negative
    if case.negative:
        assert trace.span("grass", branch="uncond").tokens
    assert trace.steps[0].timestep > trace.steps[1].timestep


@every_case
def test_two_prompts_with_two_pictures_each_are_four_images(case, pipes):
    if not case.several:
        pytest.skip(f"diffusers' {case.name} can't make several pictures of several prompts")
    with attnscope.capture(pipes(case), kind="cross") as trace:
        case.run(pipes(case), [PROMPT, OTHER], **({case.copies: 2} if case.copies else {}))
    copies = (2 if case.copies else 1) * case.frames
    assert trace.images == 2 * copies
    assert [trace.prompt(image) for image in range(2 * copies)] == copies * [PROMPT] + copies * [OTHER]
    with pytest.raises(WordError):
        trace.span("cat", image=copies)
    assert trace.span("star", image=2 * copies - 1).word == "star"


@every_case
def test_words_are_found_in_what_each_encoder_read(case, runs):
    trace, *_ = runs(case)
    assert trace.prompt() == PROMPT
    assert trace.span("cat").tokens == case.cat
    layers = trace.layers_of_kind("cross")
    shares = [
        trace.probabilities(layer=layer, branch="cond", token=list(case.cat), mean=("head", "step"), image=0)
        for layer in layers
    ]
    expected = torch.stack([share.mean(-1) for share in shares]).mean(0)
    heat = attnscope.heat_map(trace, "cat").array
    resized = torch.nn.functional.interpolate(
        expected.reshape(1, 1, *layers[0].grid), heat.shape, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(heat, resized[0, 0], rtol=0, atol=1e-6)


@every_case
def test_reduced_maps_are_means_of_the_same_relations(case, pipes):
    kinds = {"scene": "self", "words": "cross"}
    if not any("image" in keys for _, keys in case.sides.values()):
        del kinds["scene"]
    keep = {name: Reduced(kind) for name, kind in kinds.items()}
    with attnscope.capture(pipes(case), keep=keep) as trace:
        case.run(pipes(case))
    for name, kind in kinds.items():
        for layer in trace.layers.of_kind(kind):
            mean = trace.probabilities(layer=layer, branch="cond", image=0, mean=("step", "head"))
            torch.testing.assert_close(trace.reduced[name].map(block=layer.block), mean, rtol=0, atol=1e-6)
            last = trace.images - 1
            mean = trace.probabilities(layer=layer, branch="cond", image=last, mean=("step", "head"))
            reduced = trace.reduced[name].map(block=layer.block, image=last)
            torch.testing.assert_close(reduced, mean, rtol=0, atol=1e-6)


@every_case
def test_a_trace_on_disk_is_the_same(case, runs, tmp_path):
    trace, *_ = runs(case)
    loaded = attnscope.load_trace(trace.save(tmp_path / "trace"))
    assert loaded.layers == trace.layers
    for layer in trace.layers:
        for relation in relations(layer):
            ours, theirs = (of.probabilities(layer=layer.path, relation=relation) for of in (trace, loaded))
            assert torch.equal(ours, theirs)


@every_case
def test_segments_cover_the_picture(case, runs):
    trace, *_ = runs(case)
    if not trace.layers.of_kind("self"):
        with pytest.raises(SelectionError, match="no self-attention"):
            attnscope.segment(trace)
        return
    found = attnscope.segment(trace)
    assert found.labels.shape == (HEIGHT, WIDTH)


def _spans(lengths):
    """Where each part is in the sequence; 'text' is all that begins so."""
    ends = list(accumulate(lengths.values()))
    spans = {
        name: slice(end - length, end) for (name, length), end in zip(lengths.items(), ends, strict=True)
    }
    texts = [span for name, span in spans.items() if name.startswith("text")]
    return spans | ({"text": slice(texts[0].start, texts[-1].stop)} if texts else {})
