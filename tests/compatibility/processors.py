"""Attention processors: diffusers' own that fit a U-Net, and hand-written ones."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from diffusers.models import attention_processor as known
from torch import Tensor
from torch.nn import functional as F

from compatibility import zoo_pixels
from compatibility.case import Case
from compatibility.hand_written import (
    ByHand,
    ByMatmul,
    ByScores,
    Colder,
    EditsACopy,
    EditsInPlace,
    HandWritten,
    InChunks,
    InTwoParts,
    Masked,
    Overwrites,
    OverwritesKeys,
    Rehearses,
    SeesFirstRowAlone,
    SharesFirstRow,
)
from compatibility.image_adapters import with_adapter
from compatibility.options import option
from compatibility.parts import WIDE

GROUP = "Attention processors"
ONE_ROW = "stands in the third row of a pipeline with perturbed-attention guidance, where it is tried"
NOT_FOR_A_UNET = {
    "for transformers of another build": (
        "JointAttn",
        "PAGJointAttn",
        "PAGCFGJoint",
        "FusedJoint",
        "XFormersJoint",
        "Allegro",
        "AuraFlow",
        "FusedAuraFlow",
        "CogVideoX",
        "FusedCogVideoX",
        "Mochi",
        "StableAudio",
        "Hunyuan",
        "FusedHunyuan",
        "PAGHunyuan",
        "PAGCFGHunyuan",
        "Lumina",
        "SD3IPAdapter",
        "Sana",
        "PAGCFGSana",
        "PAGIdentitySana",
        "Flux",
        "FusedFlux",
    ),
    "needs a package or a device that is not here": (
        "XFormers",
        "CustomDiffusionXFormers",
        "IPAdapterXFormers",
        "AttnProcessorNPU",
        "XLA",
    ),
    ONE_ROW: ("PAGIdentitySelf", "PAGCFGIdentitySelf"),
    "does nothing: LoRA is layers of peft now": ("LoRA",),
}


def _first_row_alone(key: Tensor, path: str) -> Tensor:
    return key[:1].expand_as(key) if path.endswith("attn1") else key


def _first_row_too(key: Tensor, path: str) -> Tensor:
    return torch.cat([key, key[:1].expand_as(key)], dim=1) if path.endswith("attn1") else key


def _times_five(p: Tensor) -> Tensor:
    return torch.cat([p[..., :3], p[..., 3:4] * 5, p[..., 4:]], dim=-1)


def _ramp(p: Tensor) -> Tensor:
    return p * torch.linspace(0.5, 1.5, p.shape[-1], dtype=p.dtype)


def _half_each(p: Tensor) -> Tensor:
    half = p.shape[-1] // 2
    return torch.cat(
        [part / part.sum(-1, keepdim=True) / 2 for part in (p[..., :half], p[..., half:])], dim=-1
    )


def _without_first(p: Tensor) -> Tensor:
    rest = p.clone()
    rest[..., 0] = 0
    return rest / rest.sum(-1, keepdim=True)


def sets(processor: Any) -> Any:
    """A change that puts a processor on every attention."""
    return lambda pipe: pipe.unet.set_attn_processor(processor())


def hand_written(name: str, processor: Any, **truth: Any) -> Case:
    return option(name, change=sets(processor), group=GROUP, **truth)


def _custom_diffusion(kind: Any) -> Any:
    def change(pipe: Any) -> None:
        made = {}
        for name in pipe.unet.attn_processors:
            cross = name.endswith("attn2.processor")
            hidden = pipe.unet.get_submodule(name.removesuffix(".processor")).to_q.out_features
            made[name] = kind(
                train_kv=cross,
                train_q_out=cross,
                hidden_size=hidden,
                cross_attention_dim=WIDE if cross else None,
            )
        pipe.unet.set_attn_processor(made)

    return change


def _replaced_forward(pipe: Any) -> None:
    def forward(
        attn: Any, x: Tensor, encoder_hidden_states: Any = None, attention_mask: Any = None, **more: Any
    ) -> Tensor:
        return ByHand()(attn, x, encoder_hidden_states)

    for module in pipe.unet.modules():
        if isinstance(module, known.Attention):
            module.forward = functools.partial(forward, module)


@contextmanager
def replaced_function() -> Iterator[None]:
    """F.scaled_dot_product_attention is another function, as SageAttention's readme has it."""
    before = F.scaled_dot_product_attention

    def quick(query: Tensor, key: Tensor, value: Tensor, *args: Any, **more: Any) -> Tensor:
        return (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1) @ value

    F.scaled_dot_product_attention = quick
    try:
        yield
    finally:
        F.scaled_dot_product_attention = before


