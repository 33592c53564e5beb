"""The tap: sees the Q, K, V, mask and scale that one attention module really used.

While a tapped module runs, a TorchFunctionMode watches scaled_dot_product_attention, and a watcher on
the instance sees get_attention_scores, which diffusers' older processors call. Both let the call go on
untouched. Nothing is copied or replaced, so norms, LoRA and tomorrow's processors are in what is seen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attnscope.errors import CaptureError, UnobservedError
from attnscope.records.qkv import Record

SCORES = "get_attention_scores"


@dataclass
class _Seen:
    """One attention computation: (row, head, query, dim), or (row x head, query, dim) from slices."""

    query: Tensor
    key: Tensor
    value: Tensor | None
    mask: Tensor | None
    scale: float


class _Watch(TorchFunctionMode):
    """Sees scaled_dot_product_attention, and the product that follows get_attention_scores."""

    def __init__(self, seen: list[_Seen]) -> None:
        super().__init__()
        self.seen = seen
        self.probability: Tensor | None = None  # what get_attention_scores gave last

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is nn.functional.scaled_dot_product_attention:
            self.seen.append(_from_sdpa(*args, **kwargs))
        elif func is torch.bmm and self.probability is not None and args and args[0] is self.probability:
            self.seen[-1].value = args[1]
            self.probability = None
        return func(*args, **kwargs)


class Tap:
    """Watches one attention module from attach to detach; gives one Record each time it runs."""

    def __init__(self, module: Any, name: str, receive: Callable[[Record, tuple[int, ...]], None]) -> None:
        self.module, self.name, self.receive = module, name, receive
        self._seen: list[_Seen] = []
        self._mode: _Watch | None = None
        self._input_shape: tuple[int, ...] = ()
        self._handles: list[Any] = []

    def attach(self) -> None:
        self._handles = [
            self.module.register_forward_pre_hook(self._before, with_kwargs=True),
            self.module.register_forward_hook(self._after, with_kwargs=True, always_call=True),
        ]
        original = getattr(self.module, SCORES)

        def watched(query: Tensor, key: Tensor, attention_mask: Tensor | None = None) -> Tensor:
            probability = original(query, key, attention_mask)
            if self._mode is not None:
                self._seen.append(_Seen(query, key, None, attention_mask, float(self.module.scale)))
                self._mode.probability = probability
            return probability

        vars(self.module)[SCORES] = watched

    def detach(self) -> None:
        """Leave the module as it was found, also in the middle of its run (KeyboardInterrupt)."""
        self._close()
        for handle in self._handles:
            handle.remove()
        if self._handles:
            del vars(self.module)[SCORES]
        self._handles = []

    def _before(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        self._seen = []
        self._input_shape = tuple((args[0] if args else kwargs["hidden_states"]).shape)
        self._mode = _Watch(self._seen)
        self._mode.__enter__()

    def _after(self, module: Any, args: tuple, kwargs: dict, output: Any) -> None:
        self._close()
        seen, self._seen = self._seen, []
        if output is None:  # the module raised: its own error goes on
            return
        rows, heads = self._input_shape[0], int(module.heads)
        self.receive(_as_record(seen, rows, heads, module, self.name), self._input_shape)

    def _close(self) -> None:
        if self._mode is not None:
            self._mode.__exit__(None, None, None)
            self._mode = None


def is_attention(module: nn.Module) -> bool:
    """Whether this is diffusers' Attention or something with its face."""
    return hasattr(module, SCORES) and hasattr(module, "processor") and hasattr(module, "heads")


def is_tapped(module: nn.Module) -> bool:
    return SCORES in vars(module)


def _from_sdpa(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
) -> _Seen:
    """The arguments of scaled_dot_product_attention, its defaults written out."""
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = (tensor.repeat_interleave(repeats, dim=-3) for tensor in (key, value))
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    return _Seen(query, key, value, attn_mask, query.shape[-1] ** -0.5 if scale is None else float(scale))


def _as_record(seen: list[_Seen], rows: int, heads: int, module: nn.Module, name: str) -> Record:
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
        raise CaptureError(f"{name}: no query or key was seen")  # can't be: every _Seen has both
    return Record(
        query=parts["query"],
        key=parts["key"],
        value=parts["value"],
        mask=_whole_mask([s.mask for s in whole], rows, heads),
        scale=whole[0].scale,
        upcast=bool(getattr(module, "upcast_attention", False)),
    )


def _first_whole(seen: list[_Seen], rows: int, heads: int) -> list[_Seen] | None:
    """The computations, one or several slices, that together are all rows and heads."""
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


def _unobserved(module: nn.Module, name: str, seen: list[_Seen]) -> str:
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
