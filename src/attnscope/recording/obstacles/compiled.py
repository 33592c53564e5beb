"""Models whose modules do not run as Python: compiled, traced, exported, put into CUDA graphs, on several GPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from attnscope.recording.obstacles.obstacle import Obstacle, submodule
from attnscope.recording.tapping.tap import is_attention

COMPILED = "_torchdynamo_orig_callable"
"""What torch.compile leaves on a function: the one that it compiled."""


def compiled(model: nn.Module, component: str) -> Obstacle | None:
    """What runs the attention of a model where its modules can't be watched; None if nothing does.

    A part of a model that holds no attention may be compiled: it is no obstacle.

    Args:
        model: The denoising model.
        component: The pipeline's attribute that holds it.
    """
    if isinstance(model, nn.DataParallel) and len(model.device_ids) > 1:
        return Obstacle(
            f"pipe.{component} runs as copies on {len(model.device_ids)} GPUs (DataParallel), which are gone after "
            "each call",
            f"capture the one model, `{component} = {component}.module`",
        )
    for path, module in model.named_modules():
        for look in (
            _script,
            _graph_module,
            _wrapped,
            _compiled_call,
            _compiled_forward,
            _graphed,
            _processor,
        ):
            if (obstacle := look(model, component, path, module)) is not None:
                return obstacle
    return None


Look = Callable[[nn.Module, str, str, nn.Module], Obstacle | None]


def holds_attention(module: nn.Module) -> bool:
    """Whether a module is an attention, or has one inside.

    Args:
        module: Any module.
    """
    return any(is_attention(inner) for inner in module.modules())


def _script(model: nn.Module, component: str, path: str, module: nn.Module) -> Obstacle | None:
    names = (name.rsplit(".", 1)[-1] for name, _ in module.named_modules())
    if not isinstance(module, torch.jit.ScriptModule) or not {"attn1", "attn2", "to_q"} & {*names}:
        return None
    how = (
        "traced with torch.jit.trace"
        if "Traced" in type(module).__name__
        else "compiled with torch.jit.script"
    )
    return Obstacle(
        f"{_what(component, path)} is a TorchScript program ({how}), which runs without its Python modules",
        f"put the module that it was made from in its place, `{_setting(component, path, 'ORIGINAL')}`",
    )


def _graph_module(model: nn.Module, component: str, path: str, module: nn.Module) -> Obstacle | None:
    if not isinstance(module, torch.fx.GraphModule) or not _calls_attention(module):
        return None
    return Obstacle(
        f"{_what(component, path)} is a graph (torch.fx, torch.export), whose attention is no longer a "
        "module",
        f"put the module that it was made from in its place, `{_setting(component, path, 'ORIGINAL')}`",
    )


def _calls_attention(module: torch.fx.GraphModule) -> bool:
    return any(
        "attention" in str(node.target) or "softmax" in str(node.target) for node in module.graph.nodes
    )


def _wrapped(model: nn.Module, component: str, path: str, module: nn.Module) -> Obstacle | None:
    if not hasattr(module, "_orig_mod") or not (holds_attention(module) or path.endswith("processor")):
        return None
    if not path:
        return Obstacle(
            f"pipe.{component} is compiled (torch.compile)",
            f"capture the model inside it, `pipe.{component} = pipe.{component}._orig_mod`",
        )
    return Obstacle(
        f"a part of it is compiled, {path}, by torch.compile",
        "put back the modules that were compiled, `[setattr(parent, name, child._orig_mod) for parent in "
        f"list(pipe.{component}.modules()) for name, child in list(parent.named_children()) if "
        "hasattr(child, '_orig_mod')]`",
    )


def _compiled_call(model: nn.Module, component: str, path: str, module: nn.Module) -> Obstacle | None:
    if getattr(module, "_compiled_call_impl", None) is None or not holds_attention(module):
        return None
    return Obstacle(
        f"{_compiled_part(path)} by .compile() or compile_repeated_blocks()",
        f"switch that off, `for module in pipe.{component}.modules(): module._compiled_call_impl = None`",
    )


def _compiled_forward(model: nn.Module, component: str, path: str, module: nn.Module) -> Obstacle | None:
    if not hasattr(module.forward, COMPILED) or not holds_attention(module):
        return None
    owner = submodule(component, path)
    owner = owner if "forward" in vars(module) else f"type({owner})"
    return Obstacle(
        f"{_compiled_part(path)} by torch.compile of its forward",
        f"put back the one that was compiled, `{owner}.forward = {owner}.forward.{COMPILED}`",
    )


def _graphed(model: nn.Module, component: str, path: str, module: nn.Module) -> Obstacle | None:
    forward = vars(module).get("forward")
    is_graph = getattr(forward, "__module__", None) == "torch.cuda.graphs"
    if not is_graph or not holds_attention(module):
        return None
    return Obstacle(
        f"{_what(component, path)} replays a CUDA graph (torch.cuda.make_graphed_callables), in which no module runs",
        f"take the graph off, `del {submodule(component, path)}.forward`",
    )


def _processor(model: nn.Module, component: str, path: str, module: nn.Module) -> Obstacle | None:
    if not is_attention(module) or not is_compiled_callable(module.processor):
        return None
    return Obstacle(
        f"a part of it is compiled, the processor of {path}, by torch.compile",
        f"set it as it was, or diffusers' own, `import diffusers; pipe.{component}.set_attn_processor("
        "diffusers.models.attention_processor.AttnProcessor2_0())`",
    )


def is_compiled_callable(processor: Any) -> bool:
    """Whether an attention's processor is compiled, as a function, an object or a class.

    Args:
        processor: The processor.
    """
    kind: Any = type(processor)
    return hasattr(processor, COMPILED) or (hasattr(kind, "__call__") and hasattr(kind.__call__, COMPILED))  # noqa: B004


def _compiled_part(path: str) -> str:
    return f"a part of it is compiled, {path}," if path else "it is compiled"


def _what(component: str, path: str) -> str:
    return f"{path} of pipe.{component}" if path else f"pipe.{component}"


def _setting(component: str, path: str, value: str) -> str:
    parent, _, name = path.rpartition(".")
    return f"setattr({submodule(component, parent) if path else 'pipe'}, {name or component!r}, {value})"
