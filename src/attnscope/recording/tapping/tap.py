"""The tap: sees each attention that one module really computes, and hands it to a plan.

While the forward of a tapped module runs, a TorchFunctionMode watches scaled_dot_product_attention, and a watcher on
the instance sees get_attention_scores, which diffusers' older processors call. All let the call go on
untouched. Nothing is replaced, so what is seen has norms, LoRA and tomorrow's processors in it.
A plan decides what is done with it: observation.py makes Records.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attnscope.recording.tapping.attention import Attention, from_sdpa
from attnscope.recording.tapping.usage import Usage
from attnscope.recording.tapping.watching import WatchedMethod

SCORES = "get_attention_scores"
SDPA = torch._C._nn.scaled_dot_product_attention
"""The function itself: its name in torch.nn.functional may have been given to another one, which may call it."""


class TapPlan(Protocol):
    """What is done with the attention of one module."""

    def begin(self, hidden_states: Tensor, context: Any) -> TappedRun | None:
        """The module is about to run.

        Args:
            hidden_states: Its input.
            context: What it gets to look at, such as the text; None for its own input.

        Returns:
            Is told what the module computes in this run; None if its attention is not to be watched this time.
        """
        ...


class TappedRun(Protocol):
    """What is done with the attention of one run of a module."""

    def open(self) -> None:
        """The module is about to run."""
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

    def close(self) -> None:
        """The module has run or has raised: nothing more is to be seen."""
        ...


class _Watch(TorchFunctionMode):
    """Sees scaled_dot_product_attention, and what is done with the results. A mode is its thread's alone."""

    def __init__(self, run: TappedRun) -> None:
        super().__init__()
        self.run, self.usage = run, Usage()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is SDPA:
            attention = from_sdpa(*args, **kwargs)
            self.run.see(attention)
            attention.output = func(*args, **kwargs)
            self.run.computed(attention)
            self.usage.await_use(attention)
            return attention.output
        if self.usage.is_idle:
            return func(*args, **kwargs)
        self.usage.before(func, args, kwargs)
        result = func(*args, **kwargs)
        self.usage.after(func, args, result)
        return result

    def see_scores(self, original: Callable, module: Any, query: Tensor, key: Tensor, mask: Any) -> Tensor:
        """See one call of get_attention_scores.

        Args:
            original: The method.
            module: The attention module.
            query: As the method gets it.
            key: As the method gets it.
            mask: As the method gets it.
        """
        attention = Attention(query, key, None, mask, float(module.scale))
        self.run.see(attention)
        self.usage.is_paused = True
        try:
            attention.probability = original(query, key, mask)
        finally:
            self.usage.is_paused = False
        self.run.computed(attention)
        self.usage.await_use(attention)
        return attention.probability


class Tap:
    """Watches one attention module, from attach to detach.

    A run of the module is watched by its own thread, inside the module's `forward`: whatever ends the run, also
    KeyboardInterrupt in a worker's thread, ends the watch there. What other threads compute passes by.

    Args:
        module: The module.
        plan: Is told when the module runs.
        is_on: Whether what runs now, in this thread, is to be seen.
    """

    def __init__(self, module: Any, plan: TapPlan, is_on: Callable[[], bool] = lambda: True) -> None:
        self.module, self.plan, self._is_on = module, plan, is_on
        self._watched: list[WatchedMethod] = []
        self._watches = threading.local()

    def attach(self) -> None:
        """Put the watchers on."""
        for name, call in (("forward", self._forward), (SCORES, self._scores)):
            if hasattr(self.module, name):  # newer attentions have no method for the scores
                self._watched.append(WatchedMethod(self.module, name, call))

    def detach(self) -> None:
        """Leave the module as it was found, also while it runs: a thread that is in it ends its own watch."""
        while self._watched:
            self._watched.pop().take_off()

    def _forward(self, original: Callable, *args: Any, **kwargs: Any) -> Any:
        run = self._begin(args, kwargs) if self._is_on() else None
        if run is None:
            return original(*args, **kwargs)
        outer = self._watch
        try:
            run.open()
            with _Watch(run) as self._watches.now:
                output = original(*args, **kwargs)
                self._watches.now.usage.returned(output)
            if self._is_on():
                run.end(output)
        finally:
            self._watches.now = outer
            run.close()
        return output

    def _begin(self, args: tuple, kwargs: dict) -> TappedRun | None:
        hidden_states = args[0] if args else kwargs["hidden_states"]
        context = args[1] if len(args) > 1 else kwargs.get("encoder_hidden_states")
        return self.plan.begin(hidden_states, context)

    @property
    def _watch(self) -> _Watch | None:
        """The watch of this thread's run of the module."""
        return getattr(self._watches, "now", None)

    def _scores(self, original: Callable, query: Tensor, key: Tensor, attention_mask: Any = None) -> Tensor:
        if self._watch is None or not self._is_on():
            return original(query, key, attention_mask)
        return self._watch.see_scores(original, self.module, query, key, attention_mask)


def is_attention(module: nn.Module) -> bool:
    """Whether a module is diffusers' Attention, or looks like it: FluxAttention and others have classes of their own.

    Args:
        module: Any module.
    """
    makes_queries = any(hasattr(module, name) for name in (SCORES, "to_q", "to_qkv", "to_qkv_mlp_proj"))
    return makes_queries and hasattr(module, "processor") and hasattr(module, "heads")
