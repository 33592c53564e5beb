"""The tap: sees each attention that one module really computes, and hands it to a plan.

While a tapped module runs, a TorchFunctionMode watches scaled_dot_product_attention, and a watcher on
the instance sees get_attention_scores, which diffusers' older processors call. Both let the call go on
untouched. Nothing is copied or replaced, so what is seen has norms, LoRA and tomorrow's processors in it.
A plan decides what is done with it: observing.py makes a Record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

SCORES = "get_attention_scores"


@dataclass
class Attention:
    """One attention computation.

    Attributes:
        query: (row, head, query, dim), or (row x head, query, dim) from slices.
        key: Likewise.
        value: Likewise, None until the product that uses it.
        mask: As the model gave it, None without one.
        scale: Factor before the softmax.
    """

    query: Tensor
    key: Tensor
    value: Tensor | None
    mask: Tensor | None
    scale: float


class TapPlan(Protocol):
    """What is done with the attention of one module, each time the module runs."""

    def begin(self, input_shape: tuple[int, ...]) -> None:
        """The module is about to run.

        Args:
            input_shape: Shape of its input.
        """
        ...

    def see(self, attention: Attention) -> None:
        """The module computes this attention.

        Args:
            attention: What it computes. Its `value` may come a moment later, with the product that uses it.
        """
        ...

    def end(self) -> None:
        """The module has run. Not called if it raised."""
        ...


class _Watch(TorchFunctionMode):
    """Sees scaled_dot_product_attention, and the product that follows get_attention_scores."""

    def __init__(self, plan: TapPlan) -> None:
        super().__init__()
        self.plan = plan
        self.scores: tuple[Tensor, Attention] | None = None  # the last result of get_attention_scores

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is nn.functional.scaled_dot_product_attention:
            self.plan.see(_from_sdpa(*args, **kwargs))
        elif func is torch.bmm and self.scores is not None and args and args[0] is self.scores[0]:
            self.scores[1].value = args[1]
            self.scores = None
        return func(*args, **kwargs)


class Tap:
    """Watches one attention module, from attach to detach.

    Args:
        module: The module.
        plan: Is told what the module computes.
    """

    def __init__(self, module: Any, plan: TapPlan) -> None:
        self.module, self.plan = module, plan
        self._mode: _Watch | None = None
        self._handles: list[Any] = []

    def attach(self) -> None:
        """Put the watchers on."""
        self._handles = [
            self.module.register_forward_pre_hook(self._before, with_kwargs=True),
            self.module.register_forward_hook(self._after, with_kwargs=True, always_call=True),
        ]
        original = getattr(self.module, SCORES)

        def watched(query: Tensor, key: Tensor, attention_mask: Tensor | None = None) -> Tensor:
            probability = original(query, key, attention_mask)
            if self._mode is not None:
                attention = Attention(query, key, None, attention_mask, float(self.module.scale))
                self._mode.scores = (probability, attention)
                self.plan.see(attention)
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
        self.plan.begin(tuple((args[0] if args else kwargs["hidden_states"]).shape))
        self._mode = _Watch(self.plan)
        self._mode.__enter__()

    def _after(self, module: Any, args: tuple, kwargs: dict, output: Any) -> None:
        self._close()
        if output is not None:  # None: the module raised, and its own error goes on
            self.plan.end()

    def _close(self) -> None:
        if self._mode is not None:
            self._mode.__exit__(None, None, None)
            self._mode = None


def is_attention(module: nn.Module) -> bool:
    """Whether a module is diffusers' Attention, or looks like it.

    Args:
        module: Any module.
    """
    return hasattr(module, SCORES) and hasattr(module, "processor") and hasattr(module, "heads")


def is_tapped(module: nn.Module) -> bool:
    """Whether a tap is on a module.

    Args:
        module: An attention module.
    """
    return SCORES in vars(module)


def _from_sdpa(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
) -> Attention:
    """The arguments of scaled_dot_product_attention, its defaults written out."""
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = (tensor.repeat_interleave(repeats, dim=-3) for tensor in (key, value))
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    return Attention(query, key, value, attn_mask, query.shape[-1] ** -0.5 if scale is None else float(scale))
