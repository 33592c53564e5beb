"""An attention layer that ran, and showed neither Q nor K."""

from __future__ import annotations

import inspect
from functools import partial
from types import CodeType
from typing import Any

from torch import nn

from attnscope.recording.obstacles.compiled import COMPILED
from attnscope.recording.obstacles.obstacle import Obstacle, name_of, place_of
from attnscope.recording.obstacles.skipped import answering_hook, put_there, replaced_forward
from attnscope.recording.tapping.tap import SCORES, SDPA

KERNELS = {
    "memory_efficient_attention": "xformers",
    "sageattn": "SageAttention",
    "flash_attn_func": "FlashAttention",
    "flash_attn_varlen_func": "FlashAttention",
    "flex_attention": "FlexAttention",
    "npu_fusion_attention": "torch_npu",
}
"""Attention functions that nothing but their own kernel sees, and the packages that they belong to."""
BY_HAND = ("softmax", "baddbmm", "bmm", "einsum", "matmul")
OWN = "import diffusers; pipe.unet.set_attn_processor(diffusers.models.attention_processor.{}())"
AS_MADE = (
    "import torch; torch.set_default_device('meta'); made = type({0}).from_config({0}.config); "
    "torch.set_default_device(None); {0}.set_attn_processor(made.attn_processors)"
)
"""Gives a model the processors that one of its configuration is made with; on 'meta' that takes no memory."""
_DEPTH = 4  # functions that call functions


def unseen(module: Any, shapes: str, component: str = "unet") -> Obstacle:
    """Why an attention layer that ran could not be seen.

    Args:
        module: The attention module.
        shapes: Of the queries that were seen after all, "" without any.
        component: The pipeline's attribute that holds the model.
    """
    hook = answering_hook(module, component)
    if hook is not None and not shapes:
        return hook
    if (forward := replaced_forward(module)) is not None:
        return Obstacle(
            f"its forward was replaced by {name_of(forward)} ({place_of(forward)}), which calls neither "
            "scaled_dot_product_attention nor get_attention_scores",
            f"put its own back, `for module in pipe.{component}.modules(): vars(module).pop('forward', None)`"
            if put_there(module) is not None
            else f"put the original {type(module).__name__}.forward back, which a fresh process has",
        )
    processor = module.processor
    names = called_names(processor)
    replaced = nn.functional.scaled_dot_product_attention
    if replaced is not SDPA and (shapes or SDPA.__name__ in names or "dispatch_attention_fn" in names):
        how = (
            "is compiled (torch.compile)"
            if hasattr(replaced, COMPILED)
            else f"was replaced by {name_of(replaced)} ({place_of(replaced)}), which does not call the original"
        )
        return Obstacle(
            f"torch.nn.functional.scaled_dot_product_attention {how}",
            "put that back, `import torch; torch.nn.functional.scaled_dot_product_attention = "
            "torch._C._nn.scaled_dot_product_attention`",
        )
    if shapes:
        return Obstacle(
            f"with its processor {described(processor)} it computed attention of shape {shapes}, "
            "not one for each batch row and head",
            f"use diffusers' own, `{own_processor(module, component)}`",
        )
    return _of_processor(module, processor, names, component)


def _of_processor(module: Any, processor: Any, names: set[str], component: str) -> Obstacle:
    own = own_processor(module, component)
    if "dispatch_attention_fn" in names:
        return Obstacle(
            f"its processor {name_of(processor)} runs diffusers' attention backend {_backend(processor)!r}",
            f"choose PyTorch's own, `pipe.{component}.set_attention_backend('native')`",
        )
    if (kernel := kernel_of(processor)) is not None:
        if (
            kernel == "xformers"
            and component == "unet"
            and "XFormers" in type(processor).__name__
            and "Added" not in type(processor).__name__
        ):
            own = "pipe.unet.disable_xformers_memory_efficient_attention()"
        return Obstacle(
            f"its processor {described(processor)} computes attention in {kernel}, which shows neither Q nor K",
            f"use PyTorch's, `{own}`",
        )
    by_hand = [name for name in BY_HAND if name in names]
    how = f"computes attention by hand ({', '.join(by_hand)}) and " if by_hand else ""
    return Obstacle(
        f"its processor {described(processor)} {how}calls neither scaled_dot_product_attention nor "
        "get_attention_scores",
        f"let it call one of them, or use diffusers' own, `{own}`",
    )


def kernel_of(processor: Any) -> str | None:
    """The package whose attention kernel a processor calls, None if it calls none that is known.

    Args:
        processor: An attention's processor.
    """
    if "XFormers" in type(processor).__name__:
        return "xformers"
    names = called_names(processor)
    return next(
        (KERNELS[kernel] for kernel in KERNELS if any(name.startswith(kernel) for name in names)), None
    )


def runs(processor: Any) -> str:
    """What computes attention for a processor, in a word or two.

    Args:
        processor: An attention's processor.
    """
    if (kernel := kernel_of(processor)) is not None:
        return kernel
    names = called_names(processor)
    if "dispatch_attention_fn" in names:
        return f"backend {_backend(processor)}"
    if SDPA.__name__ in names:
        own = nn.functional.scaled_dot_product_attention is SDPA
        return "SDPA" if own else name_of(nn.functional.scaled_dot_product_attention)
    return "scores" if SCORES in names else "by hand"


def own_processor(module: Any, component: str) -> str:
    """Code that lets PyTorch's function compute the attention of all layers.

    Args:
        module: One of them.
        component: The pipeline's attribute that holds the model.
    """
    if component != "unet":
        return AS_MADE.format(f"pipe.{component}")
    added = getattr(module, "added_kv_proj_dim", None) is not None
    return OWN.format("AttnAddedKVProcessor2_0" if added else "AttnProcessor2_0")


def called_names(processor: Any) -> set[str]:
    """Names that the code of a processor speaks of, also in the functions of its own file that it calls.

    Args:
        processor: A function, or an object with `__call__`.
    """
    processor = _inner(processor)
    called = processor if inspect.isroutine(processor) else type(processor).__call__
    if isinstance(processor, nn.Module) and called is nn.Module.__call__:
        called = type(processor).forward
    return _names_in(inspect.unwrap(called), type(processor), _DEPTH)


def _inner(processor: Any) -> Any:
    """The function that a functools.partial calls."""
    while isinstance(processor, partial):
        processor = processor.func
    return processor


def _names_in(function: Any, owner: type, depth: int) -> set[str]:
    code = getattr(function, "__code__", None)
    if code is None or depth == 0:
        return set()
    names = _names(code)
    spaces = getattr(function, "__globals__", {})
    for name in tuple(names):
        callee = spaces.get(name) or getattr(owner, name, None)
        if inspect.isfunction(callee) and callee.__module__ == function.__module__ and callee is not function:
            names |= _names_in(callee, owner, depth - 1)
    return names


def _names(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return {*code.co_names, *code.co_freevars}.union(*map(_names, inner))


def described(processor: Any) -> str:
    """A processor's class, and the file that it is from.

    Args:
        processor: An attention's processor.
    """
    return f"{name_of(_inner(processor))} ({place_of(_inner(processor))})"


def _backend(processor: Any) -> str:
    backend = getattr(processor, "_attention_backend", None)
    if backend is None:
        from diffusers.models.attention_dispatch import _AttentionBackendRegistry

        backend = _AttentionBackendRegistry.get_active_backend()[0]
    return str(getattr(backend, "value", backend))
