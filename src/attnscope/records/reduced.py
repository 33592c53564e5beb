"""Maps kept of a whole run instead of every step's Q and K: head-mean attention, reduced over steps.

`Reduced` says what to keep, `ReducedMaps` is what the trace holds. recording/running/reductions.py does the work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attnscope.errors import NumbersError, ParameterError, SelectionError, describe_numbers
from attnscope.records.layers import KINDS, Grid, Kind, Layer, LayerId
from attnscope.spelling import both_spellings

How = Literal["mean", "sum", "max", "last", "top"]
Per = Literal["layer", "grid", "all"]
NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
Key = LayerId | Grid
"""What one map belongs to: a layer, all layers of a grid, or (per='all') the latent grid."""


@both_spellings("blocks", "steps")
@dataclass(frozen=True)
class Reduced:
    """A reduction for `capture(keep=...)`: keep head-mean maps of the run, reduced over steps, in place of Q and K.

    Attributes:
        kind: 'self' or 'cross'.
        how: Over the steps: 'mean', 'sum', 'max', 'last', or 'top' for the `top` largest of each place and key,
            together with their steps.
        per: One map for each 'layer'; for each 'grid', the mean of its layers; or one for 'all' layers on the latent
            grid. For cross-attention that is the mean of the layers' maps, each resized bilinearly (what a heat map
            is made of); for self-attention it is DiffSeg's aggregate.
        branch: Guidance branch.
        blocks: Block numbers from 1. Default: all.
        steps: Step numbers from 0, or a slice. Default: all.
        top: How many values 'top' keeps of each place and key.

    Raises:
        ParameterError: An unknown kind, how or per; or blocks or top below 1.

    Cost: a map is float32, places x keys: 67 MB for self-attention at 64x64, 1.3 MB for cross-attention. 'top' holds
    2 x `top` of them, the others one.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> pipe.set_progress_bar_config(disable=True)
    >>> keep = {"words": attnscope.Reduced("cross"), "scene": attnscope.Reduced("self", per="grid")}
    >>> with attnscope.capture(pipe, qk=False, keep=keep) as trace:
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

    def bytes(self, layers: Sequence[Layer], latent: Grid) -> int:
        """Bytes of the maps of one run.

        Args:
            layers: The model's layers. Those of another kind or block are left out.
            latent: The latent grid, which maps of 'all' layers have.
        """
        chosen = [layer for layer in layers if self.takes(layer.id)]
        if not chosen:
            return 0
        if self.per == "all":
            places = latent.places * (latent.places if self.kind == "self" else chosen[0].keys)
        else:
            maps = chosen if self.per == "layer" else {layer.grid: layer for layer in chosen}.values()
            places = sum(layer.grid.places * layer.keys for layer in maps)
        return 4 * chosen[0].batch * places * (2 * self.top if self.how == "top" else 1)

    def takes(self, layer: LayerId) -> bool:
        """Whether a layer goes into the maps.

        Args:
            layer: Block and kind of the layer.
        """
        blocks: Any = self.blocks  # a tuple by now
        return layer.kind == self.kind and (blocks is None or layer.block in blocks)


def checked_reductions(keep: Mapping[str, Reduced]) -> dict[str, Reduced]:
    """The reductions of a capture, checked.

    Args:
        keep: Names and reductions, as `capture(keep=...)` takes them.

    Raises:
        ParameterError: A name that can't be a file's name, or a value that is no `Reduced`.
    """
    alike: dict[str, str] = {}
    for name, reduction in keep.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ParameterError(f"keep names {name!r}; expected 1 to 40 letters, digits, '-' or '_'")
        if (other := alike.setdefault(name.lower(), name)) != name:
            raise ParameterError(
                f"keep names {other!r} and {name!r}, which are the same file on disks that ignore case: "
                "rename one"
            )
        if not isinstance(reduction, Reduced):
            raise ParameterError(
                f"keep[{name!r}] is {reduction!r}; expected an attnscope.Reduced('self' or 'cross', ...)"
            )
    return dict(keep)


