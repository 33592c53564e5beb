"""The tap: sees each attention that one module really computes, and hands it to a plan, which may answer it.

While the forward of a tapped module runs, a TorchFunctionMode watches scaled_dot_product_attention, and a watcher on
the instance sees get_attention_scores, which diffusers' older processors call. Where no plan changes the
attention the call goes on untouched. Nothing is replaced, so what is seen has norms, LoRA and tomorrow's processors in
it. A plan decides what is done with it: observation.py makes Records, edits say what becomes of P.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attnscope.probability.changed import Change, changed_attention, changed_probability
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

    def changes(self, attention: Attention) -> Sequence[Change]:
        """What is to become of its P before that is multiplied with V.

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
    """Sees scaled_dot_product_attention, and what is done with the results. A mode is its thread's alone.

    Attributes:
        runs: What each tap of the module does with its attention; the tap that was put on last comes first.
        usage: What becomes of the results.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[Tap, TappedRun] = {}
        self.usage = Usage()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is SDPA:
            attention = from_sdpa(*args, **kwargs)
            changes = self._seen(attention)
            if changes:
                attention.output = changed_attention(attention, changes, lambda: func(*args, **kwargs))
            else:
                attention.output = func(*args, **kwargs)
            self._computed(attention)
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
        self.usage.is_paused = True
        try:
            changes = self._seen(attention)
            probability = original(query, key, mask)
            if changes:
                probability = changed_probability(attention, probability, changes, int(module.heads))
            attention.probability = probability
        finally:
            self.usage.is_paused = False
        self._computed(attention)
        return probability

    def _seen(self, attention: Attention) -> list[Change]:
        """Tell all runs of an attention. Returns what becomes of its P, those of the first edit first."""
        for run in self.runs.values():
            run.see(attention)
        return [change for run in reversed(self.runs.values()) for change in run.changes(attention)]

    def _computed(self, attention: Attention) -> None:
        for run in self.runs.values():
            run.computed(attention)
        self.usage.await_use(attention)


_WATCHES = threading.local()


def _watches() -> dict[int, _Watch]:
    """The watches of this thread's runs, by the id() of the module."""
    if not hasattr(_WATCHES, "of_modules"):
        _WATCHES.of_modules = {}
    return _WATCHES.of_modules


def _put_back(module: int, outer: _Watch | None) -> None:
    """A watch has ended: the one before it goes on."""
    if outer is None:
        del _watches()[module]
    else:
        _watches()[module] = outer


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
        try:
            run.open()
            output = self._run(run, original, *args, **kwargs)
            if self._is_on():
                run.end(output)
        finally:
            run.close()
        return output

    def _run(self, run: TappedRun, original: Callable, *args: Any, **kwargs: Any) -> Any:
        """Run the module under a watch: of its own, or that of another tap."""
        with ExitStack() as leaving:
            outer = _watches().get(id(self.module))
            watch = outer
            if watch is None or self in watch.runs:
                watch = leaving.enter_context(_Watch())
                _watches()[id(self.module)] = watch
                leaving.callback(_put_back, id(self.module), outer)
            watch.runs[self] = run
            leaving.callback(watch.runs.pop, self)
            output = original(*args, **kwargs)
            watch.usage.returned(output)
        return output

    def _begin(self, args: tuple, kwargs: dict) -> TappedRun | None:
        hidden_states = args[0] if args else kwargs["hidden_states"]
        context = args[1] if len(args) > 1 else kwargs.get("encoder_hidden_states")
        return self.plan.begin(hidden_states, context)

    def _scores(self, original: Callable, query: Tensor, key: Tensor, attention_mask: Any = None) -> Tensor:
        watch = _watches().get(id(self.module))
        if watch is None or watch.usage.is_paused or not self._is_on():
            return original(query, key, attention_mask)
        return watch.see_scores(original, self.module, query, key, attention_mask)


def is_attention(module: nn.Module) -> bool:
    """Whether a module is diffusers' Attention, or looks like it: FluxAttention and others have classes of their own.

    Args:
        module: Any module.
    """
    makes_queries = any(hasattr(module, name) for name in (SCORES, "to_q", "to_qkv", "to_qkv_mlp_proj"))
    return makes_queries and hasattr(module, "processor") and hasattr(module, "heads")
