"""The tap: sees each attention that one module really computes, and hands it to a plan.

While a tapped module runs, a TorchFunctionMode watches scaled_dot_product_attention, and a watcher on
the instance sees get_attention_scores, which diffusers' older processors call. Both let the call go on
untouched. Nothing is replaced, so what is seen has norms, LoRA and tomorrow's processors in it.
A plan decides what is done with it: observing.py makes Records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attnscope.recording.attention import Attention, from_sdpa
from attnscope.recording.usage import Usage
from attnscope.recording.watching import Hook, WatchedMethod, is_watched

SCORES = "get_attention_scores"
SDPA = torch._C._nn.scaled_dot_product_attention
"""The function itself: its name in torch.nn.functional may have been given to another one, which may call it."""


class TapPlan(Protocol):
    """What is done with the attention of one module, each time the module runs."""

    def begin(self, hidden_states: Tensor, context: Any) -> bool:
        """The module is about to run.

        Args:
            hidden_states: Its input.
            context: What it gets to look at, such as the text; None for its own input.

        Returns:
            Whether its attention is to be watched this time.
        """
        ...

    def see(self, attention: Attention) -> None:
        """The module is about to compute this attention.

        Args:
            attention: What it is computed from.
        """
        ...

    def computed(self, attention: Attention) -> None:
        """It has been computed.

        Args:
            attention: The same, with its result. What becomes of that is noted in it later.
        """
        ...

    def end(self, output: Any) -> None:
        """The module has run.

        Args:
            output: What it returned.
        """
        ...

    def abort(self) -> None:
        """The module raised, or the tap is taken off while it runs."""
        ...


class _Watch(TorchFunctionMode):
    """Sees scaled_dot_product_attention, and what is done with the results."""

    def __init__(self, plan: TapPlan) -> None:
        super().__init__()
        self.plan, self.usage = plan, Usage()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is SDPA:
            attention = from_sdpa(*args, **kwargs)
            self.plan.see(attention)
            attention.output = func(*args, **kwargs)
            self.plan.computed(attention)
            self.usage.await_use(attention)
            return attention.output
        self.usage.before(func, args, kwargs)
        result = func(*args, **kwargs)
        self.usage.after(func, args, result)
        return result


class Tap:
    """Watches one attention module, from attach to detach.

    Args:
        module: The module.
        plan: Is told what the module computes.
        is_on: Whether what runs now, in this thread, is to be seen.
    """

    def __init__(self, module: Any, plan: TapPlan, is_on: Callable[[], bool] = lambda: True) -> None:
        self.module, self.plan, self._is_on = module, plan, is_on
        self._mode: _Watch | None = None
        self._handles: list[Any] = []
        self._scores: WatchedMethod | None = None

    def attach(self) -> None:
        """Put the watchers on."""
        self._handles = [
            self.module.register_forward_pre_hook(Hook(self._before), with_kwargs=True),
            self.module.register_forward_hook(  # before other hooks, whose own computations are not the layer's
                Hook(self._after), with_kwargs=True, always_call=True, prepend=True
            ),
        ]
        original = getattr(self.module, SCORES)

        def watched(query: Tensor, key: Tensor, attention_mask: Tensor | None = None) -> Tensor:
            if self._mode is None or not self._is_on():
                return original(query, key, attention_mask)
            attention = Attention(query, key, None, attention_mask, float(self.module.scale))
            self.plan.see(attention)
            usage = self._mode.usage
            usage.is_paused = True
            try:
                attention.probability = original(query, key, attention_mask)
            finally:
                usage.is_paused = False
            self.plan.computed(attention)
            usage.await_use(attention)
            return attention.probability

        self._scores = WatchedMethod(self.module, SCORES, watched)

    def detach(self) -> None:
        """Leave the module as it was found, also in the middle of its run (KeyboardInterrupt)."""
        self._close()
        for handle in self._handles:
            handle.remove()
        if self._scores is not None:
            self._scores.take_off()
        self._handles, self._scores = [], None

    def _before(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        if not self._is_on():
            return
        hidden_states = args[0] if args else kwargs["hidden_states"]
        context = args[1] if len(args) > 1 else kwargs.get("encoder_hidden_states")
        if self.plan.begin(hidden_states, context):
            self._mode = _Watch(self.plan)
            self._mode.__enter__()

    def _after(self, module: Any, args: tuple, kwargs: dict, output: Any) -> None:
        if self._mode is None or not self._is_on():
            return
        if output is None:  # the module raised, and its own error goes on
            self._close()
            return
        self._mode.usage.returned(output)
        self._leave()
        self.plan.end(output)

    def _close(self) -> None:
        if self._mode is not None:
            self._leave()
            self.plan.abort()

    def _leave(self) -> None:
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
    return is_watched(module, SCORES)
