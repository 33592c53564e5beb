"""Texts that encoders read, and names of their tokens; a capture never disturbs the run for their sake."""

import json
import types
import warnings

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.pipelines.deepfloyd_if import IFPipeline
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

import attnscope
from attnscope.errors import ParameterError, WordError
from attnscope.recording.calling.prompts import Prompts
from attnscope.recording.calling.told import Told
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.records import Run
from attnscope.testing.made_traces import made_trace
from attnscope.trace.tokens import tokenize
from attnscope.trace.words import prompt_words
from capture_cases import run
from trace_prompts import t5_like


def words(trace, branch="cond", image=0):
    return {span.word: span.tokens for span in trace.words(image, branch)}


def captured(pipe, seeded, told=None, **asked):
    asked = {"num_inference_steps": 1, "output_type": "latent", "generator": seeded(), **asked}
    with attnscope.capture(pipe, kind="cross", **(told or {})) as trace:
        pipe(**asked)
    return trace


EMBEDS = torch.randn(1, 77, 16, generator=torch.Generator().manual_seed(1))


def test_the_negative_prompts_words_are_told_from_equal_ones_of_the_prompt(pipe, seeded):
    trace = captured(pipe, seeded, prompt="a red cat and star", negative_prompt="grass, star")
    assert words(trace)["star"] == (5,)
    assert words(trace, "uncond") == {"grass": (1,), "star": (3,)}
    maps = [attnscope.heat_map(trace, "star", branch=branch) for branch in ("cond", "uncond")]
    for heat, branch, token in zip(maps, ("cond", "uncond"), (5, 3), strict=True):
        assert (heat.array == attnscope.heat_map(trace, token, branch=branch).array).all()
    assert maps[0] != maps[1]
    at = trace.rows.index(next(row for row in trace.rows if row.branch == "uncond"))
    probs = torch.stack(
        [
            torch.softmax((r.query[at].double() @ r.key[at].double().mT) * r.scale, -1)[..., 3]
            .mean(0)
            .view(16, 16)
            for r in (trace.record(block=layer.block, kind="cross") for layer in trace.layers)
            if r.query.shape[2] == 256
        ]
    )
    blocks = [layer.block for layer in trace.layers if layer.grid.places == 256]
    heat = attnscope.heat_map(trace, "star", branch="uncond", blocks=blocks)
    assert torch.allclose(torch.from_numpy(heat.array).double(), probs.mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (
            {"prompt": ["a cat", "the star"], "negative_prompt": ["red", "a red"]},
            [{"red": (1,)}, {"a": (1,), "red": (2,)}],
        ),
        (
            {"prompt": "a cat", "num_images_per_prompt": 2, "negative_prompt": "red"},
            [{"red": (1,)}, {"red": (1,)}],
        ),
        ({"prompt": "a cat", "negative_prompt": None}, [{}]),
        ({"prompt": "a cat", "negative_prompt": ""}, [{}]),
    ],
)
def test_every_image_has_its_negative_words(pipe, seeded, asked, expected):
    trace = captured(pipe, seeded, **asked)
    assert [words(trace, "uncond", image) for image in range(trace.images)] == expected
    assert trace.span("<end>", branch="uncond").tokens


def test_no_negative_prompt_is_said(pipe, seeded):
    trace = captured(pipe, seeded, prompt="a cat")
    with pytest.raises(WordError, match="negative prompt is empty, so the branch 'uncond' reads no words"):
        attnscope.heat_map(trace, "cat", branch="uncond")
    unguided = captured(pipe, seeded, prompt="a cat", guidance_scale=1.0)
    with pytest.raises(attnscope.errors.SelectionError, match="branch 'uncond': this run has 'cond'"):
        unguided.span("cat", branch="uncond")


