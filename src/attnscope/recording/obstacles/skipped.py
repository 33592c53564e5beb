"""Layers that did not run: caches that answer for them, forwards that were replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from attnscope.errors import describe_numbers
from attnscope.recording.obstacles.obstacle import Obstacle, name_of, place_of, submodule
from attnscope.recording.tapping.watching import WatchedMethod

HARMLESS = (
    "group_offloading",
    "lazy_prefetch_group_offloading",
    "layer_execution_tracker",
    "layerwise_casting",
    "peft_autocast_disable",
)
"""diffusers' hooks after which a module still runs."""
FEATURES = {
    "pyramid_attention_broadcast": "Pyramid Attention Broadcast",
    "faster_cache": "FasterCache",
    "fbc": "First Block Cache",
    "mag_cache": "MagCache",
    "taylorseer": "TaylorSeer",
    "sea_cache": "SeaCache",
    "text_kv": "the text K/V cache",
    "layer_skip": "layer skipping",
}
"""How the names of diffusers' hooks begin, and what they belong to."""
CACHES = {
    "DeepCache": "`helper.disable()` of its DeepCacheSDHelper",
    "cache_dit": "`cache_dit.disable_cache(pipe)`",
}
"""How packages are switched off that answer for layers with what these said in an earlier step."""


def answering_hook(module: nn.Module, component: str = "unet", model: Any = None) -> Obstacle | None:
    """The hook of diffusers that may answer in a module's place.

    Args:
        module: The module.
        component: The pipeline's attribute that holds the model.
        model: The model, which may know how to switch its cache off.
    """
    for name, hook in getattr(getattr(module, "_diffusers_hook", None), "hooks", {}).items():
        if name in HARMLESS:
            continue
        feature = next((FEATURES[start] for start in FEATURES if name.startswith(start)), "a hook")
        remove = (
            f"pipe.{component}.disable_cache()"
            if getattr(model, "is_cache_enabled", False)
            else "from diffusers.hooks import HookRegistry; [HookRegistry.check_if_exists_or_initialize("
            f"pipe.{component}).remove_hook(name, recurse=True) for name in {_answering(model or module)}]"
        )
        return Obstacle(
            f"{feature} of diffusers ({type(hook).__name__}) answers in its place", f"take it off, `{remove}`"
        )
    return None


def _answering(model: nn.Module) -> list[str]:
    """Names of all hooks in a model that may answer in a module's place: a cache has several."""
    hooks = (getattr(getattr(module, "_diffusers_hook", None), "hooks", ()) for module in model.modules())
    return sorted({name for names in hooks for name in names} - {*HARMLESS})


def replaced_forward(module: Any) -> Any:
    """The function that stands where a module's own forward was, None if its own is there or is called in the end.

    accelerate and diffusers keep the forward that they wrap, so what they wrap is looked at.

    Args:
        module: Any module.
    """
    forward = vars(module).get("_old_forward") or put_there(module)
    hooks = getattr(vars(module).get("_diffusers_hook"), "_fn_refs", ())
    if hooks:
        forward = hooks[0].original_forward or hooks[0].forward
    own = type(module).forward
    if forward is None:
        return own if _is_foreign(type(module), own) else None
    return None if getattr(forward, "__func__", None) is own else forward


def put_there(module: Any) -> Any:
    """What somebody else than a capture has put where a module's own forward was, None if nobody has.

    Args:
        module: Any module.
    """
    forward = vars(module).get("forward")
    while isinstance(forward, WatchedMethod):
        forward = forward.before
    return forward


def _is_foreign(kind: type, forward: Any) -> bool:
    """Whether a class' forward was set from outside: it says another module than the class that holds it."""
    holder = next(each for each in kind.__mro__ if "forward" in vars(each))
    said = getattr(forward, "__module__", holder.__module__)
    return said != holder.__module__ and not hasattr(forward, "__wrapped__") and holder is not nn.Module


def skipping(model: nn.Module, component: str, path: str) -> Obstacle | None:
    """What may keep a layer from running, found on the way from the model down to it.

    Args:
        model: The denoising model.
        component: The pipeline's attribute that holds it.
        path: The layer's path.
    """
    for inner in _down_to(path):
        module = model.get_submodule(inner)
        obstacle = answering_hook(module, component, model) or _forward_of(module, component, inner)
        if obstacle is not None:
            return obstacle
    return None


def _down_to(path: str) -> Iterator[str]:
    parts = path.split(".")
    yield from (".".join(parts[:count]) for count in range(len(parts) + 1))


def _forward_of(module: nn.Module, component: str, path: str) -> Obstacle | None:
    forward = replaced_forward(module)
    if forward is None:
        return None
    package = str(getattr(forward, "__module__", "")).split(".")[0]
    if package in CACHES:
        return Obstacle(
            f"{package.replace('_', '-')} answers in its place", f"switch it off, {CACHES[package]}"
        )
    owner = submodule(component, path)
    put_back = (
        f"`del {owner}.forward`"
        if put_there(module) is not None
        else f"restore {type(module).__name__}.forward"
    )
    return Obstacle(
        f"the forward of {path or f'pipe.{component}'} was replaced by {name_of(forward)} ({place_of(forward)})",
        f"put its own back, {put_back}",
    )


def unwatched(module: nn.Module, component: str, path: str) -> Obstacle | None:
    """What stands where a capture watches a module, None if the capture still does.

    Args:
        module: The module.
        component: The pipeline's attribute that holds the model.
        path: The module's path in the model.
    """
    forward = vars(module).get("forward")
    if isinstance(forward, WatchedMethod) and forward.is_on:
        return None
    if forward is None:
        what = f"the forward that stood in {path} was deleted"
    else:
        by = f"{name_of(forward)} ({place_of(forward)})"
        what = f"the forward of {path} was replaced by {by}, which does not call the one that it found,"
    owner = submodule(component, path)
    return Obstacle(
        f"{what} while the capture watched it",
        f"set or delete `{owner}.forward` before the capture begins or after it has ended",
    )


Missing = Mapping[str, tuple[Sequence[int], Obstacle | None]]
"""By the names of layers: the steps in which they did not run, and why."""


def why_skipped(missing: Missing, steps: Sequence[int]) -> Iterator[str]:
    """One sentence for each cause why layers did not run.

    Args:
        missing: What did not run.
        steps: The steps that came.
    """
    by_cause: dict[str, list[str]] = {}
    for name, (at, cause) in missing.items():
        why = cause or _no_cause(at, steps)
        by_cause.setdefault(str(why), []).append(f"{name} in steps {describe_numbers(sorted({*at}))}")
    for why, layers in by_cause.items():
        yield f"these layers did not run, so the trace lacks them: {'; '.join(layers)}. {why[0].upper()}{why[1:]}"


def _no_cause(at: Sequence[int], steps: Sequence[int]) -> str:
    if set(at) >= set(steps):
        return (
            "they never ran: the model, as it was called, does not use them. Choose others with blocks= and kind=, or "
            "leave it so"
        )
    return "the model itself did not call them in these steps; means take the steps that have them"
