"""Which model is captured, and its attention modules in execution order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple

from torch import nn

from attnscope.atlas.families import FAMILIES, UNET, Family, Sides, unwrapped, without_adapters
from attnscope.errors import CaptureError, ModelError, SelectionError
from attnscope.recording.obstacles.compiled import compiled
from attnscope.recording.obstacles.no_model import no_model, no_unet
from attnscope.recording.tapping.tap import is_attention
from attnscope.records import KINDS, Kind, LayerId, Stage, is_kind
from attnscope.trace.selection import pick_number


class TappedLayer(NamedTuple):
    """One attention module and its place in the model.

    Attributes:
        layer: Block and kind.
        stage: See `attnscope.records.layers.Stage`.
        path: The module's path, as in `named_modules()` of the model.
        module: The module.
        map_owner: Path of the module whose feature map this attention reads, '' where the model's call tells the grid.
        sides: What its queries and keys are, None where only what it computes tells.
    """

    layer: LayerId
    stage: Stage
    path: str
    module: nn.Module
    map_owner: str
    sides: Sides | None = None

    def kinds(self, asked: Kind | None) -> tuple[Kind, ...]:
        """The kinds that it may compute: its own, those of a joint attention's parts, an IP-Adapter's.

        Args:
            asked: The kind that is asked for.
        """
        own = self.layer.kind
        parts = [kind for kind in KINDS if own == "joint" and self._has(_KEYS[kind])]
        adapter = asked is not None and asked.startswith("image") and own in ("cross", "joint")
        return (own, *parts, *([asked] if adapter and asked is not None else []))

    def _has(self, source: str) -> bool:
        """Whether some of its keys come from a source; a refiner's are the image's and its padding's alone."""
        return self.sides is None or source in self.sides.keys


_KEYS = {"self": "own", "cross": "context"}
"""Where the keys of a joint attention's parts come from."""


def model_of(pipe_or_model: Any) -> tuple[Family, nn.Module]:
    """The family of a model, and the model itself.

    Args:
        pipe_or_model: A pipeline, or its denoising model.

    Raises:
        ModelError: There is no model that attnscope knows.
        CaptureError: The model, or a part of it, is compiled.
    """
    return models_of(pipe_or_model)[0]


def models_of(pipe_or_model: Any) -> list[tuple[Family, nn.Module]]:
    """The models of a pipeline with their families: some have one for the first steps and one for the last.

    Args:
        pipe_or_model: A pipeline, or its denoising model.

    Raises:
        ModelError: There is no model that attnscope knows.
        CaptureError: A model, or a part of it, is compiled.
    """
    for family in FAMILIES:
        found = []
        for name in filter(None, (family.component, family.later_component)):
            is_model = isinstance(pipe_or_model, nn.Module)
            model = without_adapters(pipe_or_model if is_model else getattr(pipe_or_model, name, None))
            if isinstance(model, nn.Module) and family.is_of(unwrapped(model)):
                if (obstacle := compiled(model, name)) is not None:
                    raise CaptureError(f"the {family.name} can't be watched, {obstacle}")
                if family is UNET and (obstacle := no_unet(model)) is not None:
                    raise ModelError(str(obstacle))
                found.append((family, model))
        if found:
            return found
    raise ModelError(str(no_model(pipe_or_model)))


def other_model(family: Family, pipeline: Any, model: nn.Module) -> str | None:
    """What a pipeline calls the model that takes its other steps; None where one model takes all.

    Args:
        family: The family of its models.
        pipeline: The pipeline.
        model: One of its models.
    """
    names = (family.component, family.later_component) if family.later_component else ()
    held = {name: without_adapters(getattr(pipeline, name, None)) for name in names}
    return next((name for name, other in held.items() if other is not None and other is not model), None)


def choose_layers(family: Family, model: nn.Module, blocks: Any, kind: Kind | None) -> list[TappedLayer]:
    """The attention modules of some blocks, in execution order.

    Args:
        family: The model's family.
        model: The model.
        blocks: Block numbers, from 1. None: all.
        kind: 'self', 'cross' or a rarer one that the model has. None: all.

    Raises:
        SelectionError: The model lacks a block, or the kind is unknown.
        ModelError: The model has no attention that attnscope knows.
    """
    every = _tapped_layers(family, model)
    if kind is not None and not is_kind(kind):
        raise SelectionError(f"kind {kind!r}: expected 'self' or 'cross', or None for both")
    numbers = sorted({tapped.layer.block for tapped in every})
    wanted = {numbers[at] for at in pick_number("block", blocks, numbers).positions}
    chosen = [
        tapped for tapped in every if tapped.layer.block in wanted and kind in (None, *tapped.kinds(kind))
    ]
    if not chosen:
        raise SelectionError(
            _why_none(family, model, [tapped for tapped in every if tapped.layer.block in wanted], kind)
        )
    return chosen


def _why_none(family: Family, model: nn.Module, there: list[TappedLayer], kind: Kind | None) -> str:
    kinds = ", ".join(dict.fromkeys(tapped.layer.kind for tapped in there))
    left_out = (
        f"; {count} attentions are not recorded, since they are {why}"
        for why, count in layers_not_recorded(family, model).items()
        if why in family.left_out.values()
    )
    return f"kind {kind!r}: these blocks have only {kinds}{''.join(left_out)}"


def _tapped_layers(family: Family, model: nn.Module) -> list[TappedLayer]:
    modules = {path: module for path, module in model.named_modules() if is_attention(module)}
    recorded = [path for path in modules if family.not_recorded(path) is None]
    if not recorded:
        raise ModelError(
            f"{type(model).__name__} has no attention layer that attnscope knows (diffusers' Attention)"
        )
    tapped: dict[LayerId, TappedLayer] = {}
    for place in family.order(recorded):
        module = modules[place.path]
        layer = LayerId(place.block, family.kind(module, place.path))
        if layer in tapped:
            layer = replace(layer, kind=f"{layer.kind}2")
        tapped[layer] = TappedLayer(
            layer, place.stage, place.path, module, family.map_owner(place.path), family.sides(place.path)
        )
    return list(tapped.values())


def layers_not_recorded(family: Family, model: nn.Module) -> dict[str, int]:
    """Why some attentions of a model are not recorded, and how many they are.

    Args:
        family: The model's family.
        model: The model.
    """
    paths = (path for path, module in model.named_modules() if is_attention(module))
    return dict(Counter(why for path in paths if (why := family.not_recorded(path)) is not None))
