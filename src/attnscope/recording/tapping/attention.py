"""One attention computation, as a tap sees it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Attention:
    """One attention computation.

    Attributes:
        query: (row, head, query, dim), or (row x head, query, dim) from slices.
        key: Likewise.
        value: Likewise, None until the product that uses it.
        mask: As the model gave it, None without one.
        scale: Factor before the softmax.
        output: What scaled_dot_product_attention gave; None for the other way.
        probability: What get_attention_scores gave; None for the other way.
        result: softmax(QK^T)V as it was given, a copy; None where it is not wanted.
        wants_result: Whether it is.
        used: Whether something was computed from its result.
        edited: Whether the probability was changed between the softmax and its use, by others than an edit.
        wants_after: Whether P after the edits is wanted.
        after: That, (row, head, query, key); None without edits, and where it is not wanted.
        edits: The edits that change it, as text.
    """

    query: Tensor
    key: Tensor
    value: Tensor | None
    mask: Tensor | None
    scale: float
    output: Tensor | None = None
    probability: Tensor | None = None
    result: Tensor | None = None
    wants_result: bool = False
    used: bool = False
    edited: bool = False
    wants_after: bool = False
    after: Tensor | None = None
    edits: tuple[str, ...] = ()

    def keep(self, *, with_graph: bool = False) -> None:
        """Copy Q, K and the mask: their memory may be written over as soon as they have been used.

        Args:
            with_graph: Leave Q and K in autograd's graph, which does not let anybody write over them.
        """
        if with_graph:
            self.mask = None if self.mask is None else _once(self.mask).clone()
            return
        with ordinary_tensors():
            self.query, self.key = self.query.detach().clone(), self.key.detach().clone()
            self.mask = None if self.mask is None else _once(self.mask.detach()).clone()

    def keep_result(self, result: Tensor) -> None:
        """Copy what the attention gave, if that is wanted.

        Args:
            result: softmax(QK^T)V.
        """
        if self.wants_result:
            self.result = result.detach().clone()


def ordinary_tensors() -> AbstractContextManager[object]:
    """What is made inside of detached tensors can be used everywhere, also if the model runs in inference mode."""
    return torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext()


def from_sdpa(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
) -> Attention:
    """The arguments of scaled_dot_product_attention, its defaults written out.

    Args:
        query: As there, and so on.
        key: As there.
        value: As there.
        attn_mask: As there.
        dropout_p: As there; without effect on what is recorded.
        is_causal: As there.
        scale: As there.
        enable_gqa: As there.
    """
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = (tensor.repeat_interleave(repeats, dim=-3) for tensor in (key, value))
    if not query.shape[:-2] == key.shape[:-2] == value.shape[:-2]:
        leading = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
        query, key, value = (tensor.expand(*leading, *tensor.shape[-2:]) for tensor in (query, key, value))
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    return Attention(query, key, value, attn_mask, query.shape[-1] ** -0.5 if scale is None else float(scale))


def _once(mask: Tensor) -> Tensor:
    """A mask without what `expand` repeats; its keys stay."""
    repeated = (stride == 0 and axis < mask.ndim - 1 for axis, stride in enumerate(mask.stride()))
    return mask[tuple(slice(0, 1) if is_repeated else slice(None) for is_repeated in repeated)]
