"""Edits of transformers: a word's columns and parts of joint attention, against attention written out.

The oracle knows nothing of attnscope: scaled_dot_product_attention is replaced while a module of the model runs.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F

import attnscope
from attnscope import Ablate, Reweight, Temperature
from attnscope.errors import EditError
from transformer_cases import CASES, PROMPT, Case

PICTURES = [case for case in CASES if not case.video_frames]
JOINT = ("sd3", "flux", "chroma", "qwenimage")
VIDEOS = [case for case in CASES if case.video_frames]


@contextmanager
def written_out(model, case: Case, change):
    """Attention of a model whose P is changed by `change(p, queries, keys, call)`, in float64.

    `queries` and `keys` are the names of parts and their places; `call` counts the model's calls.
    """
    running, calls, handles = [], [], []
    handles.append(model.register_forward_pre_hook(lambda *_: calls.append(1) and None))
    for path, module in model.named_modules():
        if hasattr(module, "processor") and hasattr(module, "heads") and _sides(case, path):
            handles.append(module.register_forward_pre_hook(lambda *_, path=path: running.append(path)))
            handles.append(module.register_forward_hook(lambda *_: running.pop() and None))
    original = F.scaled_dot_product_attention

    def attend(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **others):
        if not running:
            return original(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, **others)
        scores = query.double() @ key.double().mT * (scale or query.shape[-1] ** -0.5)
        if attn_mask is not None:
            is_bool = attn_mask.dtype == torch.bool
            scores = scores.masked_fill(~attn_mask, -torch.inf) if is_bool else scores + attn_mask.double()
        p = scores.softmax(-1).nan_to_num(0)
        queries, keys = (_places(case, parts) for parts in case.sides_of(running[-1]))
        change(p, queries, keys, len(calls) - 1)
        return (p @ value.double()).to(value.dtype)

    F.scaled_dot_product_attention = attend
    try:
        yield
    finally:
        F.scaled_dot_product_attention = original
        for handle in handles:
            handle.remove()


def _sides(case, path):
    return any(path.endswith(end) for end in case.sides)


def _places(case, parts):
    """Where each part lies: 'text' is all of the text's parts, which are side by side."""
    at, places = 0, {}
    for name, count in case.lengths(parts).items():
        whole = "text" if name.startswith("text") else name
        start = places[whole].start if whole in places else at
        places[whole] = slice(start, at + count)
        at += count
    return places


def rows_of(case, call, branch):
    branches = case.branches[call % len(case.branches)]
    return [row for row, name in enumerate(branches) if name == branch]


def model_of(pipe):
    return pipe.transformer


def latents(case, pipe, *edits):
    if not edits:
        return torch.as_tensor(case.run(pipe))
    with attnscope.edit(pipe, *edits):
        return torch.as_tensor(case.run(pipe))


@pytest.mark.parametrize("case", PICTURES, ids=str)
def test_a_word_counts_more_for_the_picture(case, tmp_path):
    """Its columns, from places of the picture alone, in the branch that reads the prompt."""

    def change(p, queries, keys, call):
        if "text" in keys and "image" in queries:
            for row in rows_of(case, call, "cond"):
                for token in case.cat:
                    p[row, :, queries["image"], keys["text"].start + token] *= 5

    pipe = case.make(tmp_path)
    plain, made = latents(case, pipe), latents(case, pipe, Reweight("cat", 5.0))
    with written_out(model_of(pipe), case, change):
        expected = latents(case, pipe)
    moved = (expected - plain).abs().max()
    assert (made - expected).abs().max() < 1e-4 + 1e-2 * moved
    assert moved > 1e-5
    assert torch.equal(latents(case, pipe), plain)


@pytest.mark.parametrize(
    "case", [case for case in PICTURES if case.family in ("sd3", "flux", "chroma", "qwenimage")], ids=str
)
def test_parts_of_a_joint_attention_are_taken_away(case, tmp_path):
    """From the picture to itself in one head, and none of the rest."""

    def change(p, queries, keys, call):
        if "text" in keys:  # not in the second attention that some blocks have
            p[:, 1, queries["image"], keys["image"]] = 0

    pipe = case.make(tmp_path)
    made = latents(case, pipe, Ablate(kind="self", head=1))
    with written_out(model_of(pipe), case, change):
        expected = latents(case, pipe)
    assert (made - expected).abs().max() < 1e-4
    assert (made - latents(case, pipe)).abs().max() > 1e-4


@pytest.mark.parametrize("case", PICTURES[:3], ids=str)
def test_a_whole_attention_is_made_softer(case, tmp_path):
    def change(p, queries, keys, call):
        softer = p.pow(0.5)
        p[:] = softer / softer.sum(-1, keepdim=True)

    pipe = case.make(tmp_path)
    made = latents(case, pipe, Temperature(2.0))
    with written_out(model_of(pipe), case, change):
        expected = latents(case, pipe)
    assert (made - expected).abs().max() < 1e-4


@pytest.mark.parametrize("case", PICTURES[:2], ids=str)
def test_a_capture_has_each_relation_as_it_was_used(case, tmp_path):
    pipe = case.make(tmp_path)
    with attnscope.edit(pipe, Reweight("cat", 5.0)), attnscope.capture(pipe) as trace:
        case.run(pipe)
    layer = next(layer for layer in trace.layers if layer.reads_text)
    asked = {"layer": layer.path, "relation": "image->text", "step": 0, "branch": "cond"}
    used, before = (trace.probabilities(**asked, before_edits=yes) for yes in (False, True))
    cat = list(trace.span("cat").tokens)
    torch.testing.assert_close(used[..., cat], 5 * before[..., cat])
    text = {**asked, "relation": "text->text"}
    if case.sides_of(layer.path)[0] != ("image",):
        assert torch.equal(trace.probabilities(**text), trace.probabilities(**text, before_edits=True))
    assert trace.prompt() == PROMPT


@pytest.mark.parametrize("case", VIDEOS[:2], ids=str)
def test_videos_are_refused_by_name(case, tmp_path):
    pipe = case.make(tmp_path)
    with pytest.raises(EditError, match="only attention of pictures can be edited so far"):
        latents(case, pipe, Reweight("cat", 2.0))
