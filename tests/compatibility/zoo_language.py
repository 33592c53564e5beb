"""Transformers that make pictures of texts which a language model read: Flux 2, Qwen-Image, Z-Image and their kin."""

from __future__ import annotations

from typing import Any

import diffusers

from attnscope.testing.transformers import tiny_flux2
from compatibility.case import NEGATIVE, Case
from compatibility.transformer_parts import MASK, PICTURE, other, own
from transformer_cases import ONE

GROUP = "Texts of language models"
WITH_PICTURE = {"image": PICTURE, "strength": 1.0, "negative_prompt": NEGATIVE}
FILLED_IN = {**WITH_PICTURE, "mask_image": MASK}
CONTROL = {"control_image": PICTURE, "negative_prompt": NEGATIVE}
REFERENCE = ("text", "image", "reference")
OF_FLUX2 = {"sides": {".attn": (REFERENCE, REFERENCE)}, "tokens": {"text": 64, "reference": 48}}
QWEN = {"there": (17, 13)}


def picture(name: str, like: str, options: Any, **truth: Any) -> Case:
    """A case of this table."""
    return other(GROUP, name, like, options, **truth)


def _klein(kind: str) -> Any:
    def make(folder: Any, **changes: Any) -> Any:
        return tiny_flux2(folder, kind, **changes)

    return make


def _controlled_qwen(more_channels: int = 0) -> Any:
    def make(pipe: Any) -> dict[str, Any]:
        net = diffusers.QwenImageControlNetModel.from_transformer(
            pipe.transformer, num_layers=1, num_attention_heads=2, attention_head_dim=8,
            extra_condition_channels=more_channels,
        )  # fmt: skip
        return {"controlnet": net.eval()}

    return make


def _controlled_zimage(channels: int) -> Any:
    def make(pipe: Any) -> dict[str, Any]:
        net = diffusers.ZImageControlNetModel(
            control_layers_places=[0, 1], control_refiner_layers_places=[0], control_in_dim=channels, dim=16,
            n_refiner_layers=1, n_heads=2, n_kv_heads=2, add_control_noise_refiner="control_noise_refiner",
        )  # fmt: skip
        return {"controlnet": net.eval()}

    return make


CASES = [
    own(GROUP, "Flux2Pipeline"),
    picture("Flux2Pipeline with a picture", "Flux2Pipeline", {"image": [PICTURE]}, known=OF_FLUX2),
    own(GROUP, "Flux2KleinPipeline"),
    picture(
        "Flux2KleinInpaintPipeline",
        "Flux2KleinPipeline",
        {"image": PICTURE, "mask_image": MASK, "strength": 1.0},
        known=OF_FLUX2,
        make=_klein("Flux2KleinInpaintPipeline"),
    ),
    picture(
        "Flux2KleinKVPipeline",
        "Flux2KleinPipeline",
        {"image": [PICTURE]},
        make=_klein("Flux2KleinKVPipeline"),
        branches=ONE,
    ),
    own(GROUP, "QwenImagePipeline", known=QWEN),
    picture("QwenImageImg2ImgPipeline", "QwenImagePipeline", WITH_PICTURE, known=QWEN),
    picture("QwenImageInpaintPipeline", "QwenImagePipeline", FILLED_IN, known=QWEN),
    picture("QwenImageControlNetPipeline", "QwenImagePipeline", CONTROL, known=QWEN, more=_controlled_qwen()),
    picture(
        "QwenImageControlNetInpaintPipeline",
        "QwenImagePipeline",
        {**CONTROL, "control_mask": MASK},
        known=QWEN,
        more=_controlled_qwen(4),
    ),
    own(GROUP, "ZImagePipeline"),
    picture("ZImageImg2ImgPipeline", "ZImagePipeline", WITH_PICTURE),
    picture("ZImageInpaintPipeline", "ZImagePipeline", FILLED_IN),
    picture("ZImageControlNetPipeline", "ZImagePipeline", CONTROL, more=_controlled_zimage(4)),
    picture(
        "ZImageControlNetInpaintPipeline",
        "ZImagePipeline",
        {**CONTROL, "image": PICTURE, "mask_image": MASK},
        more=_controlled_zimage(9),
    ),
    picture(
        "ZImageOmniPipeline",
        "ZImagePipeline",
        {"negative_prompt": NEGATIVE},
        more=lambda pipe: {"siglip": None, "siglip_processor": None},
    ),
]
