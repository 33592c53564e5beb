"""What tests of the nodes for ComfyUI share: texts, recorded models, pictures, and Q and K as hooks see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from integrations.comfyui import NODE_CLASS_MAPPINGS
from integrations.comfyui.images import pictures_of

PACK = Path(__file__).parents[2] / "integrations" / "comfyui"
TEXT, NEGATIVE = "red (cat:1.3)", "bad"


def encoded(world: Any, text: str) -> list[Any]:
    clip = world.clip()
    return [[clip.encode_from_tokens(clip.tokenize(text)), {}]]


def conds(world: Any) -> tuple[Any, Any]:
    return encoded(world, TEXT), encoded(world, NEGATIVE)


def captured(world: Any, model: Any = None, **choices: Any) -> tuple[Any, Any]:
    """A recorded model and its TRACE."""
    texts = {"clip": world.clip(), "text": TEXT, "negative_text": NEGATIVE}
    node = NODE_CLASS_MAPPINGS["AttnscopeCapture"]()
    return node.capture(world.model() if model is None else model, **{**texts, **choices})


def pictures(images: int = 1, size: tuple[int, int] = (32, 48)) -> Tensor:
    return torch.rand(images, *size, 3, generator=torch.Generator().manual_seed(2))


def latent_of(handle: Any) -> dict[str, Tensor]:
    """What KSampler made in the newest run; any where there was none."""
    made = handle._recorder.latent
    return {"samples": torch.zeros(1, 4, 4, 6) if made is None else made}


def trace_of(handle: Any, images: int = 1) -> Any:
    """The trace, with the latent of the newest run."""
    return handle.trace_of(pictures_of(pictures(images)), latent_of(handle))


def heat_map(handle: Any, image: Tensor, **choices: Any) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        return NODE_CLASS_MAPPINGS["AttnscopeHeatMap"]().draw(handle, latent_of(handle), image, **choices)


class Watch:
    """Q and K by way of hooks on to_q and to_k: what the layers give, without the nodes."""

    def __init__(self, model: Any) -> None:
        self.outputs: dict[str, list[Tensor]] = {}
        for path, module in model.model.diffusion_model.named_modules():
            if path.endswith((".to_q", ".to_k")):
                module.register_forward_hook(self._keeper(path))

    def _keeper(self, path: str) -> Any:
        def keep(module: Any, args: Any, output: Tensor) -> None:
            self.outputs.setdefault(path, []).append(output.detach().clone())

        return keep

    def probabilities(self, path: str, call: int, heads: int) -> Tensor:
        """(row, head, query, key) in float64."""
        query, key = (
            self.outputs[f"{path}.{name}"][call].double().unflatten(-1, (heads, -1)).transpose(1, 2)
            for name in ("to_q", "to_k")
        )
        return torch.softmax(query @ key.mT * query.shape[-1] ** -0.5, -1)
