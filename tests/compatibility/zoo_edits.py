"""Edits of pictures by Qwen-Image and LongCat-Image, whose text encoder sees the picture, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

import torch
from transformers import (
    BatchFeature,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessor,
)

from attnscope.testing.transformers.parts import QWEN_WORDS, tiny_qwen_tokenizer
from compatibility.case import NEGATIVE, Case
from compatibility.transformer_parts import DEFAULT, MASK, PICTURE, other
from transformer_cases import HEIGHT, WIDTH

GROUP = "Edits by a text encoder that sees"
SEEN = "<|image_pad|>"
REFERENCE = ("text", "image", "reference")
SIDES = {"sides": {".attn": (REFERENCE, REFERENCE)}}
EDIT = {"image": PICTURE, "negative_prompt": NEGATIVE}


class _Processor:
    """As Qwen 2.5-VL's, which needs torchvision: the sign of a picture is repeated for each of its tokens."""

    def __init__(self) -> None:
        self.tokenizer = tiny_qwen_tokenizer()
        self.image_processor = Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=56 * 56)

    def __call__(self, text: Any, images: Any, **options: Any) -> BatchFeature:
        pictures = self.image_processor(images=images, return_tensors="pt")
        tokens = iter(int(grid.prod()) // 4 for grid in pictures["image_grid_thw"])
        front, *others = text[0].split(SEEN)
        whole = front + "".join(SEEN * next(tokens) + other for other in others)
        return BatchFeature({**self.tokenizer([whole], return_tensors="pt"), **pictures})


def _seeing_encoder() -> Any:
    """Qwen 2.5-VL."""
    ids = tiny_qwen_tokenizer().convert_tokens_to_ids([SEEN, "<|vision_start|>", "<|vision_end|>"])
    text = {
        "vocab_size": QWEN_WORDS, "hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "bos_token_id": 0, "eos_token_id": 0,
        "rope_parameters": {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 10000.0},
    }  # fmt: skip
    vision = {
        "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32,
        "window_size": 56, "fullatt_block_indexes": [0],
    }  # fmt: skip
    names = ("image_token_id", "vision_start_token_id", "vision_end_token_id")
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **dict(zip(names, ids, strict=True)))
    torch.manual_seed(0)
    return Qwen2_5_VLForConditionalGeneration(config).eval()


def _qwen_parts(pipe: Any) -> dict[str, Any]:
    return {"text_encoder": _seeing_encoder(), "processor": _Processor()}


def _longcat_parts(pipe: Any) -> dict[str, Any]:
    return {"text_encoder": _seeing_encoder(), "text_processor": _Processor()}


def _small(module: str) -> Any:
    """Pictures of 96x128 where the pipeline makes some of a megapixel."""
    of_pipeline: Any = import_module(f"diffusers.pipelines.{module}")

    @contextmanager
    def made() -> Iterator[None]:
        original = of_pipeline.calculate_dimensions
        of_pipeline.calculate_dimensions = lambda area, ratio: original(HEIGHT * WIDTH, ratio)
        try:
            yield
        finally:
            of_pipeline.calculate_dimensions = original

    return made


TWO = ("text", "image", "reference/1", "reference/2")
TWICE = {"sides": {".attn": (TWO, TWO)}, "tokens": {"text": 45, "reference/1": 48, "reference/2": 48}}


def edit(name: str, module: str, options: Any, text: tuple[int, int], cat: int, **truth: Any) -> Case:
    """A case of Qwen-Image; `text`: tokens of the prompt and of the negative one, with what stands around them."""
    known = {
        **SIDES, "tokens": {"text": text[0], "reference": 48}, "there": text, "cat": (cat,), **truth.pop("known", {}),
    }  # fmt: skip
    more = {"known": known, "more": _qwen_parts, "around": _small(module), **truth}
    made = other(GROUP, name, "QwenImagePipeline", options, **more)
    return replace(made, build=lambda: _cut(made.build()))


def _cut(pipe: Any) -> Any:
    """The pipeline, with the number of tokens of its instruction, which the text loses again."""
    before = pipe.prompt_template_encode.partition("{}")[0].partition("<|vision_start|>")[0]
    pipe.prompt_template_encode_start_idx = len(pipe.tokenizer(before)["input_ids"])
    return pipe


# '<|vision_start|>', two tokens of the picture and '<|vision_end|>' in front of what the family's own pipeline has
CASES = [
    edit("QwenImageEditPipeline", "qwenimage.pipeline_qwenimage_edit", EDIT, (21, 17), 6),
    edit(
        "QwenImageEditInpaintPipeline",
        "qwenimage.pipeline_qwenimage_edit_inpaint",
        {**EDIT, "mask_image": MASK, "strength": 1.0},
        (21, 17),
        6,
    ),
    edit("QwenImageEditPlusPipeline", "qwenimage.pipeline_qwenimage_edit_plus", EDIT, (31, 27), 16),
    edit(
        "QwenImageEditPlusPipeline with two pictures",
        "qwenimage.pipeline_qwenimage_edit_plus",
        {**EDIT, "image": [PICTURE, PICTURE]},
        (45, 41),
        30,
        known=TWICE,
    ),
    edit(
        "QwenImageLayeredPipeline",
        "qwenimage.pipeline_qwenimage_layered",
        {**EDIT, "height": DEFAULT, "width": DEFAULT},
        (17, 13),
        2,
        changes={"use_layer3d_rope": True, "use_additional_t_cond": True},
    ),
    other(
        GROUP,
        "LongCatImageEditPipeline",
        "LongCatImagePipeline",
        {**EDIT, "height": DEFAULT, "width": DEFAULT, "enable_prompt_rewrite": DEFAULT},
        known={**SIDES, "tokens": {"text": 38, "reference": 48}, "cat": (8,)},
        more=_longcat_parts,
        around=_small("longcat_image.pipeline_longcat_image_edit"),
    ),
]
