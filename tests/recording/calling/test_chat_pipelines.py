"""Flux 2, Qwen-Image and Z-Image: texts of different lengths, templates, reference pictures and rows in lists."""

from functools import partial
from types import SimpleNamespace

import diffusers
import numpy as np
import PIL.Image
import pytest
import torch

import attnscope
from attnscope.atlas.families.qwenimage import QWENIMAGE
from attnscope.errors import CaptureError
from attnscope.testing.transformers import tiny_flux2, tiny_flux2_klein, tiny_qwenimage, tiny_zimage
from attnscope.testing.transformers.parts import quiet, tiny_qwen_tokenizer
from transformer_cases import HEIGHT, NEGATIVE, OTHER, PROMPT, WIDTH, seen_attention
from watched_runs import assert_cut, branches, watched, words

pytestmark = pytest.mark.filterwarnings("ignore::attnscope.recording.running.passes.IncompleteCaptureWarning")

SIX = "the grass and a red star"
LONG = (
    "the grass and a star on the grass and the red cat on the grass and the star on a red grass and the cat"
)
ONE, TWO, BOTH = [("cond",)] * 2, [("cond",), ("uncond",)] * 2, [("cond", "uncond")] * 2
PICTURE = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
MASK = PIL.Image.fromarray(
    np.random.default_rng(1).integers(0, 2, (HEIGHT, WIDTH), dtype=np.uint8) * np.uint8(255)
)
PICTURED = {"image": PICTURE, "strength": 1.0}
FLUX2 = {"max_sequence_length": 64, "text_encoder_out_layers": (0, 1)}


def run(pipe, **changes):
    options = {
        "prompt": PROMPT, "height": HEIGHT, "width": WIDTH, "num_inference_steps": 2, "output_type": "np",
        "generator": torch.Generator().manual_seed(0), **changes,
    }  # fmt: skip
    return pipe(**options).images


def another(pipe, kind, **more):
    """A pipeline of another class with the same parts."""
    made = quiet(getattr(diffusers, kind)(**pipe.components, **more))
    if hasattr(pipe, "prompt_template_encode_start_idx"):
        made.prompt_template_encode_start_idx = pipe.prompt_template_encode_start_idx
    return made


# Flux 2


@pytest.mark.parametrize(
    ("images", "parts"),
    [
        ([PICTURE], {"reference": 48}),
        ([PICTURE, PICTURE.resize((64, 64))], {"reference/1": 48, "reference/2": 16}),
    ],
)
@pytest.mark.parametrize(("make", "expected"), [(tiny_flux2, ONE), (tiny_flux2_klein, TWO)])
def test_reference_pictures_are_parts_of_their_own(tmp_path, make, expected, images, parts):
    pipe = make(tmp_path)
    trace = watched(pipe, lambda: run(pipe, image=images, **FLUX2))
    assert branches(trace) == expected
    assert {layer.grid for layer in trace.layers} == {(6, 8)}
    lengths = {"text": 64, "image": 48, **parts}
    if len(parts) == 1:
        assert_cut(trace, lengths)
    layer = trace.layers[0]
    whole = trace.probabilities(layer=layer, branch="cond", image=0, step=0)
    p = trace.probabilities(layer=layer, relation="image->reference", branch="cond", image=0, step=0)
    assert torch.equal(p, whole[:, 64:112, 112 : 112 + sum(parts.values())])
    assert words(trace) == PROMPT.split()


def test_klein_that_fills_in_and_klein_that_is_distilled(tmp_path):
    pipe = tiny_flux2(tmp_path, "Flux2KleinInpaintPipeline")
    trace = watched(pipe, lambda: run(pipe, **PICTURED, mask_image=MASK, **FLUX2))
    assert branches(trace) == TWO
    assert_cut(trace, {"text": 64, "image": 48, "reference": 48})
    distilled = another(pipe, "Flux2KleinPipeline", is_distilled=True)
    assert branches(watched(distilled, lambda: run(distilled, guidance_scale=1.0, **FLUX2))) == ONE


def test_kept_keys_of_reference_pictures_are_refused_and_the_remedy_works(tmp_path):
    pipe = tiny_flux2(tmp_path, "Flux2KleinKVPipeline")
    with pytest.raises(CaptureError, match="kv_cache_mode.*: capture a Flux2KleinPipeline of the same parts"):
        with attnscope.capture(pipe):  # fmt: skip
            run(pipe, image=[PICTURE], **FLUX2)
    klein = another(pipe, "Flux2KleinPipeline")
    assert len(watched(klein, lambda: run(klein, image=[PICTURE], **FLUX2)).layers) == 4


def test_signs_that_the_pipeline_takes_out_of_a_prompt_are_not_read(tmp_path):
    pipe = tiny_flux2(tmp_path)
    trace = watched(pipe, lambda: run(pipe, prompt="a red [IMG]cat", **FLUX2))
    assert (trace.prompt(), words(trace)) == ("a red cat", ["a", "red", "cat"])


# Qwen-Image


