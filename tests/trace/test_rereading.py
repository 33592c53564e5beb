"""A trace read with another text: its keys are those that the model would have made, for every kind of pipeline."""

import copy
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline

import attnscope
from attnscope.errors import ParameterError, SelectionError, WordError
from attnscope.testing.made_traces import made_trace
from attnscope.trace.rereading.fitting import OtherPromptWarning
from compatibility import cases
from compatibility.parts import stable_diffusion_xl, text_encoder
from test_open_heat_maps import true_shares, watched_queries

PROMPT, OTHER = "a red cat", "the star on grass"


def captured(pipe, prompt=PROMPT, steps=2, capture=None, **call):
    pipe.set_progress_bar_config(disable=True)
    noise = torch.Generator().manual_seed(0)
    call = {"num_inference_steps": steps, "output_type": "latent", "generator": noise, **call}
    with attnscope.capture(
        pipe, open_words=True, **({"kind": "cross"} if capture is None else capture)
    ) as trace:
        pipe(prompt, **call)
    return trace


def own_keys_again(trace, pipe, text=None):
    """The largest difference between the run's keys and those of its own prompt read anew, relative to the largest."""
    read = attnscope.reread(trace, text or trace.prompt(), pipe=pipe)
    worst, count = 0.0, len(read.tokens())
    for call in trace.calls:
        for layer in trace.records.projections:
            used, made = (records.get(call.index, layer).key for records in (trace.records, read.records))
            row = next(at for at, row in enumerate(call.rows) if row.branch == "cond")
            gap = (used[row, :, :count] - made[row]).float().abs().max() / used[row].float().abs().max()
            worst = max(worst, float(gap))
    return worst


def test_probabilities_are_those_of_the_text_encoder_and_to_k_in_float64(pipe):
    with watched_queries(pipe) as queries:
        trace = captured(pipe)
    read = attnscope.reread(trace, OTHER, pipe=pipe)
    assert [token.text for token in read.tokens()][1:-1] == ["the", "star", "on", "grass"]
    assert [token.role for token in read.tokens()] == ["start", *["text"] * 4, "end"]
    for block in (1, 7, 16):
        path = trace.layer(block, "cross").path
        for at, branch in enumerate(trace.branches):
            expected = true_shares(pipe, path, queries[path], OTHER, row=at)
            found = read.probabilities(block=block, kind="cross", branch=branch, image=0)
            assert found.shape == expected.shape
            assert (found.double() - expected).abs().max() < 2e-6


def test_the_prompt_itself_has_the_keys_of_the_run_and_is_softmaxed_without_padding(pipe):
    trace = captured(pipe, capture={})
    read = attnscope.reread(trace, PROMPT, pipe=pipe)
    assert own_keys_again(trace, pipe) < 1e-6
    padded = trace.probabilities(block=7, kind="cross", branch="cond", image=0)[..., : len(read.tokens())]
    bare = read.probabilities(block=7, kind="cross", branch="cond", image=0)
    assert torch.allclose(padded / padded.sum(-1, keepdim=True), bare, atol=1e-6)
    assert torch.equal(
        read.probabilities(block=7, kind="self", step=0), trace.probabilities(block=7, kind="self", step=0)
    )


@pytest.mark.parametrize(
    "name",
    [
        "StableDiffusionXLPipeline",
        "SDXL refiner",
        "StableDiffusionUpscalePipeline",
        "StableDiffusionLatentUpscalePipeline",
        "StableDiffusionGLIGENPipeline",
        "AnimateDiffPipeline",
        "IP-Adapter",
        "clip_skip",
        "textual inversion",
        "LoRA layers",
        "fused projections",
        "layerwise casting to float8",
        "accelerate's offloading hooks",
        "attention slicing",
        "a budget of 200 kB",
    ],
)
def test_every_kind_of_run_can_be_read_with_its_own_prompt_again(name):
    case = cases.CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers' own
        pipe = case.build()
        pipe.set_progress_bar_config(disable=True)
        with attnscope.capture(pipe, open_words=True, **case.options) as trace:
            case.run(pipe)
    assert own_keys_again(trace.passes[0], pipe) < 1e-5


def test_a_capture_with_open_words_changes_nothing_and_leaves_nothing(pipe, seeded):
    from capture_cases import leftovers, run

    alone, before = run(pipe, seeded), leftovers(pipe)
    with attnscope.capture(pipe, open_words=True):
        watched = run(pipe, seeded)
    assert torch.equal(alone, watched)
    assert leftovers(pipe) == before


def test_the_second_encoders_clip_skip_is_found_without_being_told():
    pipe = stable_diffusion_xl(StableDiffusionXLPipeline)
    pipe.text_encoder, pipe.text_encoder_2 = (
        text_encoder(projection=is_second, layers=4) for is_second in (False, True)
    )
    for skip in (None, 1, 2):
        trace = captured(pipe, height=64, width=64, clip_skip=skip)
        assert own_keys_again(trace, pipe) < 1e-5


