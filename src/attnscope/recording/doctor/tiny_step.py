"""The smallest call of a model: a U-Net's from its configuration, a transformer's by its pipeline."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

TOKENS = 77
SIDE = 64
"""Pixels of the smallest picture that every pipeline makes."""
STEPS = 2  # Mochi's schedule has none for 1
SIZES = 6
"""Numbers that Stable Diffusion XL is told: original size, crop, target size."""


@torch.no_grad()
def tiny_run(pipe: Any) -> None:
    """A run of a pipeline for its smallest picture. No random number is drawn.

    Args:
        pipe: The pipeline.
    """
    given: dict[str, Any] = {
        "prompt": "a",
        "height": SIDE,
        "width": SIDE,
        "num_frames": 1,
        "num_inference_steps": STEPS,
        "output_type": "latent",
        "use_resolution_binning": False,
        "generator": torch.Generator().manual_seed(0),
    }
    taken = inspect.signature(pipe.__call__).parameters
    pipe(**{name: value for name, value in given.items() if name in taken})


@torch.no_grad()
def tiny_step(model: nn.Module, device: torch.device) -> None:
    """Call a U-Net once, on noise-free nothing. No random number is drawn.

    Args:
        model: The U-Net.
        device: Where it runs.
    """
    config: Mapping[str, Any] = model.config  # type: ignore[assignment]
    dtype: torch.dtype = model.dtype  # type: ignore[assignment]
    side = 2 * 2 ** (len(config["down_block_types"]) - 1)

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(1, *shape, device=device, dtype=dtype)

    given: dict[str, Any] = {
        "sample": zeros(config["in_channels"], side, side),
        "timestep": torch.tensor(1, device=device),
        "encoder_hidden_states": zeros(TOKENS, _width(config)),
        "class_labels": _class_labels(config, zeros),
        "added_cond_kwargs": _added(config, zeros),
    }
    taken = inspect.signature(model.forward).parameters
    model(**{name: value for name, value in given.items() if name in taken and value is not None})


def _width(config: Mapping[str, Any]) -> int:
    width = config.get("encoder_hid_dim") or config.get("cross_attention_dim") or 1
    return int(width if isinstance(width, int) else width[0])


def _class_labels(config: Mapping[str, Any], zeros: Any) -> Tensor | None:
    kind = config.get("class_embed_type")
    if kind is None:
        return zeros().long() if config.get("num_class_embeds") else None
    if kind in ("projection", "simple_projection"):
        return zeros(config["projection_class_embeddings_input_dim"])
    return zeros(config["block_out_channels"][0] * 4) if kind == "identity" else zeros()


def _added(config: Mapping[str, Any], zeros: Any) -> dict[str, Any] | None:
    if config.get("addition_embed_type") != "text_time":
        return None
    sizes = SIZES * config["addition_time_embed_dim"]
    pooled = config["projection_class_embeddings_input_dim"] - sizes
    return {"text_embeds": zeros(pooled), "time_ids": zeros(SIZES)}
