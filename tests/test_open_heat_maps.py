"""Heat maps of words that are not in the prompt, against an oracle of hooks, the text encoder and to_k in float64."""

import contextlib

import numpy as np
import pytest
import torch

import attnscope
from attnscope.errors import ParameterError, SelectionError, WordError
from test_heatmap import bilinear

PROMPT = "a red cat"


@contextlib.contextmanager
def watched_queries(pipe):
    """Inputs of each cross-attention's to_q as it gave them, step after step, by the attention's path."""
    queries, handles = {}, []
    for path, module in pipe.unet.named_modules():
        if path.endswith("attn2"):
            queries[path] = []
            note = queries[path].append
            handles.append(
                module.to_q.register_forward_hook(lambda _, __, out, note=note: note(out.detach().clone()))
            )
    yield queries
    for handle in handles:
        handle.remove()


def true_shares(pipe, path, queries, text, row):
    """(step, head, query, token) in float64: softmax over the text's tokens, start and end kept, without padding."""
    module = pipe.unet.get_submodule(path)
    ids = torch.tensor([pipe.tokenizer(text)["input_ids"]])
    encoder = pipe.text_encoder.double()
    try:
        with torch.no_grad():
            states = encoder(ids)[0][0]
    finally:
        encoder.float()
    key = (states @ module.to_k.weight.double().mT).unflatten(-1, (module.heads, -1)).transpose(0, 1)
    steps = []
    for of_step in queries:
        query = of_step[row].double().unflatten(-1, (module.heads, -1)).transpose(0, 1)
        steps.append((query @ key.mT * key.shape[-1] ** -0.5).softmax(-1))
    return torch.stack(steps).detach()


@pytest.fixture
def run(pipe):
    with watched_queries(pipe) as queries, attnscope.capture(pipe, kind="cross", open_words=True) as trace:
        pipe(
            PROMPT,
            height=64,
            width=128,
            num_inference_steps=2,
            output_type="latent",
            generator=torch.Generator().manual_seed(0),
        )
    return trace, queries


def true_map(pipe, trace, queries, text, tokens, row, reduce=np.mean, blocks=None):
    layers = [layer for layer in trace.layers if blocks is None or layer.block in blocks]
    maps = []
    for layer in layers:
        shares = true_shares(pipe, layer.path, queries[layer.path], text, row)[..., tokens]
        maps.append(bilinear(shares.mean((0, 1, 3)).reshape(*layer.grid).numpy(), (8, 16)))
    return reduce(maps, axis=0)


@pytest.mark.parametrize(
    ("word", "context", "text", "tokens"),
    [
        ("star", None, "star", [1]),
        ("the star", None, "the star", [1, 2]),
        ("star", "a red star on grass", "a red star on grass", [3]),
        ("red star", "a red star on grass", "a red star on grass", [2, 3]),
        ("<end>", "the star", "the star", [3]),
        (1, "the star", "the star", [1]),
    ],
)
def test_a_words_map_is_the_mean_of_what_its_tokens_get_in_its_text(pipe, run, word, context, text, tokens):
    trace, queries = run
    found = attnscope.heat_map(trace, word, context=context, pipe=pipe, open_words=True)
    assert np.abs(found.array - true_map(pipe, trace, queries, text, tokens, row=1)).max() < 2e-6
    assert found.size_hw == (64, 128) if hasattr(found, "size_hw") else True


def test_the_conditional_branch_is_read_unless_another_is_chosen(pipe, run):
    trace, queries = run
    assert trace.branches == ("uncond", "cond")
    for branch, row in ((None, 1), ("cond", 1), ("uncond", 0)):
        found = attnscope.heat_map(trace, "star", pipe=pipe, open_words=True, branch=branch).array
        assert np.abs(found - true_map(pipe, trace, queries, "star", [1], row)).max() < 2e-6


def test_the_authors_preset_sums_steps_heads_and_blocks_without_the_middle_one(pipe, run):
    trace, queries = run
    outer = [layer.block for layer in trace.layers if layer.stage != "mid"]
    assert len(outer) == len(trace.layers) - 1
    heads, steps = trace.layers[0].heads, len(trace.steps)
    expected = heads * steps * true_map(pipe, trace, queries, "star", [1], 0, np.sum, outer)
    found = attnscope.heat_map(
        trace, "star", pipe=pipe, open_words=True, branch="uncond", preset="ovam"
    ).array
    assert np.abs(found - expected).max() < 1e-5 * expected.max()
    half = attnscope.heat_map(
        trace, "star", pipe=pipe, open_words=True, branch="uncond", preset="ovam", heads=[0, 1, 2, 3]
    )
    rest = attnscope.heat_map(
        trace, "star", pipe=pipe, open_words=True, branch="uncond", preset="ovam", heads=[4, 5, 6, 7]
    )
    assert np.allclose(half.array + rest.array, found, rtol=1e-5)


def test_several_words_are_texts_of_their_own_or_share_one(pipe, run):
    trace, _ = run
    alone = attnscope.heat_maps(trace, ["star", "grass"], pipe=pipe, open_words=True)
    for heat in alone:
        same = attnscope.heat_map(trace, heat.word, pipe=pipe, open_words=True)
        assert np.array_equal(heat.array, same.array)
    shared = attnscope.heat_maps(trace, pipe=pipe, open_words=True, context="star on grass")
    assert [heat.word for heat in shared] == ["star", "on", "grass"]
    ends = attnscope.heat_maps(
        trace, ["<start>", "<end>"], pipe=pipe, open_words=True, context="star on grass"
    )
    assert np.allclose(sum(heat.array for heat in (*shared, *ends)), 1, atol=1e-5)


