"""LoRAs and IP-Adapters on the models of the README's table, beside those of plain Stable Diffusion in options.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers

from compatibility.case import Case
from compatibility.image_adapters import with_adapter
from compatibility.parts import add_lora, stable_diffusion_xl
from compatibility.transformer_parts import own
from compatibility.zoo_language import QWEN
from compatibility.zoo_stable_diffusion import sized

GROUP = "LoRAs and IP-Adapters of other models"


def _xl(name: str, run: Any, change: Callable[[Any], Any]) -> Case:
    def build() -> Any:
        pipe = stable_diffusion_xl(diffusers.StableDiffusionXLPipeline)
        change(pipe)
        return pipe

    return Case(f"SDXL: {name}", GROUP, build, run)


def _lora_on(name: str, pipeline: str, **truth: Any) -> Case:
    return own(GROUP, pipeline, row=f"{name}: LoRA", change=lambda pipe: add_lora(pipe.transformer), **truth)


CASES = [
    _xl("LoRA", sized(), lambda pipe: add_lora(pipe.unet)),
    _xl("IP-Adapter", with_adapter.run, with_adapter.load),
    _lora_on("Stable Diffusion 3", "StableDiffusion3Pipeline"),
    _lora_on("Flux", "FluxPipeline"),
    _lora_on("Flux 2 Klein", "Flux2KleinPipeline"),
    _lora_on("Qwen-Image", "QwenImagePipeline", known=QWEN),
    _lora_on("Z-Image", "ZImagePipeline"),
    _lora_on("Chroma", "ChromaPipeline"),
    _lora_on("PixArt", "PixArtSigmaPipeline"),
    _lora_on("HunyuanDiT", "HunyuanDiTPipeline"),
    _lora_on("AuraFlow", "AuraFlowPipeline"),
]
