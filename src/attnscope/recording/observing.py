"""Observing, a plan for the tap: makes a Record of the attentions that one module computed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from attnscope.errors import CaptureError, UnobservedError
from attnscope.recording.tap import Attention
from attnscope.records.qkv import Record


class Observe:
    """Makes a Record each time the module has run. It keeps the model's own tensors; nothing is copied.

    Args:
        module: The attention module.
        name: The layer's name, for messages.
        receive: Called with the Record and with the shape of the module's input.
    """

    def __init__(self, module: Any, name: str, receive: Callable[[Record, tuple[int, ...]], None]) -> None:
        self._module, self._name, self._receive = module, name, receive
        self._seen: list[Attention] = []
        self._input_shape: tuple[int, ...] = ()

    def begin(self, input_shape: tuple[int, ...]) -> None:
        """The module is about to run.

        Args:
            input_shape: Shape of its input.
        """
        self._seen, self._input_shape = [], input_shape

    def see(self, attention: Attention) -> None:
        """The module computes this attention.

        Args:
            attention: What it computes.
        """
        self._seen.append(attention)

    def end(self) -> None:
        """The module has run: hand over its Record.

        Raises:
            UnobservedError: No attention of all rows and heads was seen.
        """
        seen, self._seen = self._seen, []
        rows, heads = self._input_shape[0], int(self._module.heads)
        self._receive(_as_record(seen, rows, heads, self._module, self._name), self._input_shape)


def _as_record(seen: list[Attention], rows: int, heads: int, module: Any, name: str) -> Record:
    whole = _first_whole(seen, rows, heads)
    if whole is None:
        raise UnobservedError(_unobserved(module, name, seen))
    if extra := len(seen) - len(whole):
        warnings.warn(
            f"{name} computed {extra} more attention(s) after the one over its own keys, as an IP-Adapter does; "
            "the first one is recorded",
            stacklevel=2,
        )
    parts = {
        part: _joined([getattr(s, part) for s in whole], rows, heads) for part in ("query", "key", "value")
    }
    if parts["query"] is None or parts["key"] is None:
        raise CaptureError(f"{name}: no query or key was seen")  # never: every Attention has both
    return Record(
        query=parts["query"],
        key=parts["key"],
        value=parts["value"],
        mask=_whole_mask([s.mask for s in whole], rows, heads),
        scale=whole[0].scale,
        upcast=bool(getattr(module, "upcast_attention", False)),
    )


def _first_whole(seen: list[Attention], rows: int, heads: int) -> list[Attention] | None:
    """The first computations, one or several slices, that make up all rows and heads."""
    if seen and seen[0].query.ndim == 4:
        return seen[:1] if tuple(seen[0].query.shape[:2]) == (rows, heads) else None
    total = 0
    for count, part in enumerate(seen, start=1):
        total += part.query.shape[0] if part.query.ndim == 3 else 0
        if total == rows * heads:
            return seen[:count]
    return None


def _joined(parts: list[Tensor | None], rows: int, heads: int) -> Tensor | None:
    """(row, head, position, dim) from one tensor or from slices along row x head."""
    tensors = [part for part in parts if part is not None]
    if len(tensors) != len(parts):
        return None
    whole = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
    return whole if whole.ndim == 4 else whole.reshape(rows, heads, *whole.shape[1:])


def _whole_mask(masks: list[Tensor | None], rows: int, heads: int) -> Tensor | None:
    """A mask that broadcasts to (row, head, query, key)."""
    tensors = [mask for mask in masks if mask is not None]
    if not tensors:
        return None
    mask = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
    if mask.ndim == 3 and mask.shape[0] == rows * heads:
        return mask.reshape(rows, heads, *mask.shape[1:])
    return mask.reshape([1] * (4 - mask.ndim) + list(mask.shape))


def _unobserved(module: Any, name: str, seen: list[Attention]) -> str:
    processor = type(module.processor).__name__
    saw = "neither scaled_dot_product_attention nor get_attention_scores was called"
    if seen:
        saw = f"it computed attention of shape {tuple(seen[0].query.shape)}, not one per batch row and head"
    remedy = "pipe.unet.set_attn_processor(diffusers.models.attention_processor.AttnProcessor2_0())"
    if "xformers" in processor.lower():
        remedy = "pipe.disable_xformers_memory_efficient_attention()"
    return (
        f"{name} can't be observed: with its processor {processor} {saw}. Before the capture, call {remedy}"
    )
