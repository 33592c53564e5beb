"""Attention processors as people write them, in the shape of diffusers' own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def heads(attn: Any, tensor: Tensor) -> Tensor:
    """(row, head, position, dim)."""
    return tensor.unflatten(-1, (attn.heads, -1)).transpose(1, 2)


class HandWritten:
    """Attention in the shape of diffusers' own processors. Children change what they need to."""

    def __call__(
        self, attn: Any, x: Tensor, encoder_hidden_states: Any = None, attention_mask: Any = None, **more: Any
    ) -> Tensor:
        source = x if encoder_hidden_states is None else encoder_hidden_states
        key, value = self.keys(attn, attn.to_k(source), attn.to_v(source), encoder_hidden_states is None)
        out = self.attend(attn, heads(attn, attn.to_q(x)), heads(attn, key), heads(attn, value))
        return attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))

    def keys(self, attn: Any, key: Tensor, value: Tensor, own: bool) -> tuple[Tensor, Tensor]:
        return key, value

    def attend(self, attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value)


class Overwrites(HandWritten):
    """The query's memory is used again for something else."""

    def attend(self, attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query = query.contiguous()
        out = F.scaled_dot_product_attention(query, key, value)
        query.copy_(out)
        return out


class OverwritesKeys(HandWritten):
    """The key's memory is used again for something else."""

    def attend(self, attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        key = key.contiguous()
        out = F.scaled_dot_product_attention(query, key, value)
        key.zero_()
        return out


class SharesFirstRow(HandWritten):
    """Every row also sees the first row's keys, as in StyleAligned and reference-only."""

    def keys(self, attn: Any, key: Tensor, value: Tensor, own: bool) -> tuple[Tensor, Tensor]:
        if not own:
            return key, value
        return tuple(torch.cat([t, t[:1].expand_as(t)], dim=1) for t in (key, value))


class SeesFirstRowAlone(HandWritten):
    """Every row sees the first row's keys in place of its own, as in cross-frame attention."""

    def keys(self, attn: Any, key: Tensor, value: Tensor, own: bool) -> tuple[Tensor, Tensor]:
        return (key[:1].expand_as(key), value[:1].expand_as(value)) if own else (key, value)


class ByScores(HandWritten):
    """Scores by get_attention_scores, then a product."""

    def attend(self, attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        flat = [tensor.flatten(0, 1) for tensor in (query, key, value)]
        p = self.edited(attn.get_attention_scores(flat[0], flat[1], None))
        return self.product(p, flat[2]).unflatten(0, query.shape[:2])

    def edited(self, p: Tensor) -> Tensor:
        return p

    def product(self, p: Tensor, value: Tensor) -> Tensor:
        return torch.bmm(p, value)


class EditsInPlace(ByScores):
    """P is edited where it lies, as prompt-to-prompt does."""

    def edited(self, p: Tensor) -> Tensor:
        p[..., 3] *= 5
        return p


class EditsACopy(ByScores):
    """An edited copy of P is used."""

    def edited(self, p: Tensor) -> Tensor:
        return p * torch.linspace(0.5, 1.5, p.shape[-1])


class ByMatmul(ByScores):
    """The product is `@`."""

    def product(self, p: Tensor, value: Tensor) -> Tensor:
        return p @ value


class Rehearses(HandWritten):
    """Computes something else first, then the real attention."""

    def attend(self, attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        F.scaled_dot_product_attention(query.flip(-2), key * 0.5, value)
        return F.scaled_dot_product_attention(query, key, value)


class InTwoParts(HandWritten):
    """Two calls over halves of the keys, whose results are averaged."""

    def attend(self, attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        half = key.shape[-2] // 2
        parts = (slice(None, half), slice(half, None))
        return sum(F.scaled_dot_product_attention(query, key[..., p, :], value[..., p, :]) for p in parts) / 2


class InChunks(HandWritten):
    """Queries in two chunks, as memory-saving processors do."""

    def attend(self, attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        parts = [F.scaled_dot_product_attention(part, key, value) for part in query.chunk(2, dim=-2)]
        return torch.cat(parts, dim=-2)


class ByHand(HandWritten):
    """Softmax and products in plain torch."""

    def attend(self, attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return (query @ key.transpose(-1, -2) * attn.scale).softmax(-1) @ value


class Colder(HandWritten):
    """A scale of its own."""

    def attend(self, attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, scale=attn.scale * 3)


class Masked(HandWritten):
    """A mask of its own: the first key is not looked at."""

    def attend(self, attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        allowed = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool)
        allowed[:, 0] = False
        return F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