@dataclass(repr=False)
class ReducedMaps:
    """The maps that one `Reduced` kept of a run.

    Attributes:
        reduction: The reduction that was asked for.
        maps: For each layer or grid: (image, query, key), float32. 'top' has a leading axis of ranks.
        step_numbers: For 'top': the step of each value.
        layers: The layers that went in.
        steps: Numbers of the steps that went in.
        failure: Why there are no maps: the layer and the step whose numbers give no attention. '' as a rule.
    """

    reduction: Reduced
    maps: Mapping[Key, Float[Tensor, ...]] = field(default_factory=dict)
    step_numbers: Mapping[Key, Int[Tensor, ...]] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    steps: tuple[int, ...] = ()
    failure: str = ""

    def __eq__(self, other: object) -> bool:
        """The same reduction of the same layers and steps with the same numbers."""
        if not isinstance(other, ReducedMaps):
            return NotImplemented
        ours, theirs = ((of.reduction, of.layers, of.steps) for of in (self, other))
        return (
            ours == theirs and _equal(self.maps, other.maps) and _equal(self.step_numbers, other.step_numbers)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        of, steps = self.reduction, len(self.steps)
        return f"<ReducedMaps: {of.how} of {of.kind}-attention over {steps} steps, {len(self.maps)} maps, per {of.per}>"

    def map(
        self, *, block: int | None = None, grid: tuple[int, int] | Grid | None = None, image: int = 0
    ) -> Float[Tensor, "query key"]:
        """One of the maps. Without a choice it is the only one there is.

        Args:
            block: Block number, for maps kept per layer.
            grid: Grid (height, width), for maps kept per grid.
            image: Which picture of the batch, from 0.

        Returns:
            Shares of attention. With 'top' the first axis is the rank, largest first.

        Raises:
            SelectionError: No such map was kept.
            NumbersError: There are none, see `failure`.
        """
        self.checked()
        wanted: Any = LayerId(block, self.reduction.kind) if block is not None else grid and Grid(*grid)
        if wanted is None and len(self.maps) == 1:
            wanted = next(iter(self.maps))
        if wanted not in self.maps:
            asked = "neither block nor grid" if wanted is None else str(wanted)
            raise SelectionError(f"{asked}: kept are maps of {', '.join(map(str, self.maps)) or 'nothing'}")
        return self._of_image(self.maps[wanted], image)

    def counted(self, image: int) -> Iterator[tuple[Grid, int, Float[Tensor, "query key"]]]:
        """Every map of one picture, with its grid and the number of layers in it. Not for 'top'.

        Args:
            image: Which picture of the batch, from 0.

        Yields:
            (grid, number of layers, map).

        Raises:
            ParameterError: The maps were kept with 'top', so there are several values for each place.
            SelectionError: The run has no such picture.
            NumbersError: There are none, see `failure`.
        """
        self.checked()
        if self.reduction.how == "top":
            raise ParameterError(
                "maps kept with how='top' hold several values a place, not one map: use their .map()"
            )
        grids = {layer.id: layer.grid for layer in self.layers}
        for key, stack in self.maps.items():
            grid = key if isinstance(key, Grid) else grids[key]
            alike = len(self.layers) if self.reduction.per == "all" else list(grids.values()).count(grid)
            yield grid, 1 if isinstance(key, LayerId) else alike, self._of_image(stack, image)

    def checked(self) -> ReducedMaps:
        """The maps themselves, unless numbers of the run gave no attention.

        Raises:
            NumbersError: The layer and the step are named.
        """
        if self.failure:
            raise NumbersError(self.failure)
        return self

    def _of_image(self, stack: Tensor, image: int) -> Tensor:
        images = stack.shape[-3]
        if not 0 <= image < images:
            raise SelectionError(f"image {image}: this run has {describe_numbers(range(images))}")
        return stack[..., image, :, :]


def _equal(ours: Mapping[Key, Tensor], theirs: Mapping[Key, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
