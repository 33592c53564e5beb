"""Edits written out: processors that materialise P, change it and multiply it with V, as a paper would say it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]
"""From P of a layer, (row, head, query, key), to what is used in its place."""


class Written:
    """A processor of diffusers' Attention, nothing of attnscope in it."""

    def __init__(self, function: Function | None = None) -> None:
        self.function = function

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **ignored):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            made.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for made in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        p = torch.softmax(query.double() @ key.double().mT * attn.scale, -1)
        p = p if self.function is None else self.function(p)
        out = (p.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](out))


def layers_of(pipe, ending):
    """Names of the processors whose path ends so, such as 'attn2.processor'."""
    return {name for name in pipe.unet.attn_processors if name.endswith(ending)}


def written(pipe, function, chosen):
    """Give the layers of some names the function, and all others a plain processor."""
    pipe.unet.set_attn_processor(
        {name: Written(function if name in chosen else None) for name in pipe.unet.attn_processors}
    )