def _with_added_keys(name: str, processor: Any) -> Case:
    """DeepFloyd IF with another processor than the one it comes with."""
    case = next(case for case in zoo_pixels.CASES if case.name == "IFPipeline")

    def build() -> Any:
        pipe = case.build()
        pipe.unet.set_attn_processor(processor())
        return pipe

    return replace(case, name=name, group=GROUP, build=build)


def _older_adapter(pipe: Any) -> None:
    """IP-Adapter by way of scores and a product."""
    with_adapter.load(pipe)
    for name, now in pipe.unet.attn_processors.items():
        if isinstance(now, known.IPAdapterAttnProcessor2_0):
            older = known.IPAdapterAttnProcessor(
                now.hidden_size, now.cross_attention_dim, now.num_tokens, now.scale
            )
            older.load_state_dict(now.state_dict())
            pipe.unet.get_submodule(name.removesuffix(".processor")).processor = older


CASES = [
    _with_added_keys("AttnAddedKVProcessor", known.AttnAddedKVProcessor),
    _with_added_keys("SlicedAttnAddedKVProcessor", lambda: known.SlicedAttnAddedKVProcessor(1)),
    option("IPAdapterAttnProcessor", with_adapter.run, change=_older_adapter, group=GROUP),
    option("AttnProcessor", change=sets(known.AttnProcessor), group=GROUP),
    option("AttnProcessor2_0", change=sets(known.AttnProcessor2_0), group=GROUP),
    option("SlicedAttnProcessor", change=sets(lambda: known.SlicedAttnProcessor(1)), group=GROUP),
    option(
        "SlicedAttnProcessor, three heads at once",
        change=sets(lambda: known.SlicedAttnProcessor(3)),
        group=GROUP,
    ),
    option(
        "CustomDiffusionAttnProcessor",
        change=_custom_diffusion(known.CustomDiffusionAttnProcessor),
        group=GROUP,
    ),
    option(
        "CustomDiffusionAttnProcessor2_0",
        change=_custom_diffusion(known.CustomDiffusionAttnProcessor2_0),
        group=GROUP,
    ),
    hand_written("plain, by hand", HandWritten),
    hand_written("query's memory used again", Overwrites),
    hand_written("key's memory used again", OverwritesKeys),
    hand_written("the first row's keys, too", SharesFirstRow, keys=_first_row_too),
    hand_written("the first row's keys alone", SeesFirstRowAlone, keys=_first_row_alone),
    hand_written("get_attention_scores", ByScores),
    hand_written("get_attention_scores, then @", ByMatmul),
    hand_written("P edited in place", EditsInPlace, edit=_times_five),
    hand_written("an edited copy of P", EditsACopy, edit=_ramp),
    hand_written("another attention first", Rehearses),
    hand_written("two halves of the keys", InTwoParts, edit=_half_each),
    hand_written("queries in chunks", InChunks),
    hand_written("softmax by hand", ByHand),
    hand_written("a scale of its own", Colder, keys=lambda key, path: key * 3),
    hand_written("a mask of its own", Masked, edit=_without_first),
    option("attn.forward replaced", change=_replaced_forward, group=GROUP),
    option("scaled_dot_product_attention replaced", around=replaced_function, group=GROUP),
]
