"""The nodes for ComfyUI: words of prompts, their tokens and their heat maps."""

from __future__ import annotations

from typing import Any

import comfy_real
import numpy as np
import pytest
import torch
from comfy_cases import (
    NEGATIVE,
    Watch,
    captured,
    conds,
    encoded,
    heat_map,
    latent_of,
    pictures,
    trace_of,
)
from comfy_stand_in import StandInWorld

from attnscope.errors import CaptureError, ParameterError, WordError
from attnscope.pictures.maps import resize_maps
from integrations.comfyui import NODE_CLASS_MAPPINGS
from integrations.comfyui.conditioning import read_text, tokens_for
from integrations.comfyui.words import plain_text, tokens_of


def test_heat_map_is_of_the_words_tokens(world):
    model, handle = captured(world, blocks="1")
    watch = Watch(model)
    world.sample(model, *conds(world), steps=1, cfg=1)
    trace = trace_of(handle)
    tokens = {"stand-in": (4, 5), "ComfyUI": (2,)}[world.name]  # ca and t, one token
    assert trace.prompt() == "red cat"
    assert trace.span("cat").tokens == tokens
    layer = trace.layer(1, "cross")
    shares = watch.probabilities(layer.path, 0, layer.heads)[0, :, :, list(tokens)].mean((0, 2))
    shares = shares.reshape(layer.grid).float()
    expected = (resize_maps(shares, (32, 48)) / shares.max()).numpy()
    _, soft = heat_map(handle, pictures(), word="cat", threshold=0)
    np.testing.assert_allclose(soft[0].numpy(), expected, rtol=1e-4)
    image, mask = heat_map(handle, pictures(), word="Cat", threshold=0.9)
    assert image.shape == (1, 32, 48, 3)
    assert np.mean(mask[0].numpy() == (expected >= 0.9)) > 0.99


def test_word_that_is_not_in_the_prompt_is_refused(world):
    model, handle = captured(world)
    world.sample(model, *conds(world))
    with pytest.raises(WordError, match="dog"):
        heat_map(handle, pictures(), word="dog")


def test_negative_prompt_has_its_own_words(world):
    model, handle = captured(world, branches="both")
    world.sample(model, *conds(world))
    assert [span.word for span in trace_of(handle).words(branch="uncond")] == ["bad"]


def test_text_that_is_not_the_conditionings_is_refused(world):
    model, _ = captured(world, text="red dog")
    with pytest.raises(CaptureError, match="text is 'red dog', which is not what the positive conditioning"):
        world.sample(model, *conds(world))
    model, _ = captured(world, negative_text="ugly")
    with pytest.raises(CaptureError, match="negative_text is 'ugly'"):
        world.sample(model, *conds(world))


def test_without_clip_words_are_unknown_and_the_rest_is_not(world):
    model, handle = captured(world, clip=None, text="", negative_text="")
    world.sample(model, *conds(world))
    with pytest.raises(
        WordError, match="no word 'cat': the words of the prompt are unknown: connect clip and text"
    ):
        heat_map(handle, pictures(), word="cat")
    with torch.inference_mode():
        image, mask = NODE_CLASS_MAPPINGS["AttnscopePlace"]().draw(
            handle, latent_of(handle), pictures(), 3, 4
        )
    assert image.shape == (1, 32, 48, 3)
    assert float(mask.max()) <= 1


def test_text_without_clip_is_refused(world):
    with pytest.raises(ParameterError, match="connect clip, or leave text empty"):
        captured(world, clip=None)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a (red) cat", "a red cat"),
        ("a (red:1.4) cat", "a red cat"),
        ("((red:1.2) cat:0.8) 1.2", "red cat 1.2"),
        (r"cat \(toy\) (red:1.1)", "cat (toy) red"),
        ("cat: (12:30:1.1)", "cat: 12:30"),
        ("(a:b) c", "a:b c"),
        ("", ""),
        ("caf\u00e9 (\u00e9t\u00e9:1.1)", "caf\u00e9 \u00e9t\u00e9"),
    ],
)
def test_weights_are_cut_out_as_comfyui_does(text, plain, request):
    assert plain_text(text) == plain
    if comfy_real.FOLDER:
        tokens = request.getfixturevalue("true_comfyui")._tokens
        segments = tokens.token_weights(tokens.escape_important(text), 1.0)
        assert tokens.unescape_important("".join(segment for segment, _ in segments)) == plain


