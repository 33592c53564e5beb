"""The attention modules of a U-Net: which there are, in execution order, and whose places they look at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import nn

from attnscope.atlas import execution_order
from attnscope.errors import CaptureError, ModelError, SelectionError
from attnscope.recording.tap import is_attention
from attnscope.records import KINDS, Kind, LayerId, Stage
from attnscope.trace.selection import pick_number


class TappedLayer(NamedTuple):
    """One attention module with its place in the U-Net."""

    layer: LayerId
    stage: Stage
    path: str
    module: nn.Module


def unet_of(model: Any) -> nn.Module:
    unet = model if isinstance(model, nn.Module) else getattr(model, "unet", None)
    if unet is None:
        raise ModelError(
            f"{type(model).__name__} has no U-Net: expected a diffusers pipeline with one (Stable Diffusion v1, "
            "v2, XL, ...) or a U-Net"
        )
    if any(
        hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) is not None for m in unet.modules()
    ):
        raise CaptureError(
            "the U-Net or a part of it is compiled, so its attention can't be watched: capture the original "
            "(`pipe.unet = pipe.unet._orig_mod`, or a pipeline that was not compiled)"
        )
    return unet


def choose_layers(unet: nn.Module, blocks: Any, kind: Kind | None) -> list[TappedLayer]:
    modules = {path: module for path, module in unet.named_modules() if is_attention(module)}
    if not modules:
        raise ModelError(
            f"{type(unet).__name__} has no attention layer that attnscope knows (diffusers' Attention)"
        )
    if kind is not None and kind not in KINDS:
        raise SelectionError(f"kind {kind!r}: expected 'self' or 'cross', or None for both")
    places = execution_order(modules)
    numbers = sorted({place.block for place in places})
    wanted = {numbers[at] for at in pick_number("block", blocks, numbers).positions}
    chosen = []
    for place in places:
        module = modules[place.path]
        own: Kind = "cross" if getattr(module, "is_cross_attention", False) else "self"
        if place.block in wanted and kind in (None, own):
            chosen.append(TappedLayer(LayerId(place.block, own), place.stage, place.path, module))
    if len({one.layer for one in chosen}) < len(chosen):
        raise ModelError(
            "a block of this U-Net has two attentions of one kind (double self-attention): not supported"
        )
    return chosen


def parent_path(path: str) -> str:
    """The module whose input is the picture that an attention's queries are the places of."""
    return path.split(".transformer_blocks.")[0]


def spatial_parents(unet: nn.Module, paths: Iterable[str]) -> dict[str, nn.Module]:
    return {parent_path(path): unet.get_submodule(parent_path(path)) for path in paths}
