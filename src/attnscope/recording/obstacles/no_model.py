"""What was given instead of a model that can be captured."""

from __future__ import annotations

import os
from typing import Any

from torch import nn

from attnscope.atlas.families import FAMILIES
from attnscope.recording.obstacles.obstacle import Obstacle

SEEN = (
    "a U-Net of PyTorch, such as those of Stable Diffusion v1, v2 and XL, or a transformer that it knows, such as "
    "those of Stable Diffusion 3 and Flux"
)
COMPONENTS = tuple(dict.fromkeys(family.component for family in reversed(FAMILIES)))
"""Attributes of pipelines that hold a denoising model."""
OTHER_MODELS = (*COMPONENTS, "transformer_2", "transformer_3", "dit", "denoiser", "prior", "decoder")
"""The same with those of pipelines whose models attnscope does not support."""
RUNTIMES = {
    "onnx": "ONNX Runtime",
    "optimum.onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "optimum.intel": "OpenVINO",
    "tensorrt": "TensorRT",
    "polygraphy": "TensorRT",
    "coreml": "Core ML",
    "neuron": "AWS Neuron",
    "jax": "JAX",
    "flax": "JAX",
}
"""Words in a class' modules, and the runtime that such a class belongs to."""


def no_model(given: Any) -> Obstacle:
    """Why there is nothing to capture.

    Args:
        given: What the user gave.
    """
    name = type(given).__name__
    if isinstance(given, (str, os.PathLike)):
        return Obstacle(
            f"{os.fspath(given)!r} is a name, not a pipeline",
            f"load it first, `pipe = attnscope.load_pipeline({os.fspath(given)!r})`",
        )
    if isinstance(given, type):
        return Obstacle(
            f"{given.__name__} is a class", f"make a pipeline of it, {given.__name__}.from_pretrained(...)"
        )
    holders = [component for component in COMPONENTS if hasattr(given, component)]
    for component in holders:
        held = getattr(given, component)
        if held is not None and not isinstance(held, nn.Module):
            return _foreign(name, held, component, getattr(given, "name_or_path", None))
    if (found := _other_model(given)) is not None:
        attribute, model = found
        return Obstacle(
            f"{name} denoises with pipe.{attribute}, {_one(model)}, which attnscope does not support yet",
            f"it sees {SEEN}",
        )
    if holders:
        return Obstacle(
            f"{name} has no denoising model, pipe.{holders[0]} is None",
            f"give a pipeline that was loaded with its {holders[0]}",
        )
    return Obstacle(
        f"{name} has no denoising model", f"expected a diffusers pipeline with {SEEN}, or that model itself"
    )


def _foreign(name: str, held: Any, component: str, source: Any) -> Obstacle:
    """A model that is no module of PyTorch."""
    kind = type(held)
    modules = " ".join(each.__module__.lower() for each in kind.__mro__) + f" {kind.__name__.lower()}"
    runtime = next((RUNTIMES[word] for word in RUNTIMES if word in modules), None)
    where = f"runs in {runtime}" if runtime else "is not run by PyTorch's modules"
    return Obstacle(
        f"pipe.{component} of this {name} is a {kind.__module__}.{kind.__name__}, not a torch.nn.Module: "
        f"its attention {where}, where nothing can be watched",
        f"capture the PyTorch pipeline, `pipe = attnscope.load_pipeline({source or 'MODEL'!r})`"
        + ("" if source else " with the model's name or folder"),
    )


def _other_model(given: Any) -> tuple[str, nn.Module] | None:
    for attribute in OTHER_MODELS:
        if isinstance(model := getattr(given, attribute, None), nn.Module):
            return attribute, model
    return None


def no_unet(model: nn.Module) -> Obstacle | None:
    """Whether a model that no other family takes has attention, but not that of a U-Net.

    Args:
        model: Any module.
    """
    stages = ("down_blocks", "mid_block", "up_blocks")
    paths = [path for path, module in model.named_modules() if _is_attention_like(module)]
    if not paths or any(part in stages for path in paths for part in path.split(".")):
        return None
    return Obstacle(
        f"{_one(model)} is neither a U-Net, as its attention ({paths[0]}, ...) lies outside down_blocks, "
        "mid_block and up_blocks, nor a transformer that attnscope supports",
        f"it sees {SEEN}",
    )


def _one(model: nn.Module) -> str:
    name = type(model).__name__
    return f"{'an' if name[0] in 'AEIO' else 'a'} {name}"


def _is_attention_like(module: nn.Module) -> bool:
    return type(module).__name__.endswith(("Attention", "Attn"))