def test_words_of_embeddings_are_unknown_until_they_are_told(pipe, seeded):
    given = {"prompt_embeds": EMBEDS, "negative_prompt_embeds": -EMBEDS}
    trace = captured(pipe, seeded, **given)
    for branch, name in (("cond", "prompt"), ("uncond", "negative_prompt")):
        with pytest.raises(
            WordError, match=rf"tell it with {name}=\.\.\., an argument .*; use token numbers, 0 to 76"
        ):
            trace.span("cat", branch=branch)
    told = {"prompt": "a (red:1.3) cat", "negative_prompt": ["the star"]}
    trace = captured(pipe, seeded, told, **given)
    assert trace.span("red").tokens == (3,)
    assert words(trace, "uncond") == {"the": (1,), "star": (2,)}
    half = captured(pipe, seeded, prompt="a cat", negative_prompt_embeds=-EMBEDS)
    assert words(half)["cat"] == (2,)
    with pytest.raises(WordError, match="the negative prompt was not seen"):
        half.span("cat", branch="uncond")


def test_told_texts_that_do_not_fit_are_refused_by_their_cause(pipe, seeded):
    given = {"prompt_embeds": EMBEDS, "negative_prompt_embeds": -EMBEDS}
    longer = torch.cat([EMBEDS, EMBEDS], 1)
    for told, asked, why in (
        ({"prompt": ["a", "the"]}, given, "there are 2 texts for 1 images"),
        ({"prompt": "a cat"}, {"prompt": "a star"}, "the text encoder read other tokens"),
        (
            {"prompt": "a cat"},
            {"prompt_embeds": longer, "negative_prompt_embeds": longer},
            "154 tokens .* in parts",
        ),
        (
            {"prompt": "a cat " * 9},
            {"prompt_embeds": EMBEDS[:, :9], "negative_prompt_embeds": EMBEDS[:, :9]},
            "more tokens than the 9 of its embeddings",
        ),
    ):
        with pytest.warns(IncompleteCaptureWarning, match=why) as caught:
            trace = captured(pipe, seeded, told, **asked)
        assert len(caught) == 1
        with pytest.raises(WordError, match=f"tokens of the prompt .* are unknown, because .*{why}"):
            trace.span("cat")
    with pytest.raises(ParameterError, match="only a pipeline has the tokenizer"):
        attnscope.capture(pipe.unet, prompt="a cat")
    with pytest.raises(ParameterError, match=r"prompt \[3\]: expected a text"):
        attnscope.capture(pipe, prompt=[3])


def test_why_tokens_have_no_names_is_kept_with_the_trace(pipe, seeded, tmp_path):
    with pytest.warns(IncompleteCaptureWarning, match="only numbers"):
        trace = captured(pipe, seeded, {"prompt": "a cat"}, prompt="a star")
    trace.run.second_prompts = ["the star"]
    loaded = attnscope.load_trace(trace.save(tmp_path / "run.trace"))
    assert (loaded.run.unnamed, loaded.run.second_prompts) == (trace.run.unnamed, ["the star"])
    assert loaded.run.negative_tokens == trace.run.negative_tokens


class BrokenTokenizer:
    """Makes the ids that a pipeline needs, and fails at everything else."""

    is_fast = True

    def __init__(self, known):
        self.known, self.model_max_length = known, known.model_max_length

    def __call__(self, *args, **options):
        if "return_offsets_mapping" in options:
            raise RuntimeError("no offsets here\nsecond line")
        return self.known(*args, **options)

    def tokenize(self, text):
        return self.known.tokenize(text)

    @property
    def added_tokens_encoder(self):
        return self.known.added_tokens_encoder


def test_a_tokenizer_that_fails_costs_the_names_and_never_the_run(pipe, seeded, monkeypatch):
    plain = run(pipe, seeded, prompt="a cat")
    monkeypatch.setattr(pipe, "tokenizer", BrokenTokenizer(pipe.tokenizer))
    with (
        pytest.warns(IncompleteCaptureWarning, match="RuntimeError: no offsets here") as caught,
        attnscope.capture(pipe, kind="cross") as trace,
    ):
        assert torch.equal(plain, run(pipe, seeded, prompt="a cat"))
    assert len(caught) == 1
    assert trace.prompt() == "a cat"
    assert attnscope.heat_map(trace, 2).array.shape == (16, 16)


def test_what_is_no_tokenizer_of_transformers_is_said():
    known = named(types.SimpleNamespace(tokenizer=lambda text: [1, 2]), prompt="a cat", negative_prompt="")
    assert known.unnamed == "function does not tell where in a text its tokens stand"