def padded(p, there, most, text_at=0):
    """P of a text that is shorter than another's: zeros for the tokens that it lacks."""
    at = torch.tensor([*range(text_at + there), *range(text_at + most, p.shape[-1] + most - there)])
    whole = p.new_zeros(p.shape[0], p.shape[1] + most - there, p.shape[2] + most - there)
    whole[:, at.unsqueeze(1), at] = p
    return whole


@pytest.mark.parametrize("negative", [LONG, NEGATIVE])
def test_texts_of_two_calls_have_places_for_the_longer_one(tmp_path, negative):
    pipe = tiny_qwenimage(tmp_path)
    options = {"negative_prompt": negative}
    with seen_attention(pipe.transformer) as seen:
        plain = run(pipe, **options)
    with attnscope.capture(pipe) as trace:
        made = run(pipe, **options)
    assert np.array_equal(plain, made)
    assert branches(trace) == TWO
    lengths = [len(words(trace, branch)) + 11 for branch in ("cond", "uncond")]
    for layer in trace.layers:
        for number, p in enumerate(seen[layer.path]):
            step, branch = divmod(number, 2)
            expected = padded(p[0], lengths[branch], max(lengths))
            found = trace.probabilities(layer=layer, step=step, branch=("cond", "uncond")[branch], image=0)
            torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)
    assert (words(trace), words(trace, "uncond")) == (PROMPT.split(), negative.split())
    assert [len(trace.tokens(branch=branch)) for branch in ("cond", "uncond")] == [max(lengths)] * 2
    assert_cut(trace, {"text": max(lengths), "image": 48})


def test_prompts_of_one_batch_have_a_mask_for_the_shorter_one(tmp_path):
    pipe = tiny_qwenimage(tmp_path)
    options = {"prompt": [LONG, PROMPT], "negative_prompt": [NEGATIVE, LONG]}
    trace = watched(pipe, lambda: run(pipe, **options))
    assert [trace.prompt(image) for image in range(2)] == [LONG, PROMPT]
    assert trace.span("cat", image=1).tokens == (2,)
    p = trace.probabilities(layer=1, relation="image->text", branch="cond", image=1, step=0)
    assert not p[..., 17:].any()
    assert p[..., :17].any()
    several = watched(pipe, lambda: run(pipe, **options, num_images_per_prompt=2))
    assert [several.prompt(image) for image in range(4)] == [LONG, LONG, PROMPT, PROMPT]


def test_a_prompt_that_is_cut_has_the_words_that_are_left(tmp_path):
    pipe = tiny_qwenimage(tmp_path)
    trace = watched(pipe, lambda: run(pipe, prompt=LONG, max_sequence_length=4))
    assert words(trace) == LONG.split()[:4]
    assert trace.run.unnamed is None


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("QwenImageImg2ImgPipeline", PICTURED),
        ("QwenImageInpaintPipeline", {**PICTURED, "mask_image": MASK}),
    ],
)
def test_qwen_images_pipelines_with_pictures(tmp_path, kind, options):
    pipe = another(tiny_qwenimage(tmp_path), kind)
    trace = watched(pipe, lambda: run(pipe, negative_prompt=SIX, **options))
    assert branches(trace) == TWO
    assert (words(trace), words(trace, "uncond")) == (PROMPT.split(), SIX.split())


def test_layers_of_one_picture_are_refused(tmp_path):
    pipe = tiny_qwenimage(tmp_path, use_layer3d_rope=True)
    with pytest.raises(CaptureError, match="several pictures, the layers of one"), attnscope.capture(pipe):
        run(pipe)


# Z-Image

watched_z = partial(watched, left_out=("context_refiner.0.attention",))


def test_rows_in_lists_have_places_for_the_longest_text(tmp_path):
    pipe = tiny_zimage(tmp_path)
    options = {"negative_prompt": LONG}
    with seen_attention(pipe.transformer) as seen:
        plain = run(pipe, **options)
    with attnscope.capture(pipe) as trace:
        made = run(pipe, **options)
    assert np.array_equal(plain, made)
    assert branches(trace) == BOTH
    for layer in trace.layers.of_kind("joint"):
        for number, truth in enumerate(seen[layer.path]):
            found = trace.probabilities(layer=layer, step=number, image=0)
            expected = truth.clone()
            if (
                layer.block > 1
            ):  # the text of 'cond' ends before the batch does: what stands there asks nothing
                assert not truth[0, :, :, 96:].any()
                expected[0, :, 96:] = 0
            torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)
    assert (words(trace), words(trace, "uncond")) == (PROMPT.split(), LONG.split())


def test_prompts_in_a_list_that_the_pipeline_writes_into_a_template_itself(tmp_path):
    pipe = tiny_zimage(tmp_path)
    trace = watched_z(pipe, lambda: run(pipe, prompt=[PROMPT, OTHER], negative_prompt=[NEGATIVE, PROMPT]))
    assert [trace.prompt(image) for image in (0, 1)] == [PROMPT, OTHER]
    assert [trace.prompt(image, branch="uncond") for image in (0, 1)] == [NEGATIVE, PROMPT]
    assert trace.span("star", image=1).tokens == (10,)