def test_tokens_of_the_true_tokenizer_stand_where_their_text_does(request):
    if not comfy_real.FOLDER:
        pytest.skip("ATTNSCOPE_COMFYUI names no ComfyUI checkout")
    clip = request.getfixturevalue("true_comfyui").clip()
    text = (
        "A (Supercalifragilistic tree:1.2), it's 12 caf\u00e9s \U0001f408 (\u6a39)  \n(fog) "
        + "and more " * 50
    )
    plain, tokens = tokens_of(clip, text)
    assert len(tokens) == 154
    spelled = "".join(token.text for token in tokens if token.role == "text")
    assert [token.role for token in tokens].count("start") == 2
    assert spelled.lower().count("more") == 50
    words = {token.text for token in tokens}
    assert {"tree", "fog", "1", "2"} <= words
    assert all(
        plain[token.start_char : token.end_char] == token.text for token in tokens if token.role == "text"
    )


def test_long_text_has_tokens_in_several_chunks():
    world = StandInWorld()
    text = "red catfish (tail:1.2) moon"
    model, handle = captured(world, text=text)
    world.sample(model, encoded(world, text), encoded(world, NEGATIVE))
    trace = trace_of(handle)
    assert [token.role for token in trace.tokens()].count("start") == 2
    spelled = {span.word: "".join(trace.tokens()[at].text for at in span.tokens) for span in trace.words()}
    assert spelled == {word: word for word in ("red", "catfish", "tail", "moon")}


def test_shorter_text_of_a_batch_has_its_tokens_repeated():
    """ComfyUI repeats the shorter context; the softmax then has each key twice."""
    text = read_text(StandInWorld().clip(), "cat")
    tokens = tokens_for(text, 24)
    assert [token.index for token in tokens if token.text == "ca"] == [1, 13]
    with pytest.raises(CaptureError, match="cross-attention has 16 keys and 'cat' has 12 tokens"):
        tokens_for(text, 16)


def test_prompts_of_other_lengths_that_ran_one_by_one_are_refused():
    world = StandInWorld()
    text = "red catfish tail"
    for branches in ("both", "cond"):
        model, handle = captured(world, text=text, branches=branches)
        world.separate(model)
        given = encoded(world, text), encoded(world, NEGATIVE)
        if branches == "both":
            with pytest.raises(
                CaptureError, match="the prompts have different lengths.*keep the branch cond only"
            ):
                world.sample(model, *given)
        else:
            world.sample(model, *given)
            assert len(trace_of(handle).calls) == 3


def test_bracket_without_partner_and_embedding_are_refused():
    clip = StandInWorld().clip()
    with pytest.raises(WordError, match="brackets without a partner"):
        tokens_of(clip, "a) cat (b")
    coded = clip.tokenize("cat", return_word_ids=True)
    coded["l"][0][1] = (torch.zeros(16), 1.0, 1)
    clip.tokenize = lambda *args, **kwargs: coded
    with pytest.raises(WordError, match="has an embedding, whose vectors are no words"):
        tokens_of(clip, "cat")


def test_other_text_encoders_are_refused(world):
    class T5:
        tokenizer = object()

        def tokenize(self, text: str, return_word_ids: bool = False) -> dict[str, Any]:
            return {"t5xxl": [[(1, 1.0, 0)]]}

    with pytest.raises(WordError, match="text encoders \\['t5xxl'\\]; expected those of SD 1.x"):
        captured(world, clip=T5())