def test_a_tokenizer_without_a_length_is_no_obstacle(pipe, seeded, monkeypatch):
    monkeypatch.setattr(pipe.tokenizer, "model_max_length", int(1e30))
    trace = captured(
        pipe, seeded, {"prompt": "a red cat"}, prompt_embeds=EMBEDS, negative_prompt_embeds=-EMBEDS
    )
    assert words(trace) == {"a": (1,), "red": (2,), "cat": (3,)}
    with pytest.raises(ParameterError, match=r"says no length \(it says 1e\+30\)"):
        tokenize(pipe.tokenizer, "a cat")


def test_text_encoders_are_left_as_they_were(pipe, seeded):
    with pytest.raises(RuntimeError, match="stop"), attnscope.capture(pipe):
        raise RuntimeError("stop")
    captured(pipe, seeded, prompt="a cat")
    assert not pipe.text_encoder._forward_pre_hooks


def named(pipeline, seen=None, **arguments):
    """The run after a pipeline has encoded what `seen` says, with 20 tokens."""
    prompts, known = Prompts(pipeline), Run()
    if seen is not None:
        prompts._note(None, (), {"input_ids": seen})
    prompts.read(known, arguments, images=1, keys=20, negative_keys=20)
    return known


def test_t5_names_its_tokens_without_a_start():
    t5 = t5_like()
    known = named(types.SimpleNamespace(tokenizer=t5), prompt="a red cat", negative_prompt="photo")
    assert known.unnamed is None
    roles = [token.role for token in known.tokens[0]]
    assert "start" not in roles
    assert roles.index("end") < roles.index("padding")
    assert [word.word for word in prompt_words("a red cat", known.tokens[0])] == ["a", "red", "cat"]
    assert known.negative_tokens[0][0].text in "photo"


def test_names_are_those_of_the_text_that_a_pipeline_made_of_the_prompt():
    t5 = t5_like()
    pipeline = types.SimpleNamespace(tokenizer=t5)
    pipeline._text_preprocessing = types.MethodType(IFPipeline._text_preprocessing, pipeline)
    settings = {"padding": "max_length", "max_length": 20, "truncation": True, "return_tensors": "pt"}
    read = t5(pipeline._text_preprocessing("  A RED Cat "), **settings).input_ids
    known = named(pipeline, read, prompt="  A RED Cat ", negative_prompt_embeds=EMBEDS)
    assert (known.unnamed, known.prompts) == (None, ["a red cat"])
    other = t5(["photo of something else"], **settings).input_ids
    assert (
        "read other tokens"
        in named(pipeline, other, prompt="A RED Cat", negative_prompt_embeds=EMBEDS).unnamed
    )


def test_what_is_no_text_is_no_obstacle():
    for prompt in (object(), {"a": 1}, [["a"]], 3):
        known = named(types.SimpleNamespace(tokenizer=None), prompt=prompt, negative_prompt="")
        assert known.unnamed
        assert len(known.tokens[0]) == 20