def test_encoders_can_be_given_in_place_of_the_pipeline():
    pipe = stable_diffusion_xl(StableDiffusionXLPipeline)
    trace = captured(pipe, height=64, width=64)
    both = {
        "tokenizer": [pipe.tokenizer, pipe.tokenizer_2],
        "text_encoder": [pipe.text_encoder, pipe.text_encoder_2],
    }
    first = attnscope.reread(trace, OTHER, **both)
    again = attnscope.reread(trace, OTHER, pipe=pipe)
    asked = {"block": 1, "kind": "cross", "step": 0}
    assert torch.equal(first.probabilities(**asked), again.probabilities(**asked))
    with pytest.raises(ParameterError, match="give 16 numbers a token, and the run's layers read 32"):
        attnscope.reread(trace, OTHER, tokenizer=pipe.tokenizer, text_encoder=pipe.text_encoder)
    for given in (
        {},
        {"pipe": pipe, "tokenizer": pipe.tokenizer, "text_encoder": pipe.text_encoder},
        {"tokenizer": 1},
    ):
        with pytest.raises(ParameterError, match="pipe=pipe, or both tokenizer= and text_encoder="):
            attnscope.reread(trace, OTHER, **given)
    with pytest.raises(ParameterError, match="as many of one as of the other"):
        attnscope.reread(trace, OTHER, tokenizer=both["tokenizer"], text_encoder=pipe.text_encoder)


