"""LoRAs and IP-Adapters on the models of the README's table, beside those of plain Stable Diffusion in options.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import torch
from torch import nn

from compatibility.case import Case
from compatibility.image_adapters import with_adapter
from compatibility.parts import stable_diffusion_xl
from compatibility.transformer_parts import own
from compatibility.zoo_language import QWEN
from compatibility.zoo_stable_diffusion import sized

GROUP = "LoRAs and IP-Adapters of other models"
RANK = 2


class LoraLinear(nn.Linear):
    """A layer and two small matrices beside it, with the layer's own weight in sight, as PEFT's layers are built."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__(base.in_features, base.out_features, base.bias is not None)
        self.load_state_dict(base.state_dict())
        self.down = nn.Linear(base.in_features, RANK, bias=False)
        self.up = nn.Linear(RANK, base.out_features, bias=False)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return super().forward(x) + self.up(self.down(x))


def add_lora(model: nn.Module) -> None:
    """Low-rank layers beside all projections to queries and keys.

    Args:
        model: A denoising model, which is changed.
    """
    torch.manual_seed(0)
    for module in list(model.modules()):
        for name in ("to_q", "to_k", "add_q_proj", "add_k_proj"):
            if isinstance(base := getattr(module, name, None), nn.Linear):
                setattr(module, name, LoraLinear(base).to(base.weight))


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
