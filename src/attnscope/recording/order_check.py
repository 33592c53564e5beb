"""A check at capture: are the queries and keys of an attention in the order in which the module makes them?

A processor may swap the rows of the batch, heads or places before the attention, and swap the result back. What was
seen would then be read as another row, head or place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attnscope.recording.watching import Hook
from attnscope.records.qkv import Record

_PLACES, _SEARCHED = 4, 8
_ATOL = {torch.float16: 1e-2, torch.bfloat16: 6e-2}
"""Rounding in each type, relative to the largest number; 1e-4 for the others."""


class OrderCheck:
    """Keeps a few places of what `to_q` and `to_k` make while a module runs."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._made: dict[str, list[tuple[torch.Size, Tensor]]] = {}

    def attach(self, module: Any) -> None:
        """The module is about to run.

        Args:
            module: The attention module.
        """
        self.detach()
        self._made = {"to_q": [], "to_k": []}
        for name, made in self._made.items():
            maker = getattr(module, name, None)
            if isinstance(maker, nn.Module):
                self._handles.append(maker.register_forward_hook(Hook(_keeper(made))))

    def detach(self) -> None:
        """The module has run."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def reordered(self, record: Record) -> str | None:
        """What of a record is in another order: 'queries', 'keys', or None.

        Numbers that a processor changed, as norms do, say nothing.

        Args:
            record: What the module computed.
        """
        if self._is_moved("to_q", record.query, across_rows=True):
            return "queries"
        # keys of another row are how frames and styles are shared
        return "keys" if self._is_moved("to_k", record.key, across_rows=False) else None

    def _is_moved(self, name: str, used: Tensor, *, across_rows: bool) -> bool:
        made = self._made.get(name, [])
        rows, heads, places, dim = used.shape
        if len(made) != 1 or made[0][0] != (rows, places, heads * dim) or used.is_meta:
            return False
        expected = made[0][1].unflatten(-1, (heads, dim)).transpose(1, 2).to(used).float()
        atol = _ATOL.get(used.dtype, 1e-4) * max(1.0, float(expected.abs().amax()))
        is_own = ((used[:, :, _spread(places)].float() - expected).abs() <= atol).all(-1)
        elsewhere = (~is_own).nonzero()
        elsewhere = elsewhere[:: max(1, len(elsewhere) // _SEARCHED)]
        for row, head, place in elsewhere.tolist():
            searched = used if across_rows else used[row]
            if ((searched.float() - expected[row, head, place]).abs() <= atol).all(-1).any():
                return True
        return False


def _spread(places: int) -> list[int]:
    return sorted({number * (places - 1) // (_PLACES - 1) for number in range(_PLACES)})


def _keeper(made: list[tuple[torch.Size, Tensor]]) -> Any:
    def keep(module: nn.Module, args: tuple, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 3:  # its memory may be written over: a copy
            made.append((output.shape, output.detach()[:, _spread(output.shape[1])]))

    return keep