def test_a_word_of_the_prompt_is_read_as_before(pipe, run):
    trace, _ = run
    assert np.array_equal(
        attnscope.heat_map(trace, "cat").array, attnscope.heat_map(trace, trace.span("cat")).array
    )


def test_questions_that_make_no_sense_are_refused(pipe, run):
    trace, _ = run
    with pytest.raises(WordError, match=r"no word 'star'.*open_words=True, pipe=pipe$"):
        attnscope.heat_map(trace, "star")
    with pytest.raises(WordError) as lacking:
        attnscope.heat_map(trace, "cat", context="the star", pipe=pipe, open_words=True)
    assert "open_words" not in str(lacking.value)
    with pytest.raises(ParameterError, match=r"pipe=: only words that are not in the prompt need it"):
        attnscope.heat_map(trace, "cat", pipe=pipe)
    with pytest.raises(ParameterError, match=r"context=, pipe=: only words"):
        attnscope.heat_maps(trace, ["cat"], pipe=pipe, context="a cat")
    for word in (1, "<end>", trace.span("cat")):
        with pytest.raises(ParameterError, match="is part of a text, and the text is missing"):
            attnscope.heat_map(trace, word, pipe=pipe, open_words=True)
    with pytest.raises(ParameterError, match="open_words=True: no words are given"):
        attnscope.heat_maps(trace, pipe=pipe, open_words=True)
    with pytest.raises(ParameterError, match="kind 'image' reads none"):
        attnscope.heat_map(trace, "star", kind="image", pipe=pipe, open_words=True)
    with pytest.raises(
        ParameterError, match=r"reads one word, and got \['star', 'cat'\]; heat_maps reads several"
    ):
        attnscope.heat_map(trace, ["star", "cat"], pipe=pipe, open_words=True)
    with pytest.raises(ParameterError, match="got a int"):
        attnscope.heat_map(trace, "star", context=7, pipe=pipe, open_words=True)
    with pytest.raises(SelectionError):
        attnscope.heat_map(trace, "star", blocks=[99], pipe=pipe, open_words=True)
    with pytest.raises(ParameterError, match="expected 'daam', 'ovam' or None"):
        attnscope.heat_map(trace, "star", preset="dam", pipe=pipe, open_words=True)


def test_reduced_maps_have_no_queries(pipe):
    keep = {"words": attnscope.Reduced("cross")}
    with attnscope.capture(pipe, kind="cross", open_words=True, keep=keep) as trace:
        pipe(PROMPT, num_inference_steps=1, output_type="latent")
    with pytest.raises(ParameterError, match="the reduced maps 'words' don't have"):
        attnscope.heat_map(trace, "star", pipe=pipe, open_words=True, reduced="words")


def test_more_than_one_picture_and_no_guidance(pipe):
    with attnscope.capture(pipe, kind="cross", open_words=True) as trace:
        pipe([PROMPT, "the star"], num_inference_steps=1, guidance_scale=1, output_type="latent")
    for image in (0, 1):
        found = attnscope.heat_map(trace, "grass", image=image, pipe=pipe, open_words=True).array
        by_hand = attnscope.reread(trace, "grass", pipe=pipe)
        expected = attnscope.heat_map(by_hand, 1, image=image).array
        assert np.array_equal(found, expected)
    first, second = (
        attnscope.heat_map(trace, "grass", image=at, pipe=pipe, open_words=True).array for at in (0, 1)
    )
    assert not np.allclose(first, second)


def test_edits_of_the_prompts_words_do_not_change_another_texts_map(pipe):
    call = {"num_inference_steps": 1, "output_type": "latent", "generator": torch.Generator().manual_seed(0)}
    with (
        attnscope.edit(pipe, attnscope.Reweight("cat", 4.0)),
        attnscope.capture(pipe, kind="cross", open_words=True) as trace,
    ):
        pipe(PROMPT, **call)
    assert trace.run.edits
    found = attnscope.heat_map(trace, "cat", context=PROMPT, pipe=pipe, open_words=True).array
    layer = trace.layer(1, "cross")
    bare = trace.probabilities(layer=layer, branch="cond", image=0, step=0, before_edits=True)[..., :5]
    expected = bare / bare.sum(-1, keepdim=True)
    read = attnscope.reread(trace, PROMPT, pipe=pipe)
    again = read.probabilities(block=1, kind="cross", branch="cond", image=0, step=0)
    assert torch.allclose(again, expected, atol=1e-6)
    assert found.max() < 1


def test_gradients_flow_through_another_texts_probabilities(pipe):
    latent = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    states = pipe.encode_prompt(PROMPT, "cpu", 1, False)[0].detach()
    with attnscope.capture(pipe.unet, kind="cross", branches=("cond",), grad=True, open_words=True) as trace:
        pipe.unet(latent, 300, encoder_hidden_states=states)
    read = attnscope.reread(trace, "the star", pipe=pipe)
    read.probabilities(block=7, kind="cross", step=0)[..., 2].sum().backward()
    assert latent.grad.abs().max() > 0