def test_a_lora_that_was_on_is_in_the_keys_and_one_that_came_later_is_not(pipe):
    layer = pipe.unet.get_submodule(next(p for p in dict(pipe.unet.named_modules()) if p.endswith("attn2")))
    plain = layer.to_k

    class WithLora(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.base, self.scale = plain, 0.7
            generator = torch.Generator().manual_seed(1)
            self.down = torch.randn(3, plain.in_features, generator=generator)
            self.up = torch.randn(plain.out_features, 3, generator=generator)

        def forward(self, states):
            return self.base(states) + self.scale * (states @ self.down.mT @ self.up.mT)

    try:
        layer.to_k = WithLora()
        trace = captured(pipe)
        layer.to_k.scale = 5.0
        assert own_keys_again(trace, pipe) < 1e-5
    finally:
        layer.to_k = plain


@pytest.mark.parametrize("is_fused", [True, False])
def test_of_fused_projections_those_that_are_used_are_kept(pipe, is_fused):
    pipe.fuse_qkv_projections(vae=False)  # what it makes stays on the layers when they are parted again
    if not is_fused:
        pipe.unfuse_qkv_projections(vae=False)
    layers = [module for name, module in pipe.unet.named_modules() if name.endswith("attn2")]
    assert all(hasattr(layer, "to_kv") for layer in layers)
    unused = [layer.to_k if is_fused else layer.to_kv for layer in layers]
    kept = [project.weight.detach().clone() for project in unused]
    try:
        with torch.no_grad():
            for project in unused:
                project.weight.mul_(3)
        assert own_keys_again(captured(pipe), pipe) < 1e-5
    finally:
        with torch.no_grad():
            for project, was in zip(unused, kept, strict=True):
                project.weight.copy_(was)
        if is_fused:
            pipe.unfuse_qkv_projections(vae=False)


def test_weights_that_change_in_place_afterwards_do_not_change_the_trace(pipe):
    trace = captured(pipe)
    before = attnscope.reread(trace, OTHER, pipe=pipe).probabilities(block=1, kind="cross", step=0)
    changed = [module.to_k.weight for name, module in pipe.unet.named_modules() if name.endswith("attn2")]
    kept = [weight.detach().clone() for weight in changed]
    try:
        with torch.no_grad():
            for weight in changed:
                weight.mul_(3)
        after = attnscope.reread(trace, OTHER, pipe=pipe).probabilities(block=1, kind="cross", step=0)
        assert torch.equal(before, after)
    finally:
        with torch.no_grad():
            for weight, was in zip(changed, kept, strict=True):
                weight.copy_(was)


def test_another_text_encoder_is_refused_and_the_runs_own_helps(pipe):
    trace = captured(pipe)
    with pytest.raises(ParameterError, match="makes other states than the run read"):
        attnscope.reread(trace, OTHER, tokenizer=pipe.tokenizer, text_encoder=text_encoder())
    assert attnscope.reread(trace, OTHER, pipe=pipe).prompt() == OTHER


def test_a_prompt_with_weights_is_read_with_a_warning(pipe):
    embeds, negative = pipe.encode_prompt(PROMPT, "cpu", 1, True)
    weighted = embeds.clone()
    weighted[:, 3] *= 1.5
    with attnscope.capture(pipe, kind="cross", open_words=True, prompt=PROMPT) as trace:
        pipe(
            prompt_embeds=weighted,
            negative_prompt_embeds=negative,
            num_inference_steps=1,
            output_type="latent",
        )
    with pytest.warns(OtherPromptWarning, match="right for embeddings with weights"):
        read = attnscope.reread(trace, OTHER, pipe=pipe)
    expected = attnscope.reread(captured(pipe), OTHER, pipe=pipe)
    layer = read.layer(1, "cross").id
    assert torch.equal(read.records.get(0, layer).key, expected.records.get(0, layer).key)


def test_long_and_empty_texts_are_refused_and_77_tokens_are_read(pipe):
    trace = captured(pipe, steps=1)
    full = attnscope.reread(trace, "cat " * 75, pipe=pipe)
    assert len(full.tokens()) == 77
    assert {token.role for token in full.tokens()} == {"start", "text", "end"}
    with pytest.raises(
        WordError, match=r"has 78 tokens with start and end; the text encoder reads 77: shorten it"
    ):
        attnscope.reread(trace, "cat " * 76, pipe=pipe)
    for empty in ("", "  "):
        with pytest.raises(WordError, match="the text is empty"):
            attnscope.reread(trace, empty, pipe=pipe)


def test_a_name_of_several_vectors_is_one_word(pipe):
    pipe.tokenizer, kept = copy.deepcopy(pipe.tokenizer), pipe.tokenizer
    embeddings = pipe.text_encoder.get_input_embeddings()
    before = embeddings.weight.data
    try:
        pipe.tokenizer.add_tokens(["<toy>", "<toy>_1"])
        pipe.text_encoder.resize_token_embeddings(len(pipe.tokenizer))
        trace = captured(pipe, "a red cat", steps=1)
        for text in ("a <toy> cat", "a <toy> <toy>_1 cat"):
            read = attnscope.reread(trace, text, pipe=pipe)
            assert read.prompt() == "a <toy> <toy>_1 cat"
            assert read.span("<toy>").tokens == (2, 3)
    finally:
        pipe.text_encoder.resize_token_embeddings(len(before))
        pipe.text_encoder.get_input_embeddings().weight.data = before
        pipe.tokenizer = kept


def test_a_trace_without_projections_says_how_to_get_them(pipe):
    with pytest.raises(SelectionError, match=r"capture\(pipe, open_words=True\)"):
        attnscope.reread(made_trace(), OTHER, pipe=pipe)


def test_a_run_that_has_not_begun_says_so(pipe):
    with attnscope.capture(pipe, kind="cross", open_words=True) as trace:
        with pytest.raises(SelectionError, match="when the pipeline has run"):
            attnscope.reread(trace, OTHER, pipe=pipe)
        pipe(PROMPT, num_inference_steps=1, output_type="latent")
        assert attnscope.reread(trace, OTHER, pipe=pipe).prompt() == OTHER


def test_masks_by_place_are_refused(pipe):
    trace = captured(pipe, steps=1)
    layer = trace.layer(1, "cross")
    whole = trace.records.get(0, layer.id)
    mask = torch.ones(1, 1, layer.queries, layer.keys, dtype=torch.bool)
    trace.records.place._records[0, layer.id] = replace(whole, mask=mask)
    with pytest.raises(SelectionError, match="which places see which tokens"):
        attnscope.reread(trace, OTHER, pipe=pipe).probabilities(block=1, kind="cross")
    trace.records.place._records[0, layer.id] = replace(
        whole, mask=mask[:, :, :1]
    )  # of tokens alone, as padding's
    assert attnscope.reread(trace, OTHER, pipe=pipe).probabilities(block=1, kind="cross").shape[-1] == 6


@pytest.mark.parametrize(
    "how", ["memory", "folder", "budget", "budget and folder", "saved", "pickled", "copied"]
)
def test_projections_are_kept_wherever_records_are(pipe, tmp_path, how):
    places = {
        "folder": {"folder": tmp_path / "run.trace"},
        "budget": {"budget": "2.2 MB"},
        "budget and folder": {"folder": tmp_path / "run.trace", "budget": "2.2 MB"},
    }
    trace = captured(pipe, capture=places.get(how, {}))
    expected = attnscope.reread(captured(pipe, capture={}), OTHER, pipe=pipe)
    if how == "saved":
        trace = attnscope.load_trace(trace.save(tmp_path / "run.trace"))
    elif how in places and "folder" in how:
        trace = attnscope.load_trace(tmp_path / "run.trace")
    elif how == "pickled":
        trace = pickle.loads(pickle.dumps(trace))
    elif how == "copied":
        trace = copy.deepcopy(trace)
    read = attnscope.reread(trace, OTHER, pipe=pipe)
    for block in (1, 16):
        asked = {"block": block, "kind": "cross", "step": 1}
        assert torch.equal(read.probabilities(**asked), expected.probabilities(**asked))


def test_what_is_read_anew_can_be_saved(pipe, tmp_path):
    read = attnscope.reread(captured(pipe), OTHER, pipe=pipe)
    again = attnscope.load_trace(read.save(tmp_path / "star.trace"))
    assert again.prompt() == OTHER
    assert np.array_equal(attnscope.heat_map(again, "star").array, attnscope.heat_map(read, "star").array)


def test_every_pass_has_its_own(pipe):
    with attnscope.capture(pipe, kind="cross", open_words=True) as trace:
        for prompt in (PROMPT, "the star"):
            pipe(prompt, num_inference_steps=1, output_type="latent")
    assert len(trace.passes) == 2
    for of_pass in trace.passes:
        assert own_keys_again(of_pass, pipe) < 1e-6
