"""Qwen-Image's pipelines that edit pictures, fill in and follow a control net, with their own encoder and processor."""

from importlib import import_module

import diffusers
import numpy as np
import PIL.Image
import pytest
import torch
import transformers

import attnscope
from attnscope.testing.transformers import tiny_qwenimage
from attnscope.testing.transformers.parts import QWEN_WORDS, WIDE, quiet
from transformer_cases import HEIGHT, PROMPT, WIDTH
from watched_runs import assert_cut, branches, watched, words

ONE, TWO = [("cond",)] * 2, [("cond",), ("uncond",)] * 2
PICTURE = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
SQUARE = PICTURE.resize((64, 64))
WIDE_ONE = PICTURE.resize((256, 64))
MASK = PIL.Image.fromarray(
    np.random.default_rng(1).integers(0, 2, (HEIGHT, WIDTH), dtype=np.uint8) * np.uint8(255)
)
AGAINST = "the grass and a red star"  # as long as the prompt
GUIDED = {"negative_prompt": AGAINST}


class PictureProcessor(transformers.Qwen2VLProcessor):
    """Qwen's own but for videos, whose part needs torchvision."""

    def __init__(self, image_processor=None, tokenizer=None, **kwargs):
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id, self.video_token_id = tokenizer.convert_tokens_to_ids(self.image_token), -1
        transformers.ProcessorMixin.__init__(self, image_processor, tokenizer)


def encoder(tokenizer):
    numbers = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{sign}|>")
        for name, sign in [
            ("image", "image_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        ]
    }
    text = {
        "vocab_size": QWEN_WORDS, "hidden_size": 2 * WIDE, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
    }  # fmt: skip
    vision = {
        "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 2 * WIDE,
        "window_size": 56, "fullatt_block_indexes": [0],
    }  # fmt: skip
    torch.manual_seed(0)
    config = transformers.Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, **numbers, video_token_id=QWEN_WORDS - 1
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config).eval()


@pytest.fixture
def edit(tmp_path, monkeypatch):
    """Makes a pipeline that edits, whose pictures are as small as the test's."""

    def make(kind):
        parts = tiny_qwenimage(tmp_path).components
        parts["text_encoder"] = encoder(parts["tokenizer"])
        pil = import_module("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
        reader = pil.Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=64 * 28 * 28)
        parts["processor"] = PictureProcessor(reader, parts["tokenizer"])
        pipe = quiet(getattr(diffusers, kind)(**parts))
        front = "".join(pipe.prompt_template_encode.partition("<|im_start|>user\n")[:2])
        pipe.prompt_template_encode_start_idx = len(pipe.tokenizer(front)["input_ids"])
        module = import_module(type(pipe).__module__)
        sized = module.calculate_dimensions
        monkeypatch.setattr(module, "calculate_dimensions", lambda area, ratio: sized(HEIGHT * WIDTH, ratio))
        return pipe

    return make


def run(pipe, **changes):
    options = {
        "prompt": PROMPT, "height": HEIGHT, "width": WIDTH, "num_inference_steps": 2, "output_type": "np",
        "generator": torch.Generator().manual_seed(0), **changes,
    }  # fmt: skip
    return pipe(**options).images


def read_by_the_encoder(pipe, call):
    """The tokens that the text's encoder reads in each of its calls, less those that are cut off."""
    seen = []
    hook = pipe.text_encoder.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    call()
    hook.remove()
    start = pipe.prompt_template_encode_start_idx
    return [pipe.tokenizer.convert_ids_to_tokens(ids[0])[start:] for ids in seen]


EDITS = [
    ("QwenImageEditPipeline", {"image": PICTURE}, {"reference": 48}),
    (
        "QwenImageEditInpaintPipeline",
        {"image": PICTURE, "mask_image": MASK, "strength": 1.0},
        {"reference": 48},
    ),
    ("QwenImageEditPlusPipeline", {"image": PICTURE}, {"reference": 48}),
    ("QwenImageEditPlusPipeline", {"image": [SQUARE, PICTURE]}, {"reference/1": 36, "reference/2": 48}),
    (
        "QwenImageEditPlusPipeline",
        {"image": [WIDE_ONE, PICTURE, SQUARE]},
        {"reference/1": 56, "reference/2": 48, "reference/3": 36},
    ),
]


