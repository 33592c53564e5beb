"""A check at capture: does a processor keep rows, heads and places where the layer has them, on the way in and out?

A processor may swap the rows of the batch, heads or places before the attention, and swap the result back; or swap the
result alone. What was seen would then be read as another row, head or place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnscope.probability.verdicts import Verdicts
from attnscope.recording.tapping.watching import Hook, is_in
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
                self._made[name].append(_at_places(output.detach()).clone())

        return keep

    def _keep_out(self, module: nn.Module, args: tuple, output: Any) -> None:
        if args and self._is_seen(output):
            self._lengths["out from"] = args[0].shape[1]  # of a joint attention the image's part
            self._made["out from"].append(_at_places(args[0].detach()).clone())
            self._made["out to"].append(output.detach().clone())

    def _is_seen(self, output: Any) -> bool:
        return is_in(self._thread) and isinstance(output, Tensor) and output.ndim == 3

    def detach(self) -> None:
        """The module has run."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def check(
        self,
        record: Record,
        result: Tensor | None,
        returned: Any,
        verdicts: Verdicts,
        refuse: Callable[[str], None],
    ) -> None:
        """Have it judged whether something is in another order than the layer has it.

        Numbers that a processor changed, as norms do, say nothing.

        Args:
            record: What the module computed.
            result: softmax(QK^T)V, (row, head, place, dim); None if that is not known.
            returned: What the module returned.
            verdicts: Takes how far vectors are off.
            refuse: Called with what is in another order: 'queries', 'keys' or 'result'.
        """
        compared = [
            _Compared("queries", self._made_once("to_q", record.query), record.query),
            # keys of another row are how frames and styles are shared
            _Compared("keys", self._made_once("to_k", record.key), record.key, across_rows=False),
        ]
        if result is not None:
            compared.append(_Compared("result", self._made_once("out from", result), result))
        out = self._made.get("out to", [])
        if len(out) == 1 and isinstance(returned, Tensor):
            found = _as_sequence(returned)
            if found.shape == out[0].shape:
                compared.append(_Compared("result", _at_places(found), out[0].unsqueeze(1)))
        for each in compared:
            each.check(verdicts, refuse)

    def _made_once(self, name: str, used: Tensor) -> Tensor | None:
        """What a module made at a few places, if it ran once and for all places of what was used."""
        made = self._made.get(name, [])
        rows, heads, places, dim = used.shape
        length = self._lengths.get(name, places)
        fits = (
            len(made) == 1 and made[0].shape == (rows, min(places, _PLACES), heads * dim) and length == places
        )
        return made[0] if fits else None


class _Compared(NamedTuple):
    """Vectors at a few places, and the whole that they are part of, unless something was moved.

    Attributes:
        what: Name of the whole.
        sample: (row, place, head x dim); None if there is nothing to compare.
        whole: (row, head, place, dim).
        across_rows: Whether vectors may have been moved to another row.
    """

    what: str
    sample: Tensor | None
    whole: Tensor
    across_rows: bool = True

    def check(self, verdicts: Verdicts, refuse: Callable[[str], None]) -> None:
        """Have it judged whether vectors are not where they belong but stand elsewhere.

        Args:
            verdicts: Takes how far vectors are off from those at their own places.
            refuse: Called with the whole's name if they are.
        """
        if self.sample is None or self.whole.is_meta:
            return
        whole = self.whole.detach()
        sample = self.sample.detach().unflatten(-1, (whole.shape[1], -1)).transpose(1, 2).to(whole).float()
        apart = whole[:, :, _spread(whole.shape[2])].float() - sample

        def judge(gap: float, size: float) -> None:
            atol = _ATOL.get(whole.dtype, 1e-4) * max(1.0, size)
            if not gap <= atol and self._stand_elsewhere(whole, sample, apart, atol):
                refuse(self.what)

        verdicts.add([numbers.abs().amax() for numbers in (apart, sample)], judge)

    def _stand_elsewhere(self, whole: Tensor, sample: Tensor, apart: Tensor, atol: float) -> bool:
        strays = (~(apart.abs() <= atol).all(-1)).nonzero()
        strays, whole = strays[:: max(1, len(strays) // _SEARCHED)], whole.float()
        found = []
        for row, head, place in strays.tolist():
            gaps = (whole if self.across_rows else whole[row]) - sample[row, head, place]
            found.append((gaps.abs() <= atol).all(-1).any())
        return bool(found) and bool(torch.stack(found).any())


def _at_places(made: Float[Tensor, "row place channel"]) -> Float[Tensor, "row few channel"]:
    return made[:, _spread(made.shape[1])]


def _as_sequence(output: Tensor) -> Tensor:
    """(row, place, channel), also from a feature map."""
    return output.flatten(2).mT if output.ndim == 4 else output


def _spread(places: int) -> slice:
    """A few places from the first on. A list of numbers as an index would be sent to the GPU, and waited for."""
    step = max(1, (places - 1) // (_PLACES - 1))
    return slice(0, _PLACES * step, step)
