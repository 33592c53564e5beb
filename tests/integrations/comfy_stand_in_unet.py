"""The U-Net of the stand-in for ComfyUI, with its attention, patches and wrappers; see comfy_stand_in.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def attention_pytorch(
    q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Any = None, attn_precision: Any = None, **kwargs: Any
) -> Tensor:
    """Attention as ComfyUI calls it: an override in transformer_options goes first."""
    options = kwargs.get("transformer_options") or {}
    if "_inside_attn_wrapper" not in kwargs and "optimized_attention_override" in options:
        kwargs["_inside_attn_wrapper"] = True
        override = options["optimized_attention_override"]
        return override(attention_pytorch, q, k, v, heads, mask=mask, attn_precision=attn_precision, **kwargs)
    split = [tensor.unflatten(-1, (heads, -1)).transpose(1, 2) for tensor in (q, k, v)]
    out = nn.functional.scaled_dot_product_attention(*split, attn_mask=mask)
    return out.transpose(1, 2).flatten(2)


class CrossAttention(nn.Module):
    """Attention of one kind."""

    def __init__(self, channels: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads, self.dim_head = heads, channels // heads
        self.to_q, self.to_out = nn.Linear(channels, channels, bias=False), nn.Linear(channels, channels)
        self.to_k, self.to_v = (nn.Linear(context, channels, bias=False) for _ in range(2))

    def forward(
        self, x: Tensor, context: Tensor | None, value: Tensor | None, transformer_options: Any
    ) -> Tensor:
        context = x if context is None else context
        q, k, v = self.to_q(x), self.to_k(context), self.to_v(context if value is None else value)
        return self.to_out(attention_pytorch(q, k, v, self.heads, transformer_options=transformer_options))


class BasicTransformerBlock(nn.Module):
    """attn1 and attn2 with the patches of transformer_options."""

    def __init__(self, channels: int, context: int, heads: int) -> None:
        super().__init__()
        self.disable_self_attn = False
        self.attn1, self.attn2 = (
            CrossAttention(channels, channels, heads),
            CrossAttention(channels, context, heads),
        )
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)

    def forward(self, x: Tensor, context: Tensor, transformer_options: dict[str, Any]) -> Tensor:
        patches = transformer_options.get("patches", {})
        extra = {
            key: each
            for key, each in transformer_options.items()
            if key not in ("patches", "patches_replace")
        }
        for kind, norm, given in (("attn1", self.norm1, None), ("attn2", self.norm2, context)):
            attention, n, value = getattr(self, kind), norm(x), None
            if f"{kind}_patch" in patches:
                given = n if given is None else given
                value = given
                for patch in patches[f"{kind}_patch"]:
                    n, given, value = patch(n, given, value, extra)
            replaced = transformer_options.get("patches_replace", {}).get(kind, {})
            if (replace := replaced.get(transformer_options["block"])) is not None:
                given = n if given is None else given
                n = attention.to_out(
                    replace(attention.to_q(n), attention.to_k(given), attention.to_v(given), extra)
                )
            else:
                n = attention(n, given, value, transformer_options)
            x = x + n
        return x


class SpatialTransformer(nn.Module):
    """Transformer blocks over the places of a feature map."""

    def __init__(self, channels: int, context: int, heads: int) -> None:
        super().__init__()
        self.transformer_blocks = nn.ModuleList([BasicTransformerBlock(channels, context, heads)])

    def forward(self, x: Tensor, context: Tensor, transformer_options: dict[str, Any]) -> Tensor:
        transformer_options["activations_shape"] = list(x.shape)
        flat = x.flatten(2).transpose(1, 2)
        for at, block in enumerate(self.transformer_blocks):
            transformer_options["block_index"] = at
            flat = block(flat, context, transformer_options)
        return flat.transpose(1, 2).reshape(x.shape)


class UNetModel(nn.Module):
    """Two input blocks, of which the second has half the size, a middle and an output block."""

    def __init__(self, channels: int = 8, context: int = 16, heads: int = 2) -> None:
        super().__init__()
        spatial = lambda: SpatialTransformer(channels, context, heads)  # noqa: E731
        self.input_blocks = nn.ModuleList(
            [
                nn.ModuleList([nn.Conv2d(4, channels, 3, padding=1), spatial()]),
                nn.ModuleList([nn.Conv2d(channels, channels, 3, 2, 1), spatial()]),
            ]
        )
        self.middle_block = nn.ModuleList([nn.Identity(), spatial()])
        self.output_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(2 * channels, channels, 1), spatial()])])
        self.out = nn.Conv2d(channels, 4, 1)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        y: Any,
        control: Any,
        transformer_options: dict[str, Any],
    ) -> Tensor:
        wrappers = wrappers_of(transformer_options, "diffusion_model")
        return executor(self._forward, None, wrappers)(x, timesteps, context, y, control, transformer_options)

    def _forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        y: Any,
        control: Any,
        transformer_options: dict[str, Any],
    ) -> Tensor:
        h, kept = x + 0.01 * timesteps[:, None, None, None].log1p(), []
        for at, (convolution, transformer) in enumerate(self.input_blocks):
            transformer_options["block"] = ("input", at)
            h = transformer(convolution(h), context, transformer_options)
            kept.append(h)
        transformer_options["block"] = ("middle", 0)
        h = self.middle_block[1](h, context, transformer_options)
        transformer_options["block"] = ("output", 0)
        h = nn.functional.interpolate(h, kept[0].shape[2:])
        convolution, transformer = self.output_blocks[0]
        return self.out(transformer(convolution(torch.cat([h, kept[0]], 1)), context, transformer_options))


def wrappers_of(options: dict[str, Any], of_type: str) -> list[Any]:
    return [each for named in options.get("wrappers", {}).get(of_type, {}).values() for each in named]


def executor(original: Callable[..., Any], owner: Any, wrappers: list[Any]) -> Any:
    """ComfyUI's WrapperExecutor: a wrapper gets one that goes on, with the owner as class_obj."""

    class Executor:
        class_obj = owner

        def __call__(self, *args: Any) -> Any:
            return (
                wrappers[0](executor(original, owner, wrappers[1:]), *args) if wrappers else original(*args)
            )

    return Executor()