@pytest.mark.parametrize("guided", [{}, GUIDED])
@pytest.mark.parametrize(("kind", "options", "references"), EDITS)
def test_pictures_that_are_edited_are_parts_and_words_stand_behind_them(
    edit, kind, options, references, guided
):
    pipe = edit(kind)
    read = read_by_the_encoder(pipe, lambda: run(pipe, **options, **guided))
    trace = watched(pipe, lambda: run(pipe, **options, **guided))
    assert branches(trace) == (TWO if guided else ONE)
    assert {layer.grid for layer in trace.layers} == {(6, 8)}
    lengths = {"text": max(map(len, read)), "image": 48, **references}
    assert [(part.name, part.keys) for part in trace.layers[0].parts] == [
        ({"text": "context", "image": "own"}.get(name, name), count) for name, count in lengths.items()
    ]
    if "reference" in references:
        assert_cut(trace, lengths)
    for branch, tokens, text in zip(("cond", "uncond"), read, (PROMPT, AGAINST), strict=False):
        assert words(trace, branch) == text.split()
        named = [token.text for token in trace.tokens(branch=branch)]
        assert [text.strip("\u0120") for text in named] == [text.strip("\u0120") for text in tokens]
        for span in trace.words(branch=branch):
            assert [tokens[at].strip("\u0120") for at in span.tokens] == [span.word]
    assert attnscope.heat_map(trace, "cat").array.shape == trace.run.latent_size_hw


@pytest.mark.parametrize(("kind", "options", "references"), EDITS[::2])
def test_several_pictures_of_a_prompt_have_rows_of_their_own(edit, kind, options, references):
    pipe = edit(kind)
    trace = watched(pipe, lambda: run(pipe, **options, **GUIDED, num_images_per_prompt=2))
    assert branches(trace) == [("cond", "cond"), ("uncond", "uncond")] * 2
    assert [trace.prompt(image) for image in range(2)] == [PROMPT, PROMPT]
    assert trace.span("cat", image=1) == trace.span("cat", image=0)


def test_two_prompts_of_two_pictures_have_their_own_words(edit):
    pipe = edit("QwenImageEditPipeline")
    options = {"prompt": [PROMPT, "a star"], "image": [PICTURE, PICTURE.rotate(180)]}
    plain = run(pipe, **options)
    with attnscope.capture(pipe) as trace:
        made = run(pipe, **options)
    assert np.array_equal(plain, made)
    assert [[span.word for span in trace.words(image)] for image in (0, 1)] == [PROMPT.split(), ["a", "star"]]
    assert trace.span("a", image=1).tokens == trace.span("a", image=0).tokens


@pytest.mark.parametrize("kind", ["QwenImageControlNetPipeline", "QwenImageControlNetInpaintPipeline"])
def test_a_control_net_is_not_the_model(tmp_path, kind):
    base = tiny_qwenimage(tmp_path)
    more = 4 if "Inpaint" in kind else 0
    config = {**base.transformer.config, "num_layers": 1, "extra_condition_channels": more}
    control = diffusers.QwenImageControlNetModel.from_config(config).eval()
    pipe = quiet(getattr(diffusers, kind)(**base.components, controlnet=control))
    pipe.prompt_template_encode_start_idx = base.prompt_template_encode_start_idx
    options = {"control_image": PICTURE, **({"control_mask": MASK} if more else {}), **GUIDED}
    trace = watched(pipe, lambda: run(pipe, **options))
    assert len(trace.layers) == 2
    assert branches(trace) == TWO
    assert_cut(trace, {"text": 17, "image": 48})
    assert (words(trace), words(trace, "uncond")) == (PROMPT.split(), AGAINST.split())
