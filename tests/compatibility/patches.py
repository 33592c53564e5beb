"""What others do to a U-Net: merged tokens, caches, skipped layers, compilers, models that are no torch modules."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import hooks
from torch import Tensor

from compatibility.case import Case
from compatibility.options import option
from compatibility.zoo_stable_diffusion import sized

GROUP = "Patches, caches, compilers"
SPATIAL = "transformer_blocks"


def patched(name: str, change: Any, **truth: Any) -> Case:
    """A case of this table, of three steps."""
    return option(name, sized(num_inference_steps=3), change=change, group=GROUP, **{"steps": 3, **truth})


def _merges(pipe: Any) -> None:
    """Each pair of neighbours is one token in self-attention, as token merging makes it."""
    for name, module in pipe.unet.named_modules():
        if name.endswith("attn1"):
            module.register_forward_pre_hook(
                lambda _, args: (args[0].unflatten(1, (-1, 2)).mean(2), *args[1:])
            )
            module.register_forward_hook(lambda _, args, output: output.repeat_interleave(2, dim=1))


def _merges_in_block(pipe: Any) -> None:
    """The same, inside the block's forward."""
    for block in pipe.unet.modules():
        if hasattr(block, "attn1"):
            block.attn1.forward = _merged(block.attn1.forward)


def _merged(forward: Any) -> Any:
    def merged(x: Tensor, *args: Any, **more: Any) -> Tensor:
        return forward(x.unflatten(1, (-1, 2)).mean(2), *args, **more).repeat_interleave(2, dim=1)

    return merged


def _deep_cache(pipe: Any) -> None:
    """The middle of the U-Net is computed in every second step only."""
    middle, kept = pipe.unet.mid_block, {"number": 0}
    original = middle.forward

    def forward(*args: Any, **more: Any) -> Any:
        if kept["number"] % 2 == 0:
            kept["output"] = original(*args, **more)
        kept["number"] += 1
        return kept["output"]

    middle.forward = forward


def _broadcast(pipe: Any) -> None:
    hooks.apply_pyramid_attention_broadcast(pipe.unet, hooks.PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2, spatial_attention_timestep_skip_range=(-1, 1001),
        spatial_attention_block_identifiers=(SPATIAL,), current_timestep_callback=lambda: 500,
    ))  # fmt: skip


def _skips_block(pipe: Any) -> None:
    stack = "mid_block.attentions.0.transformer_blocks"
    hooks.apply_layer_skip(pipe.unet, hooks.LayerSkipConfig(indices=[0], fqn=stack))


def _skips_scores(pipe: Any) -> None:
    stack = "mid_block.attentions.0.transformer_blocks"
    config = hooks.LayerSkipConfig(
        indices=[0], fqn=stack, skip_attention=False, skip_attention_scores=True, skip_ff=False
    )
    hooks.apply_layer_skip(pipe.unet, config)


def _compiled(pipe: Any) -> None:
    pipe.unet = torch.compile(pipe.unet, backend="eager")


def _compiled_in_place(pipe: Any) -> None:
    pipe.unet.compile(backend="eager")


def _compiled_forward(pipe: Any) -> None:
    pipe.unet.forward = torch.compile(pipe.unet.forward, backend="eager")


def _compiled_blocks(pipe: Any) -> None:
    pipe.unet.compile_repeated_blocks(backend="eager")


def _compiled_part(pipe: Any) -> None:
    pipe.unet.mid_block = torch.compile(pipe.unet.mid_block, backend="eager")


class NoModule:
    """A U-Net behind a call, as ONNX Runtime and TensorRT give it."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, *args: Any, **more: Any) -> Any:
        return self.model(*args, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def _no_module(pipe: Any) -> None:
    whole = NoModule(pipe.unet)
    pipe.register_modules(unet=None)
    pipe.unet = whole


CASES = [
    patched("token merging by hooks", _merges),
    patched("token merging in the block", _merges_in_block),
    patched("DeepCache", _deep_cache),
    patched("pyramid attention broadcast", _broadcast),
    patched("a skipped block", _skips_block),
    patched("skipped attention scores", _skips_scores),
    patched("torch.compile(unet)", _compiled),
    patched("unet.compile()", _compiled_in_place),
    patched("unet.forward compiled", _compiled_forward),
    patched("unet.compile_repeated_blocks()", _compiled_blocks),
    patched("a compiled part", _compiled_part),
    patched("a U-Net that is no module", _no_module, models=lambda pipe: []),
]
