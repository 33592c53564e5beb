"""A check at capture: does a processor keep rows, heads and places where the layer has them, on the way in and out?

A processor may swap the rows of the batch, heads or places before the attention, and swap the result back; or swap the
result alone. What was seen would then be read as another row, head or place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from attnscope.recording.watching import Hook, is_in
from attnscope.records.qkv import Record

_PLACES, _SEARCHED = 4, 8
_ATOL = {torch.float16: 1e-2, torch.bfloat16: 6e-2}
"""Rounding in each type, relative to the largest number; 1e-4 for the others."""


class OrderCheck:
    """Keeps what `to_q`, `to_k` and `to_out` make while a module runs in this thread: of the first two, some places."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._handles: list[Any] = []
        self._made: dict[str, list[Tensor]] = {}
        self._lengths: dict[str, int] = {}

    def attach(self, module: Any) -> None:
        """The module is about to run.

        Args:
            module: The attention module.
        """
        self._made = {"to_q": [], "to_k": [], "out from": [], "out to": []}
        for name in ("to_q", "to_k"):
            maker = getattr(module, name, None)
            if isinstance(maker, nn.Module):
                self._handles.append(maker.register_forward_hook(Hook(self._keeper(name))))
        out = getattr(module, "to_out", None)
        if isinstance(out, nn.ModuleList) and len(out):
            self._handles.append(out[0].register_forward_hook(Hook(self._keep_out)))

    def _keeper(self, name: str) -> Callable[..., None]:
        def keep(module: nn.Module, args: tuple, output: Any) -> None:
            if self._is_seen(output):  # its memory may be written over: a copy
                self._lengths[name] = output.shape[1]
                self._made[name].append(output.detach()[:, _spread(output.shape[1])])

        return keep

    def _keep_out(self, module: nn.Module, args: tuple, output: Any) -> None:
        if args and self._is_seen(output):
            self._lengths["out from"] = args[0].shape[1]  # of a joint attention the image's part
            self._made["out from"].append(args[0].detach()[:, _spread(output.shape[1])])
            self._made["out to"].append(output.detach().clone())

    def _is_seen(self, output: Any) -> bool:
        return is_in(self._thread) and isinstance(output, Tensor) and output.ndim == 3

    def detach(self) -> None:
        """The module has run."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def reordered(self, record: Record, result: Tensor | None, returned: Any) -> str | None:
        """What is in another order than the layer has it: 'queries', 'keys', 'result', or None.

        Numbers that a processor changed, as norms do, say nothing.

        Args:
            record: What the module computed.
            result: softmax(QK^T)V, (row, head, place, dim); None if that is not known.
            returned: What the module returned.
        """
        if self._is_moved(self._made_once("to_q", record.query), record.query):
            return "queries"
        # keys of another row are how frames and styles are shared
        if self._is_moved(self._made_once("to_k", record.key), record.key, across_rows=False):
            return "keys"
        if result is not None and self._is_moved(self._made_once("out from", result), result):
            return "result"
        out = self._made.get("out to", [])
        if len(out) == 1 and isinstance(returned, Tensor):
            whole, found = out[0].unsqueeze(1), _as_sequence(returned)
            if found.shape == out[0].shape and self._is_moved(found[:, _spread(found.shape[1])], whole):
                return "result"
        return None

    def _made_once(self, name: str, used: Tensor) -> Tensor | None:
        """What a module made at a few places, if it ran once and for all places of what was used."""
        made = self._made.get(name, [])
        rows, heads, places, dim = used.shape
        length = self._lengths.get(name, places)
        fits = (
            len(made) == 1 and made[0].shape == (rows, len(_spread(places)), heads * dim) and length == places
        )
        return made[0] if fits else None

    @staticmethod
    def _is_moved(sample: Tensor | None, whole: Tensor, *, across_rows: bool = True) -> bool:
        """Whether vectors of a sample at a few places stand elsewhere in the whole, not where they belong."""
        if sample is None or whole.is_meta:
            return False
        heads, places = whole.shape[1:3]
        sample = sample.detach().unflatten(-1, (heads, -1)).transpose(1, 2).to(whole).float()
        atol = _ATOL.get(whole.dtype, 1e-4) * max(1.0, float(sample.abs().amax()))
        is_own = ((whole[:, :, _spread(places)].float() - sample).abs() <= atol).all(-1)
        elsewhere = (~is_own).nonzero()
        elsewhere = elsewhere[:: max(1, len(elsewhere) // _SEARCHED)]
        for row, head, place in elsewhere.tolist():
            searched = whole if across_rows else whole[row]
            if ((searched.float() - sample[row, head, place]).abs() <= atol).all(-1).any():
                return True
        return False


def _as_sequence(output: Tensor) -> Tensor:
    """(row, place, channel), also from a feature map."""
    return output.flatten(2).mT if output.ndim == 4 else output


def _spread(places: int) -> list[int]:
    return sorted({number * (places - 1) // (_PLACES - 1) for number in range(_PLACES)})
