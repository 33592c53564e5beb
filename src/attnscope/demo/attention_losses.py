"""Teach attention to mean something: each map is pulled towards a distribution that the scene's masks give.

Both losses have one form, KL(target || attention). Self-attention: a query's target spreads evenly over its
segment, so that rows of one segment become alike and rows of different segments part (what DiffSeg
measures). All segments are looked at equally often, small ones and the sky. Cross-attention: a
word's map, normalised over places, should spread evenly over the word's mask. Without them, attention stays
nearly uniform in a training as short as ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from jaxtyping import Float, Int
from torch import Tensor

QUERIES = 48
"""Self-attention rows looked at in each layer and step."""
SHARPNESS = 4
"""Power that raises a place's largest part over its others, for the targets of self-attention.

With 1, a place on a contour belongs to both sides: on coarse grids most places do, and even attention that
meets its targets exactly is merged too much at DiffSeg's published thresholds.
"""
TEMPERATURE = 2.0
"""Divides the logits of self-attention where they are held to their targets; the network works with them undivided.

KL is least where attention is as even as the network is unsure. That is too even for DiffSeg's published
thresholds.
"""
FLOOR = 1e-6
"""Least probability in a logarithm."""


class SelfRows(NamedTuple):
    """Some queries of one self-attention layer.

    Attributes:
        places: Where they lie, as flat numbers.
        probability: Their attention, mean over heads.
    """

    places: Int[Tensor, "batch row"]
    probability: Float[Tensor, "batch row key"]


@dataclass
class Tape:
    """Head-mean attention of one forward pass, with gradients.

    Attributes:
        parts: Share of each part in each latent cell, 0..1.
        self_rows: One entry for each self-attention layer.
        cross: One entry for each cross-attention layer.
    """

    parts: Float[Tensor, "batch part h w"]
    self_rows: list[SelfRows] = field(default_factory=list)
    cross: list[Float[Tensor, "batch query token"]] = field(default_factory=list)

    def member(self, places: int) -> Float[Tensor, "batch place part"]:
        """What each place of a layer shows. Its largest part takes most of it.

        Args:
            places: How many places the layer has.
        """
        raised = _at_scale(self.parts, places) ** SHARPNESS
        return raised / raised.sum(2, keepdim=True).clamp(min=FLOOR)

    @torch.no_grad()
    def drawn(self, places: int) -> Int[Tensor, "batch row"]:
        """Queries of a layer. Every segment is drawn equally often; one smaller than a place, by its share of one.

        Args:
            places: How many places the layer has.
        """
        member = self.member(places)
        area = member.sum(1, keepdim=True)
        return torch.multinomial((member / area.clamp(min=1.0)).sum(2), QUERIES, replacement=True)


class TapingProcessor:
    """Computes attention as diffusers does, and puts head means on the tape.

    Args:
        tape: The tape.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def __call__(
        self,
        attn: Attention,
        hidden_states: Float[Tensor, "batch query channel"],
        encoder_hidden_states: Float[Tensor, "batch token width"] | None = None,
        attention_mask: Tensor | None = None,
    ) -> Float[Tensor, "batch query channel"]:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            layer(source).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer, source in ((attn.to_q, hidden_states), (attn.to_k, context), (attn.to_v, context))
        )
        if encoder_hidden_states is None:
            places = self.tape.drawn(query.shape[2])
            rows = torch.take_along_dim(query, places[:, None, :, None], dim=2)
            self.tape.self_rows.append(
                SelfRows(places, _probability(rows, key, attn.scale / TEMPERATURE).mean(1))
            )
            mixed = F.scaled_dot_product_attention(query, key, value, scale=attn.scale)
        else:
            probability = _probability(query, key, attn.scale)
            self.tape.cross.append(probability.mean(1))
            mixed = probability @ value
        return attn.to_out[0](mixed.transpose(1, 2).flatten(2))


def _probability(query: Tensor, key: Tensor, scale: float) -> Tensor:
    return ((query * scale) @ key.transpose(-1, -2)).softmax(-1)


@contextmanager
def taping(unet: UNet2DConditionModel, parts: Float[Tensor, "batch part h w"]) -> Iterator[Tape]:
    """Record every pass of the U-Net inside the block; its processors are put back afterwards.

    Args:
        unet: The U-Net.
        parts: Share of each part in each latent cell, 0..1.

    Yields:
        The tape.
    """
    tape, before = Tape(parts), unet.attn_processors
    unet.set_attn_processor(TapingProcessor(tape))
    try:
        yield tape
    finally:
        unet.set_attn_processor(before)


@torch.no_grad()
def sharpen(unet: UNet2DConditionModel, factor: float) -> None:
    """Multiply the logits of all self-attention: of weights that were trained at another temperature.

    Args:
        unet: The U-Net; its queries are changed in place.
        factor: More than 1 makes attention sharper.
    """
    for module in unet.modules():
        if isinstance(module, Attention) and not module.is_cross_attention:
            module.to_q.weight.mul_(factor)


def self_loss(tape: Tape, weight: Float[Tensor, batch]) -> Tensor:
    """Mean KL, in nats, of the taped rows from their segments.

    Args:
        tape: From `taping`.
        weight: Weight of each scene in the batch.
    """
    losses = []
    for places, probability in tape.self_rows:
        member = tape.member(probability.shape[-1])
        spread = member / member.sum(1, keepdim=True).clamp(min=FLOOR)
        target = torch.take_along_dim(member, places[..., None], dim=1) @ spread.transpose(1, 2)
        losses.append(_divergence(target, probability).mean(1))
    return (torch.stack(losses).mean(0) * weight).mean()


def cross_loss(tape: Tape, words: Int[Tensor, "word 3"], weight: Float[Tensor, batch]) -> Tensor:
    """Mean KL, in nats, of the words' maps from their masks.

    Args:
        tape: From `taping`.
        words: (batch row, token position, part) of each word.
        weight: Weight of each scene in the batch.
    """
    if len(words) == 0:
        return torch.zeros((), device=tape.parts.device)
    batch, token, part = words.unbind(1)
    scales = defaultdict(list)
    for probability in tape.cross:
        scales[probability.shape[1]].append(probability)
    losses = []
    for places, layers in scales.items():
        maps = torch.stack(layers).mean(0)[batch, :, token]
        target = _at_scale(tape.parts, places)[batch, :, part]
        seen = target.sum(1, keepdim=True).clamp(min=FLOOR)
        losses.append(_divergence(target / seen, maps / maps.sum(1, keepdim=True).clamp(min=FLOOR)))
    return (torch.stack(losses).mean(0) * weight[batch]).sum() / len(words)


def _at_scale(parts: Float[Tensor, "batch part h w"], places: int) -> Float[Tensor, "batch place part"]:
    """Parts in each place of a coarser grid. The demo's grids halve the latent's again and again."""
    factor = round((parts.shape[-2] * parts.shape[-1] / places) ** 0.5)
    return F.avg_pool2d(parts, factor).flatten(2).transpose(1, 2)


def _divergence(target: Tensor, attention: Tensor) -> Tensor:
    """KL(target || given) over the last axis, in nats."""
    return (target * (target.clamp(min=FLOOR).log() - attention.clamp(min=FLOOR).log())).sum(-1)
