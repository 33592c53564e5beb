"""What each attention layer of a model runs, and whether it can be seen: tried with a real capture."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from attnscope.atlas import layers as atlas_layers
from attnscope.atlas.families import UNET, Family
from attnscope.errors import AttnscopeError, ModelError, UnobservedError
from attnscope.recording.calling.twin import twin_of
from attnscope.recording.capture import capture
from attnscope.recording.doctor.tiny_step import tiny_run, tiny_step
from attnscope.recording.obstacles.merged import merged_tokens
from attnscope.recording.obstacles.obstacle import Obstacle, name_of
from attnscope.recording.obstacles.skipped import skipping
from attnscope.recording.obstacles.unseen import runs
from attnscope.recording.planning.estimate import Policy, estimate
from attnscope.recording.planning.modules import TappedLayer, choose_layers, model_of
from attnscope.records import Kind

STEPS = 50
"""Of the run whose memory is told."""


@dataclass(frozen=True)
class LayerCheck:
    """One attention layer.

    Attributes:
        block: Its block number.
        kind: 'self' or 'cross'.
        path: Its path in the model, "" where only the configuration is known.
        processor: Class of its processor.
        runs: What computes its attention.
        dtype: Type of its weights.
        device: Where they are.
        seen: Whether a capture sees it; None if that was not tried.
        why: Why it was not seen, or not tried.
    """

    block: int
    kind: Kind
    path: str = ""
    processor: str = ""
    runs: str = ""
    dtype: str = ""
    device: str = ""
    seen: bool | None = None
    why: str = ""


@dataclass(frozen=True)
class ModelCheck:
    """One model.

    Attributes:
        name: What was asked for.
        kind: Class of the pipeline, or of the model.
        layers: Its attention layers.
        memory: What a run of 50 steps takes, for each way to keep less.
        note: Why nothing was tried; "" if it was.
    """

    name: str
    kind: str
    layers: tuple[LayerCheck, ...] = ()
    memory: tuple[Policy, ...] = ()
    note: str = ""


def check_model(model: Any, name: str) -> tuple[ModelCheck, tuple[Obstacle, ...]]:
    """Examine a loaded model.

    Args:
        model: A pipeline, or its denoising model.
        name: What it is called.

    Returns:
        What was found, and what stands in the way.

    Cost: a call of the U-Net for each kind of attention, on the smallest latent that it takes; of a transformer two
    steps of its pipeline each, on a picture of 64x64 pixels.
    """
    found = ModelCheck(name, type(model).__name__, memory=_memory(model))
    try:
        family, module = model_of(model)
        tapped = choose_layers(family, module, None, None)
    except AttnscopeError as error:
        return found, (_as_obstacle(error),)
    standing = {each.layer: _standing(module, family.component, each) for each in tapped}
    obstacles = dict.fromkeys(obstacle for obstacle in standing.values() if obstacle is not None)
    untried = next((obstacle.cause for obstacle in obstacles), "")
    checks = [replace(_described(each), why=getattr(standing[each.layer], "cause", "")) for each in tapped]
    if untried:
        return replace(found, layers=tuple(checks), note=untried), tuple(obstacles)
    if (watched := _smallest_step(family, model, module)) is None:
        note = f"a {family.name} alone takes no tiny step; give its pipeline"
        return replace(found, layers=tuple(checks), note=note), ()
    try:
        tried = _tried(*watched, tapped)
    except AttnscopeError as error:  # of the capture
        return replace(found, layers=tuple(checks), note=str(error)), (_as_obstacle(error),)
    except Exception as error:  # the model's own: it takes what a tiny step does not give
        note = f"a tiny step could not be taken ({type(error).__name__}: {error})"
        return replace(found, layers=tuple(checks), note=note), ()
    checked = tuple(replace(check, seen=not why, why=why) for check, why in zip(checks, tried, strict=True))
    return replace(found, layers=checked), tuple(
        Obstacle(why, "") for why in dict.fromkeys(filter(None, tried))
    )


def _smallest_step(family: Family, model: Any, module: Any) -> tuple[Any, Callable[[], None]] | None:
    """What to capture and what calls it once; None for a transformer alone, whose arguments nobody makes."""
    if family is UNET:
        return module, lambda: tiny_step(module, _device(model, module))
    if model is module:
        return None
    twin = twin_of(model)
    return twin, lambda: tiny_run(twin)


def check_configuration(name: str, why: str) -> ModelCheck:
    """What is known of a model whose weights are not here.

    Args:
        name: What it is called.
        why: Why it could not be loaded.
    """
    try:
        known = tuple(LayerCheck(layer.block, layer.kind, layer.path) for layer in atlas_layers(name))
    except ModelError:
        return ModelCheck(name, "unknown", note=why)
    return ModelCheck(name, "configuration", known, _memory(name), why)


def _memory(model: Any) -> tuple[Policy, ...]:
    try:
        return estimate(model, steps=STEPS)
    except AttnscopeError:  # a model that the atlas does not know: nothing is told
        return ()


def _standing(model: nn.Module, component: str, tapped: TappedLayer) -> Obstacle | None:
    return merged_tokens(model, tapped.path, tapped.layer.kind) or skipping(model, component, tapped.path)


def _described(tapped: TappedLayer) -> LayerCheck:
    module: Any = tapped.module
    weight = next((parameter for parameter in module.parameters()), None)
    return LayerCheck(
        tapped.layer.block,
        tapped.layer.kind,
        tapped.path,
        name_of(module.processor),
        runs(module.processor),
        "" if weight is None else str(weight.dtype).removeprefix("torch."),
        "" if weight is None else str(weight.device),
    )


def _tried(model: Any, step: Callable[[], None], tapped: Sequence[TappedLayer]) -> list[str]:
    """For each layer why it was not seen, "" if it was."""
    why: dict[Any, str] = {}
    for kind in dict.fromkeys(each.layer.kind for each in tapped):
        left = [each for each in tapped if each.layer.kind == kind]
        while left:
            seen, unseen, reason = _try(model, kind, left, step)
            why |= dict.fromkeys((each.layer for each in seen), "")
            why |= dict.fromkeys((each.layer for each in unseen), reason)
            left = [each for each in left if each.layer not in why]
    return [why[each.layer] for each in tapped]


def _try(
    model: Any, kind: Kind, layers: Sequence[TappedLayer], step: Callable[[], None]
) -> tuple[Sequence[TappedLayer], Sequence[TappedLayer], str]:
    """One capture: the layers that it saw, or those that are like the one that it could not see, and why."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with capture(model, kind=kind, blocks=[each.layer.block for each in layers]) as trace:
                step()
    except UnobservedError as error:
        first = next(each for each in layers if f"({each.path})" in str(error))
        alike = [each for each in layers if _likeness(each) == _likeness(first)]
        return (), alike, str(error)
    came = {layer.block for layer in trace.layers}
    seen = [each for each in layers if each.layer.block in came]
    absent = [each for each in layers if each.layer.block not in came]
    return seen, absent, "it did not run"


def _likeness(tapped: TappedLayer) -> tuple[Any, ...]:
    module: Any = tapped.module
    return type(module.processor), "forward" in vars(module), type(module)


def _device(model: Any, module: Any) -> torch.device:
    return getattr(model, "_execution_device", None) or module.device


def _as_obstacle(error: AttnscopeError) -> Obstacle:
    cause, _, remedy = str(error).partition(": ")
    return Obstacle(cause, remedy)


def memory_obstacles(memory: Sequence[Policy], free: int | None) -> Iterator[Obstacle]:
    """What a capture of everything takes, where there is less.

    Args:
        memory: What a run takes.
        free: Bytes that are free, None if unknown.
    """
    if not memory or free is None or memory[0].run_bytes <= free:
        return
    fitting = (policy.call for policy in memory if policy.run_bytes <= free and "capture" in policy.call)
    less = next(fitting, None)
    needed, there = (f"{size / 1e9:.1f} GB" for size in (memory[0].run_bytes, free))
    yield Obstacle(
        f"Q and K of all layers and {STEPS} steps are {needed}, and {there} of memory are free",
        "write them to disk as they come, `capture(pipe, folder='run.trace')`"
        + (f", or keep less, `{less}`" if less else ""),
    )