def test_guidance_that_ends_early_and_no_guidance(tmp_path):
    pipe = tiny_zimage(tmp_path)
    trace = watched_z(pipe, lambda: run(pipe, cfg_truncation=0.2, num_inference_steps=3))
    assert branches(trace) == [("cond", "uncond"), ("cond",), ("cond",)]
    assert branches(watched_z(pipe, lambda: run(pipe, guidance_scale=0.0))) == ONE


def test_a_picture_that_needs_nothing_to_fill_it_up(tmp_path):
    pipe = tiny_zimage(tmp_path)
    trace = watched_z(pipe, lambda: run(pipe, height=128, width=128))
    assert {layer.grid for layer in trace.layers} == {(8, 8)}
    p = trace.probabilities(block=1, kind="self", branch="cond", image=0, step=0)
    assert p.shape[-2:] == (64, 64)
    assert attnscope.segment(trace).labels.shape == (128, 128)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ZImageImg2ImgPipeline", PICTURED),
        ("ZImageInpaintPipeline", {**PICTURED, "mask_image": MASK}),
    ],
)
def test_z_images_pipelines_with_pictures(tmp_path, kind, options):
    pipe = another(tiny_zimage(tmp_path), kind)
    trace = watched_z(pipe, lambda: run(pipe, negative_prompt=OTHER, **options))
    assert branches(trace) == BOTH
    assert (words(trace), words(trace, "uncond")) == (PROMPT.split(), OTHER.split())


def test_embeddings_in_lists_have_rows_and_told_words(tmp_path):
    pipe = tiny_zimage(tmp_path)
    encoded, negative = pipe.encode_prompt(PROMPT, negative_prompt=NEGATIVE)
    given = {"prompt": None, "prompt_embeds": encoded, "negative_prompt_embeds": negative}
    trace = watched_z(pipe, lambda: run(pipe, **given))
    assert (branches(trace), words(trace)) == (BOTH, [])
    with attnscope.capture(pipe, prompt=PROMPT, negative_prompt=NEGATIVE) as told:
        run(pipe, **given)
    assert (words(told), words(told, "uncond")) == (PROMPT.split(), NEGATIVE.split())


def test_attention_of_the_text_to_itself_is_left_out_with_its_reason(tmp_path):
    pipe = tiny_zimage(tmp_path)
    with pytest.warns(UserWarning, match="attention of the text to itself, before the image"):
        with attnscope.capture(pipe) as trace:  # fmt: skip
            run(pipe)
    assert [layer.path for layer in trace.layers] == [
        "noise_refiner.0.attention",
        "layers.0.attention",
        "layers.1.attention",
    ]


# Qwen-Image Edit


def test_sizes_of_all_pictures_come_with_the_call(tmp_path):
    model = tiny_qwenimage(tmp_path).transformer
    made = torch.Generator().manual_seed(0)
    arguments = {
        "hidden_states": torch.randn(1, 48 + 16 + 6, 16, generator=made),
        "encoder_hidden_states": torch.randn(1, 5, 32, generator=made),
        "timestep": torch.tensor([0.5]),
        "img_shapes": [[(1, 6, 8), (1, 4, 4), (1, 2, 3)]],
    }
    with seen_attention(model) as seen, torch.no_grad():
        model(**arguments)
    with attnscope.capture(model, branches=("cond",)) as trace, torch.no_grad():
        model(**arguments)
    layer = trace.layers[0]
    assert [tuple(part) for part in layer.parts] == [
        ("context", 5), ("own", 48), ("reference/1", 16), ("reference/2", 6),
    ]  # fmt: skip
    assert layer.grid == (6, 8)
    truth = seen[layer.path][0][0]
    for relation, keys in (("reference", slice(53, 75)), ("reference/2", slice(69, 75))):
        p = trace.probabilities(layer=layer, relation=f"image->{relation}", image=0, step=0, branch="cond")
        torch.testing.assert_close(p.double(), truth[:, 5:53, keys], rtol=0, atol=1e-6)


def test_an_edits_prompt_stands_behind_the_tokens_of_its_picture():
    """The processor repeats the picture's sign for each of its tokens."""
    tokenizer = tiny_qwen_tokenizer()
    front = "<|im_start|>user\n<|vision_start|>"
    pipe = SimpleNamespace(
        tokenizer=tokenizer,
        prompt_template_encode=front + "<|image_pad|><|vision_end|>{}<|im_end|>\n",
        prompt_template_encode_start_idx=6,
    )
    read = tokenizer(front + "<|image_pad|>" * 9 + f"<|vision_end|>{PROMPT}<|im_end|>\n")["input_ids"]
    held = {"prompt_embeds": torch.zeros(1, len(read) - 6, 4)}
    written = QWENIMAGE.texts[0].write(pipe, held, PROMPT, True)
    assert tokenizer(written.text)["input_ids"] == read
    assert written.text[written.start :].startswith(PROMPT)
    assert written.dropped == range(6)