@pytest.fixture(scope="module")
def xl(_shared_pipe):
    """A tiny SDXL: two text encoders, and no second vocabulary but padding of its own."""
    first = _shared_pipe
    config = first.text_encoder.config.to_dict() | {"projection_dim": 16}
    second = CLIPTextModelWithProjection(CLIPTextConfig(**config)).eval()
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, attention_head_dim=2,
        cross_attention_dim=32, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), addition_embed_type="text_time",
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=16 + 6 * 8,
    )  # fmt: skip
    pipe = StableDiffusionXLPipeline(
        vae=first.vae, text_encoder=first.text_encoder, text_encoder_2=second, tokenizer=first.tokenizer,
        tokenizer_2=first.tokenizer, unet=unet.eval(), scheduler=DDIMScheduler(clip_sample=False),
        force_zeros_for_empty_prompt=True, add_watermarker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_sdxls_words_and_its_zeros_for_no_negative_prompt(xl, seeded):
    trace = captured(xl, seeded, prompt="a red cat", height=128, width=128)
    assert words(trace)["cat"] == (3,)
    with pytest.raises(WordError, match="negative prompt is empty"):
        trace.span("cat", branch="uncond")
    assert words(captured(xl, seeded, prompt="a cat", negative_prompt="the star"), "uncond")["star"] == (2,)


def test_words_of_both_of_sdxls_prompts_are_found_by_the_keys_that_they_share(xl, seeded):
    asked = {"prompt": "a red cat", "prompt_2": "the star on grass", "negative_prompt": "the grass"}
    trace = captured(xl, seeded, **asked, negative_prompt_2="a star")
    assert [span.word for span in trace.words()] == ["a", "red", "cat", "the", "star", "on", "grass"]
    assert (trace.span("cat").tokens, trace.span("star").tokens) == ((3,), (2,))
    assert trace.span("star", branch="uncond").tokens == (2,)
    by_number = attnscope.heat_map(trace, 2).array
    assert np.array_equal(attnscope.heat_map(trace, "star").array, by_number)
    with pytest.raises(WordError, match="no word 'dog'"):
        trace.span("dog")


def test_words_of_a_second_prompt_without_tokens_are_refused_with_a_remedy_that_works(xl, seeded):
    asked = {"prompt": "a red cat", "prompt_2": "the star on grass"}
    trace = captured(xl, seeded, **asked)
    trace.run.second_tokens = []
    with pytest.raises(
        WordError, match="stands in the second one, 'the star on grass', whose tokens are unknown"
    ):
        trace.span("star")
    assert captured(xl, seeded, {"prompt": asked["prompt_2"]}, **asked).span("star").tokens == (2,)


def test_the_refiners_only_tokenizer_is_its_second(xl, seeded, monkeypatch):
    only = StableDiffusionXLPipeline(**{**xl.components, "tokenizer": None, "text_encoder": None})
    prompts = Prompts(only)
    prompts.attach(lambda: True)
    try:
        only.text_encoder_2(
            only.tokenizer_2("a capybara", padding="max_length", return_tensors="pt").input_ids
        )
        known = Run()
        prompts.read(known, {"prompt": "a capybara"}, images=1, keys=77, negative_keys=None)
    finally:
        prompts.detach()
    assert known.unnamed is None
    (_, capybara) = prompt_words("a capybara", known.tokens[0])
    assert "".join(known.tokens[0][at].text for at in capybara.tokens) == "capybara"


def test_a_compiled_text_encoder_is_left_alone(pipe, monkeypatch):
    monkeypatch.setattr(pipe.text_encoder, "_compiled_call_impl", pipe.text_encoder._call_impl)
    prompts = Prompts(pipe, Told())
    prompts.attach(lambda: True)
    assert not pipe.text_encoder._forward_pre_hooks
    prompts.detach()


def test_no_warning_where_everything_is_named(pipe, seeded):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        captured(pipe, seeded, prompt="café 猫 👍🏽 cat's " * 20, negative_prompt="a cat")


@pytest.mark.parametrize(
    "change",
    [
        {"negative_tokens": "x"},
        {"negative_tokens": [[{"index": 1, "text": "a", "start_char": 0, "end_char": 1, "role": "text"}]]},
        {"negative_tokens": [[None] * 70_000]},
        {"second_prompts": 3},
        {"unnamed": ["x"]},
        {"unnamed": 3},
    ],
)
def test_texts_of_a_broken_trace_are_refused(tmp_path, change):
    folder = made_trace().save(tmp_path / "run.trace")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["passes"][0]["run"] |= change
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(attnscope.errors.TraceFormatError):
        attnscope.load_trace(folder)


def test_a_trace_without_the_newer_fields_is_read(tmp_path):
    folder = made_trace().save(tmp_path / "run.trace")
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("negative_tokens", "second_prompts", "unnamed"):
        del manifest["passes"][0]["run"][name]
    del manifest["digest"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    old = attnscope.load_trace(folder)
    assert old.span("cat").tokens == (2, 3)
    with pytest.raises(WordError, match="the tokens of the negative prompt 'cat' are unknown"):
        old.span("cat", branch="uncond")
