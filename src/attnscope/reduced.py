"""Maps kept of a whole run instead of every step's Q and K: head-mean attention, reduced over steps as they come.

A rule adds one step's map to a state of a few tensors. `Reduced` is the order that a user gives, `LiveReduction`
carries it out during a capture, `ReducedMaps` is what the trace holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate

from attnscope.diffseg.aggregation import ScaleSums
from attnscope.errors import CaptureError, ParameterError, SelectionError
from attnscope.layer_record import Record, row_head_mean
from attnscope.records import KINDS, Grid, Kind, Layer, LayerId, Step
from attnscope.selection import describe_numbers

How = Literal["mean", "sum", "max", "last", "top"]
Per = Literal["layer", "grid", "all"]
NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
Key = LayerId | Grid
"""What one map stands for: a layer, or all layers of a grid; for per='all' the latent grid."""


State = dict[str, Tensor]
"""'value' is what was reduced so far; empty before the first step."""
Rule = Callable[[State, Tensor, int], State]
"""rule(state, one step's map, which becomes the rule's own, step number) gives the new state."""


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
    values, order = values.sort(dim=0, descending=True, stable=True)  # of equals the earlier step first
    return {"value": values[:k], "steps": steps.gather(0, order)[:k]}


RULES: dict[str, Rule] = {"mean": _mean, "sum": _sum, "max": _max, "last": _last}


@dataclass(frozen=True)
class Reduced:
    """Keep head-mean maps of the run, reduced over steps, in place of Q and K.

    kind: 'self' or 'cross'. how: 'mean', 'sum', 'max', 'last' or 'top' over the steps (the `top` largest of each
    place and key, with the steps they are of).
    per: one map a 'layer'; one a 'grid', the mean of its layers; or one of 'all' layers on the latent grid: for
    cross-attention the mean of the layers' maps, each resized bilinearly (what a word's heat map is made of), for
    self-attention DiffSeg's aggregate.
    branch: guidance branch. blocks: block numbers, steps: step numbers or a slice; all by default.
    Memory: a map is float32, places x keys: 67 MB for self-attention at 64x64, 1.3 MB for cross-attention; 'top' holds
    2 x `top` of them, the others one.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> pipe.set_progress_bar_config(disable=True)
    >>> keep = {"words": attnscope.Reduced("cross"), "scene": attnscope.Reduced("self", per="grid")}
    >>> with attnscope.capture(pipe, steps=[], keep=keep) as trace:
    ...     result = pipe("a red house", num_inference_steps=2)
    >>> trace.reduced["scene"].map(grid=(16, 16)).shape
    torch.Size([256, 256])
    >>> attnscope.heat_map(trace, "house", reduced="words").array.shape
    (32, 32)
    """

    kind: Kind
    how: How = "mean"
    per: Per = "layer"
    branch: str = "cond"
    blocks: int | Sequence[int] | None = None
    steps: int | Sequence[int] | slice | None = None
    top: int = 3

    def __post_init__(self) -> None:
        for name, value, known in (
            ("kind", self.kind, KINDS),
            ("how", self.how, get_args(How)),
            ("per", self.per, get_args(Per)),
        ):
            if value not in known:
                raise ParameterError(f"{name} is {value!r}; expected one of {', '.join(map(repr, known))}")
        if self.top < 1:
            raise ParameterError(f"top is {self.top}; expected at least 1")
        if self.blocks is not None:
            numbers = (self.blocks,) if isinstance(self.blocks, int) else tuple(self.blocks)
            if not numbers or not all(isinstance(number, int) and number >= 1 for number in numbers):
                raise ParameterError(
                    f"blocks are {self.blocks!r}; expected a block number from 1, or several"
                )
            object.__setattr__(self, "blocks", numbers)

    @property
    def rule(self) -> Rule:
        return partial(_top, self.top) if self.how == "top" else RULES[self.how]

    def bytes(self, layers: Sequence[Layer], latent: Grid) -> int:
        """Memory of the maps of one run. layers: of the model; those of another kind or block are left out."""
        chosen = [layer for layer in layers if self.takes(layer.id)]
        if not chosen:
            return 0
        if self.per == "all":
            places = latent.size * (latent.size if self.kind == "self" else chosen[0].keys)
        else:
            maps = chosen if self.per == "layer" else {layer.grid: layer for layer in chosen}.values()
            places = sum(layer.grid.size * layer.keys for layer in maps)
        return 4 * chosen[0].batch * places * (2 * self.top if self.how == "top" else 1)

    def takes(self, layer: LayerId) -> bool:
        blocks: Any = self.blocks  # a tuple by now
        return layer.kind == self.kind and (blocks is None or layer.block in blocks)


def checked_orders(keep: Mapping[str, Reduced]) -> dict[str, Reduced]:
    """Raises ParameterError for names that can't be files' names, and for what is no `Reduced`."""
    for name, order in keep.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ParameterError(f"keep names {name!r}; expected 1 to 40 letters, digits, '-' or '_'")
        if not isinstance(order, Reduced):
            raise ParameterError(
                f"keep[{name!r}] is {order!r}; expected an attnscope.Reduced('self' or 'cross', ...)"
            )
    return dict(keep)


@dataclass
class ReducedMaps:
    """The maps that one `Reduced` kept.

    maps: per key (image, query, key) float32; 'top' has a leading axis of ranks. step_numbers: for 'top', of what step
    each value is. layers: the layers that went in. steps: step numbers that were added.
    """

    order: Reduced
    maps: dict[Key, Float[Tensor, ...]] = field(default_factory=dict)
    step_numbers: dict[Key, Int[Tensor, ...]] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    steps: tuple[int, ...] = ()

    def map(
        self, *, block: int | None = None, grid: tuple[int, int] | Grid | None = None, image: int = 0
    ) -> Float[Tensor, "query key"]:
        """The map of a block (kept per layer), of a grid (kept per grid), or the only one there is.

        With 'top' the first axis is the rank. Raises SelectionError for what was not kept.
        """
        wanted: Any = LayerId(block, self.order.kind) if block is not None else grid and Grid(*grid)
        if wanted is None and len(self.maps) == 1:
            wanted = next(iter(self.maps))
        if wanted not in self.maps:
            asked = "neither block nor grid" if wanted is None else str(wanted)
            raise SelectionError(f"{asked}: kept are maps of {', '.join(map(str, self.maps)) or 'nothing'}")
        return self._of_image(self.maps[wanted], image)

    def counted(self, image: int) -> Iterator[tuple[Grid, int, Float[Tensor, "query key"]]]:
        """(grid, number of layers in it, map) of every map of one image; not for 'top'."""
        if self.order.how == "top":
            raise ParameterError(
                "maps kept with how='top' hold several values a place, not one map: use their .map()"
            )
        grids = {layer.id: layer.grid for layer in self.layers}
        for key, stack in self.maps.items():
            grid = key if isinstance(key, Grid) else grids[key]
            alike = len(self.layers) if self.order.per == "all" else list(grids.values()).count(grid)
            yield grid, 1 if isinstance(key, LayerId) else alike, self._of_image(stack, image)

    def _of_image(self, stack: Tensor, image: int) -> Tensor:
        images = stack.shape[-3]
        if not 0 <= image < images:
            raise SelectionError(f"image {image}: this run has {describe_numbers(range(images))}")
        return stack[..., image, :, :]


class LiveReduction:
    """One order under way: takes the records of each complete step."""

    def __init__(self, order: Reduced, wanted: Container[int]) -> None:
        self.order, self._wanted = order, wanted
        self._layers: dict[LayerId, Layer] = {}
        self._states: dict[Key, State] = {}
        self._steps: list[int] = []

    def add(
        self, step: Step, records: Mapping[LayerId, Record], layers: Mapping[LayerId, Layer], latent: Grid
    ) -> None:
        """Reduce one complete step. records, layers: those that the order does not take are passed over."""
        if step.index not in self._wanted:
            return
        rows = sorted(
            (row for row in step.rows if row.branch == self.order.branch), key=lambda row: row.image
        )
        if not rows:
            branches = sorted({row.branch for row in step.rows})
            raise CaptureError(
                f"step {step.index} has no branch {self.order.branch!r} to reduce, only {branches}"
            )
        chosen = {layer: record for layer, record in records.items() if self.order.takes(layer)}
        self._layers |= {layer: layers[layer] for layer in chosen}
        with torch.inference_mode(False), torch.no_grad():
            # all maps first, then the states, so that an interrupt leaves the states at the step before
            new = list(self._maps(chosen, [step.rows.index(row) for row in rows], latent))
            for key, value in new:
                self._states[key] = self.order.rule(self._states.get(key, {}), value, step.index)
        self._steps.append(step.index)

    def _maps(
        self, records: Mapping[LayerId, Record], rows: list[int], latent: Grid
    ) -> Iterator[tuple[Key, Float[Tensor, "image query key"]]]:
        grids = {layer: self._layers[layer].grid for layer in records}
        if self.order.per == "layer":
            for layer, record in records.items():
                yield layer, _stacked([row_head_mean(record, row) for row in rows])
        elif self.order.per == "grid":
            for grid in dict.fromkeys(grids.values()):
                alike = [record for layer, record in records.items() if grids[layer] == grid]
                yield grid, _stacked([_mean_of(alike, row) for row in rows])
        elif records:
            of_all = _aggregate if self.order.kind == "self" else _on_one_grid
            yield latent, _stacked([of_all(records, grids, row, latent) for row in rows])

    def result(self) -> ReducedMaps:
        """What there is so far; it holds the live tensors, which later steps go on changing."""
        return ReducedMaps(
            self.order,
            {key: state["value"] for key, state in self._states.items()},
            {key: state["steps"] for key, state in self._states.items() if "steps" in state},
            tuple(self._layers.values()),
            tuple(self._steps),
        )


def _stacked(maps: list[Tensor]) -> Float[Tensor, "image query key"]:
    return maps[0][None] if len(maps) == 1 else torch.stack(maps)


def _mean_of(records: Sequence[Record], row: int) -> Float[Tensor, "query key"]:
    total = None
    for record in records:
        total = row_head_mean(record, row, share=1 / len(records), into=total)
    assert total is not None  # a grid is there because a layer has it
    return total


def _on_one_grid(
    records: Mapping[LayerId, Record], grids: Mapping[LayerId, Grid], row: int, latent: Grid
) -> Float[Tensor, "query key"]:
    """Mean of the layers' cross-attention, each map resized bilinearly to the latent grid."""
    maps = [_resized(row_head_mean(record, row), grids[layer], latent) for layer, record in records.items()]
    return torch.stack(maps).mean(0)


def _resized(shares: Float[Tensor, "query key"], grid: Grid, latent: Grid) -> Tensor:
    maps = shares.T.reshape(1, -1, *grid)
    return interpolate(maps, size=tuple(latent), mode="bilinear", align_corners=False)[0].flatten(1).T


def _aggregate(
    records: Mapping[LayerId, Record], grids: Mapping[LayerId, Grid], row: int, latent: Grid
) -> Float[Tensor, "query key"]:
    """DiffSeg's aggregate of one step, flat."""
    sums = ScaleSums()
    for layer, record in records.items():
        add_to = partial(_add_head_mean, record, row)
        sums.add((grids[layer].height, grids[layer].width), add_to)
    aggregated = sums.aggregated(grid=(latent.height, latent.width))
    return aggregated.reshape(latent.size, latent.size)


def _add_head_mean(record: Record, row: int, total: Tensor | None) -> Tensor:
    return row_head_mean(record, row, into=total)
