"""Texts of different lengths in one run, and prompts that are written into others: P, places and words are right."""

import pytest
import torch

import attnscope
from attnscope.errors import WordError
from attnscope.recording.running.passes import IncompleteCaptureWarning
from attnscope.testing.transformers import tiny_cogview4, tiny_lumina2, tiny_sana
from transformer_cases import HEIGHT, OTHER, PROMPT, WIDTH, in_equal_places, seen_attention

pytestmark = pytest.mark.filterwarnings("ignore::attnscope.recording.running.passes.IncompleteCaptureWarning")
LONG = f"{PROMPT} and {PROMPT} and {PROMPT}"  # twenty words
IMAGE = 48
INSTRUCTION = {"system_prompt": "the star on grass", "max_sequence_length": 64}


def run(pipe, prompt=PROMPT, **changes):
    options = {
        "height": HEIGHT, "width": WIDTH, "num_inference_steps": 2, "output_type": "np",
        "generator": torch.Generator().manual_seed(0), **changes,
    }  # fmt: skip
    return pipe(prompt, **options).images


def assert_as_computed(trace, seen, lengths):
    """P of each row of joint layers is what was computed. lengths: of each call of a step, its rows' texts."""
    longest = max(length for call in lengths for length in call)
    parts = {"text": longest, "image": IMAGE}
    for layer in trace.layers.of_kind("joint"):
        assert (layer.queries, layer.keys) == (longest + IMAGE, longest + IMAGE)
        for call, computed in zip(trace.calls, seen[layer.path], strict=True):
            of_rows = zip(call.rows, computed, lengths[call.index % len(lengths)], strict=True)
            for row, of_row, there in of_rows:
                cut = of_row[None, :, : there + IMAGE, : there + IMAGE]
                p = trace.probabilities(layer=layer, step=call.step, branch=row.branch, image=row.image)
                truth = in_equal_places(cut, parts, parts, there)[0]
                torch.testing.assert_close(p.double(), truth, rtol=0, atol=1e-6)


def test_calls_with_a_long_and_a_short_text_have_the_same_places(tmp_path):
    pipe = tiny_cogview4(tmp_path)
    with seen_attention(pipe.transformer) as seen:
        run(pipe, LONG, negative_prompt="the grass")
    with attnscope.capture(pipe) as trace:
        run(pipe, LONG, negative_prompt="the grass")
    assert_as_computed(trace, seen, [(32,), (16,)])
    names = [token.text for token in trace.tokens(branch="uncond")]
    assert names == ["<|endoftext|>"] * 12 + ["[gMASK]", "<sop>", "the", "grass"] + [""] * 16
    assert {token.role for token in trace.tokens(branch="uncond")[16:]} == {"padding"}
    assert trace.span("grass", branch="uncond").tokens == (15,)
    absent = trace.probabilities(
        layer=trace.layers[0].path, relation="text->image", branch="uncond", image=0, step=0
    )[:, 16:]
    assert absent.count_nonzero() == 0
    assert [span.tokens[0] for span in trace.words()] == [*range(12, 32)]


@pytest.mark.parametrize("copies", [1, 2])
def test_rows_of_a_batch_have_texts_of_their_own_length(tmp_path, copies):
    """The masks of several images a prompt lie in another order than the texts: the model reads what they say."""
    pipe = tiny_lumina2(tmp_path)
    options = {**INSTRUCTION, "num_images_per_prompt": copies, "negative_prompt": "the red cat on grass"}
    prompts = ["a red cat", OTHER + " and a red star"]
    with seen_attention(pipe.transformer) as seen:
        run(pipe, prompts, **options)
    with attnscope.capture(pipe) as trace:
        run(pipe, prompts, **options)
    short, long, negative = (len(pipe.tokenizer(text).input_ids) for text in _written(pipe, prompts))
    assert short < long
    assert_as_computed(trace, seen, [(short, long) * copies, (negative,) * 2 * copies])
    assert [trace.prompt(image) for image in range(2 * copies)] == [prompts[0]] * copies + [
        prompts[1]
    ] * copies


def _written(pipe, prompts):
    before = f"{INSTRUCTION['system_prompt']} <Prompt Start> "
    return [*(before + prompt for prompt in prompts), "the red cat on grass"]


def test_words_of_an_instruction_are_not_the_prompts(tmp_path):
    pipe = tiny_lumina2(tmp_path)
    with attnscope.capture(pipe) as trace:
        run(pipe, **INSTRUCTION)
    ids = pipe.tokenizer(_written(pipe, [PROMPT])[0]).input_ids
    assert [span.word for span in trace.words()] == PROMPT.split()
    assert [span.tokens for span in trace.words()] == [(at,) for at in range(len(ids) - 6, len(ids))]
    assert {token.role for token in trace.tokens()[: len(ids) - 6]} == {"start"}
    with pytest.raises(WordError):
        trace.span("grass")


@pytest.mark.parametrize("instruction", [None, ["the red star", "User Prompt: "], ["grass "], "default"])
def test_tokens_of_an_instruction_that_the_model_does_not_get_are_left_out(tmp_path, instruction):
    pipe = tiny_sana(tmp_path)
    options = {} if instruction == "default" else {"complex_human_instruction": instruction}
    with attnscope.capture(pipe) as trace:
        run(
            pipe, use_resolution_binning=False, max_sequence_length=16, negative_prompt="the grass", **options
        )
    assert len(trace.tokens()) == len(trace.tokens(branch="uncond")) == 16
    assert [token.text for token in trace.tokens()[:8]] == ["<bos>", *PROMPT.split(), "<pad>"]
    assert trace.run.unnamed is None
    assert trace.span("grass", branch="uncond").word == "grass"


def test_calls_by_hand_with_texts_of_other_lengths_are_captured_one_by_one(tmp_path):
    pipe = tiny_cogview4(tmp_path)
    sizes = {name: torch.tensor([[64, 64]]) for name in ("original_size", "target_size", "crop_coords")}

    def call(length):
        text = torch.ones(1, length, 32)
        with torch.no_grad():
            pipe.transformer(torch.ones(1, 4, 8, 8), text, torch.tensor([1]), **sizes)

    def both():
        with attnscope.capture(pipe.transformer, branches=("cond",)) as trace:
            call(16)
            call(32)
        return trace

    with pytest.warns(IncompleteCaptureWarning, match="capture such calls one by one"):
        trace = both()
    assert trace.probabilities(layer=0, step=0).shape[-1] == 32
    for length in (16, 32):
        with attnscope.capture(pipe.transformer, branches=("cond",)) as trace:
            call(length)
        assert {layer.keys for layer in trace.layers} == {length + 16}
