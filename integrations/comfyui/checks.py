"""What of other nodes can't be recorded exactly: found before or while it runs, and refused with its name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from attnscope.errors import CaptureError

PATCHES = {"self": "attn1_patch", "cross": "attn2_patch"}
REPLACEMENTS = {"self": "attn1", "cross": "attn2"}
OVERRIDE = "optimized_attention_override"
COMPILED = "torch.compile"
FIRST_VERSION = "0.3.60"


def check_is_free(options: Mapping[str, Any]) -> None:
    """Refuse a model whose attention another node already overrides.

    Args:
        options: The model's transformer_options.

    Raises:
        CaptureError: It does.
    """
    if (other := options.get(OVERRIDE)) is not None:
        raise CaptureError(
            f"{_name(other)} already stands in for the attention of this model: take out the node that sets it, such "
            "as Patch Sage Attention or another Capture attention"
        )


def check_options(options: Mapping[str, Any], own: Mapping[str, Any], kinds: set[str]) -> None:
    """Refuse what would make the record another attention than the one that it is named after.

    Args:
        options: transformer_options of the call.
        own: The recorder's entries: its override, and its patches by name.
        kinds: Kinds that are kept.

    Raises:
        CaptureError: Another node changes the attention, or the model is compiled.
    """
    if options.get(OVERRIDE) != own[OVERRIDE]:
        raise CaptureError(
            f"{_name(options.get(OVERRIDE))} replaced the recorder: put Capture attention last, right before KSampler"
        )
    if options.get("wrappers", {}).get("apply_model", {}).get(COMPILED):
        raise CaptureError(
            "the model is compiled (torch.compile), which hides its attention: take that node out"
        )
    for kind in sorted(kinds):
        patches = options.get("patches", {}).get(PATCHES[kind], [])
        if foreign := [patch for patch in patches if patch != own[PATCHES[kind]]]:
            raise CaptureError(_changed(kind, _name(foreign[0]), "changes what goes into"))
        if replaced := options.get("patches_replace", {}).get(REPLACEMENTS[kind]):
            raise CaptureError(_changed(kind, _name(next(iter(replaced.values()))), "replaces"))


def _changed(kind: str, name: str, how: str) -> str:
    other = "cross" if kind == "self" else "self"
    return (
        f"{name} {how} {kind}-attention, as IP-Adapter, token merging, HyperTile and perturbed attention do, so its "
        f"keys aren't the usual ones: take that node out, or keep {other}-attention only (kinds: {other})"
    )


def _name(function: Any) -> str:
    if function is None:
        return "no function (an older ComfyUI?)"
    kind = function if hasattr(function, "__qualname__") else type(function)
    return f"{kind.__module__}.{kind.__qualname__}"


def check_version() -> None:
    """Refuse a ComfyUI that can't be asked for its attention. Outside of ComfyUI there is nothing to check.

    Raises:
        CaptureError: It is too old.
    """
    try:
        attention = import_module("comfy.ldm.modules.attention")
    except ImportError:
        return
    if not hasattr(attention, "wrap_attn"):
        raise CaptureError(f"this ComfyUI is too old: expected {FIRST_VERSION} or later; update ComfyUI")
