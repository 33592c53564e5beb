"""A tensor that says what its axes are and what stands along them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from attnscope.errors import missing_extra
from attnscope.records import PLACE_KINDS
from attnscope.trace.query import Query


@dataclass(frozen=True, eq=False, repr=False)
class NamedTensor:
    """Probabilities that know their axes, from `trace.probabilities(..., named=True)`. `np.asarray` gives the numbers.

    Attributes:
        tensor: The numbers.
        axes: Names of the axes in order, out of 'step', 'branch', 'image', 'head', 'query' and 'key'.
        along: For each axis what stands along it: step numbers, branch names, flat numbers of places, token numbers.
        labels: More about an axis, by name: (axis, values), such as the text of each token.
        about: What holds for all numbers: block, kind, path, grid, and each choice by a single number.
    """

    tensor: Tensor
    axes: tuple[str, ...]
    along: Mapping[str, Sequence[Any]]
    labels: Mapping[str, tuple[str, Sequence[Any]]]
    about: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return tuple(self.tensor.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        numbers = self.tensor.cpu().numpy()
        # None: as NumPy 2 means it, which NumPy 1 can't be told
        return np.asarray(numbers, dtype) if copy is None else np.array(numbers, dtype, copy=copy)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{axis} {size}" for axis, size in zip(self.axes, self.shape, strict=True))
        return f"<NamedTensor {self.about['kind']} block {self.about['block']}: {sizes or 'one number'}>"

    def to_xarray(self) -> Any:
        """The same as an `xarray.DataArray`, with coordinates along its axes.

        Raises:
            MissingExtraError: xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise missing_extra("to_xarray", "xarray", "tables") from error
        along = {axis: (axis, list(values)) for axis, values in self.along.items()}
        labels = {name: (axis, list(values)) for name, (axis, values) in self.labels.items()}
        return xarray.DataArray(
            np.asarray(self),
            dims=self.axes,
            coords=along | labels,
            name="probability",
            attrs=dict(self.about),
        )


def named_tensor(tensor: Tensor, query: Query, texts: Sequence[str]) -> NamedTensor:
    """An answer together with what stands along its axes.

    Args:
        tensor: The numbers that answer the query.
        query: The query.
        texts: What each key of cross-attention reads; empty where that is not one and the same.
    """
    values = {axis: [_all(query, axis)[at] for at in pick.positions] for axis, pick in query.picks.items()}
    layer = query.layer
    labels: dict[str, tuple[str, Sequence[Any]]] = {}
    keys_are_places = layer.kind in PLACE_KINDS and not layer.parts
    has_grid = layer.frames == 1
    places = {"query": has_grid and not layer.query_parts, "key": has_grid and keys_are_places}
    for axis in (axis for axis, are_places in places.items() if are_places):
        if axis in query.axes:
            labels[f"{axis}_row"] = (axis, [place // layer.grid.width for place in values[axis]])
            labels[f"{axis}_column"] = (axis, [place % layer.grid.width for place in values[axis]])
    if layer.reads_text and not layer.parts and "key" in query.axes and len(texts) == layer.keys:
        labels["token"] = ("key", [texts[at] for at in values["key"]])
    if "step" in query.axes:
        labels["timestep"] = ("step", [query.steps[at].timestep for at in query.picks["step"].positions])
    single = {axis: values[axis][0] for axis, pick in query.kept.items() if pick.single}
    about = {"block": layer.block, "kind": layer.kind, "path": layer.path, "grid": str(layer.grid), **single}
    if layer.view is not None:
        about["relation"] = layer.view.relation
    along = {axis: values[axis] for axis in query.axes}
    return NamedTensor(tensor, query.axes, along, labels, about | {"mean": ", ".join(query.averaged)})


def _all(query: Query, axis: str) -> Sequence[Any]:
    """All numbers or names along an axis of the layer."""
    return {
        "step": [step.index for step in query.steps],
        "branch": query.branches,
        "image": query.images,
        "head": range(query.layer.heads),
        "query": range(query.layer.queries),
        "key": range(query.layer.keys),
    }[axis]
