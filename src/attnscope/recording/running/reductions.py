"""Reductions under way: each complete step of a capture is added to the maps that are kept of the run.

A rule adds one step's map to a state of a few tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.diffseg.aggregation import ScaleSums
from attnscope.errors import ParameterError
from attnscope.pictures.maps import resize_maps
from attnscope.probability.inputs import located
from attnscope.probability.rows import row_head_mean
from attnscope.records import Call, Grid, Layer, LayerId
from attnscope.records.qkv import Record
from attnscope.records.reduced import Key, Reduced, ReducedMaps
from attnscope.records.relations import as_kind

State = dict[str, Tensor]
"""'value' is the map so far. Empty before the first step."""
OfLayers = Sequence[tuple[Layer, Record]]
"""Layers, or parts of them, and what they computed in one call."""


class _Image(NamedTuple):
    """An image of a call: its batch row, and its frame where a row has several."""

    row: int
    frame: int


Rule = Callable[[State, Tensor, int], State]
"""rule(state, one step's map, step number) gives the new state, and may change both."""


def _mean(state: State, new: Tensor, step: int) -> State:
    count = state["count"] + 1 if state else torch.ones(())
    return {"value": state["value"].lerp_(new, float(1 / count)) if state else new, "count": count}


def _sum(state: State, new: Tensor, step: int) -> State:
    return {"value": state["value"].add_(new) if state else new}


def _max(state: State, new: Tensor, step: int) -> State:
    return {"value": torch.maximum(state["value"], new) if state else new}


def _last(state: State, new: Tensor, step: int) -> State:
    return {"value": new}


def _top(k: int, state: State, new: Tensor, step: int) -> State:
    values, steps = new[None], torch.full_like(new[None], step, dtype=torch.int32)
    if state:
        values, steps = torch.cat([state["value"], values]), torch.cat([state["steps"], steps])
    values, order = values.sort(
        dim=0, descending=True, stable=True
    )  # among equals the earlier step comes first
    return {"value": values[:k], "steps": steps.gather(0, order)[:k]}


RULES: dict[str, Rule] = {"mean": _mean, "sum": _sum, "max": _max, "last": _last}


def rule_of(reduction: Reduced) -> Rule:
    """The rule that adds a step to what was reduced so far.

    Args:
        reduction: What is asked for.
    """
    return partial(_top, reduction.top) if reduction.how == "top" else RULES[reduction.how]


class LiveReduction:
    """One reduction under way.

    Args:
        reduction: What is asked for.
        wanted: Numbers of the steps that go in.
    """

    def __init__(self, reduction: Reduced, wanted: Container[int]) -> None:
        self.reduction, self.wanted, self._rule = reduction, wanted, rule_of(reduction)
        self._layers: dict[LayerId, Layer] = {}
        self._states: dict[Key, State] = {}
        self._steps: list[int] = []
        self._images = 0
        self.failure = ""
        """Numbers of a step that give no attention: from then on there are no maps."""
        self.shared: dict[LayerId, Layer] = {}
        """Layers that are left out."""

    def add(
        self, call: Call, records: Mapping[LayerId, Record], layers: Mapping[LayerId, Layer], latent: Grid
    ) -> None:
        """Reduce one complete step by its main call. A step that lacks the branch or a layer is passed over.

        Layers whose keys come from several sources are left out: their columns are not those of the other layers.

        Args:
            call: The call.
            records: Records of all watched layers; the reduction takes its own from them.
            layers: The layers, with their shapes.
            latent: The latent grid.
        """
        rows = sorted(
            (row for row in call.rows if row.branch == self.reduction.branch), key=lambda row: row.image
        )
        if self.failure or call.step not in self.wanted or not rows:
            return
        parts = {
            part.id: (part, record)
            for name, record in records.items()
            if (part := as_kind(layers[name], self.reduction.kind)) and self.reduction.takes(part.id)
        }
        self.shared |= {name: part for name, (part, _) in parts.items() if _is_shared(part)}
        chosen = {name: record for name, (_, record) in parts.items() if name not in self.shared}
        images = [_Image(call.rows.index(row), frame) for row in rows for frame in range(row.frames)]
        if not chosen or not self._fits(chosen, len(images)):
            return
        self._images = len(images)
        self._layers |= {name: parts[name][0] for name in chosen}
        try:
            self._add_maps(call.step, chosen, images, latent)
        except ParameterError as error:  # the run goes on; whoever asks for the maps gets the error
            self.failure = f"step {call.step}, {error}"
            self._states, self._layers, self._steps = {}, {}, []

    def _add_maps(
        self, step: int, records: Mapping[LayerId, Record], images: list[_Image], latent: Grid
    ) -> None:
        with torch.inference_mode(False), torch.no_grad():
            # all maps first, then the states, so that an interrupt leaves the states at the step before
            for key, value in list(self._maps(records, images, latent)):
                self._states[key] = self._rule(self._states.get(key, {}), value, step)
        self._steps.append(step)

    def _fits(self, records: Mapping[LayerId, Record], images: int) -> bool:
        """Whether the step has the images of those before it, and where a map is of several layers, their layers."""
        if not self._layers:
            return True
        same_layers = self.reduction.per == "layer" or records.keys() == self._layers.keys()
        return same_layers and images == self._images

    def _maps(
        self, records: Mapping[LayerId, Record], images: list[_Image], latent: Grid
    ) -> Iterator[tuple[Key, Float[Tensor, "image query key"]]]:
        grids = {layer: self._layers[layer].grid for layer in records}
        if self.reduction.per == "layer":
            for layer, record in records.items():
                yield layer, _stacked([_head_mean(self._layers[layer], record, image) for image in images])
        elif self.reduction.per == "grid":
            for grid in dict.fromkeys(grids.values()):
                alike = [
                    (self._layers[name], record) for name, record in records.items() if grids[name] == grid
                ]
                yield grid, _stacked([_mean_of(alike, image) for image in images])
        elif records:
            of_all = _aggregate if self.reduction.kind == "self" else _on_one_grid
            of_layers = [(self._layers[name], record) for name, record in records.items()]
            yield latent, _stacked([of_all(of_layers, image, latent) for image in images])

    def result(self) -> ReducedMaps:
        """The maps so far. They hold the live tensors, which later steps go on changing."""
        return ReducedMaps(
            self.reduction,
            {key: state["value"] for key, state in self._states.items()},
            {key: state["steps"] for key, state in self._states.items() if "steps" in state},
            tuple(self._layers.values()),
            tuple(self._steps),
            self.failure,
        )


def _stacked(maps: list[Tensor]) -> Float[Tensor, "image query key"]:
    return maps[0][None] if len(maps) == 1 else torch.stack(maps)


def _head_mean(
    layer: Layer, record: Record, image: _Image, *, share: float = 1.0, into: Tensor | None = None
) -> Float[Tensor, "query key"]:
    with located(layer.id):
        return row_head_mean(record, image.row, share=share, into=into, layer=layer, frame=image.frame)


def _mean_of(of_layers: OfLayers, image: _Image) -> Float[Tensor, "query key"]:
    total = None
    for layer, record in of_layers:
        total = _head_mean(layer, record, image, share=1 / len(of_layers), into=total)
    assert total is not None  # there is a layer of each grid
    return total


def _on_one_grid(of_layers: OfLayers, image: _Image, latent: Grid) -> Float[Tensor, "query key"]:
    """Mean of the layers' cross-attention, each map resized bilinearly to the latent grid."""
    maps = [_resized(_head_mean(layer, record, image), layer.grid, latent) for layer, record in of_layers]
    return torch.stack(maps).mean(0)


def _resized(shares: Float[Tensor, "query key"], grid: Grid, latent: Grid) -> Tensor:
    return resize_maps(shares.T.reshape(-1, *grid), latent).flatten(1).T


def _aggregate(of_layers: OfLayers, image: _Image, latent: Grid) -> Float[Tensor, "query key"]:
    """DiffSeg's aggregate of one step, flat."""
    sums = ScaleSums()
    for layer, record in of_layers:
        add_to = partial(_add_head_mean, layer, record, image)
        sums.add(layer.grid, add_to)
    aggregated = sums.aggregated(grid=latent)
    return aggregated.reshape(latent.places, latent.places)


def _add_head_mean(layer: Layer, record: Record, image: _Image, total: Tensor | None) -> Tensor:
    return _head_mean(layer, record, image, into=total)


def _is_shared(layer: Layer) -> bool:
    """Whether keys come from elsewhere than is usual for the kind; the texts of several encoders are one text."""
    return any(part.name.partition("/")[0] != layer.usual_part for part in layer.parts)
