"""From what one layer computed to its description: on which grid, over which keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from attnscope.atlas.families import Attended
from attnscope.errors import CaptureError, UnobservedError
from attnscope.recording.observing.key_sources import PLACES_CHECKED, are_of_other_rows, own_keys
from attnscope.recording.observing.observation import Sighting
from attnscope.recording.planning.modules import TappedLayer
from attnscope.records import Grid, KeyPart, Kind, Layer, LayerId, QueryPart, Row
from attnscope.records.qkv import Record


class LayerBook:
    """The layers of one pass with their shapes, described when each first runs."""

    def __init__(self) -> None:
        self.layers: dict[LayerId, Layer] = {}
        self._maps: dict[str, tuple[int, ...]] = {}
        self.attended: Attended | None = None
        """What the call under way attends over; None where feature maps tell."""

    def note_map(self, path: str, shape: tuple[int, ...]) -> None:
        """Note the shape of the feature map that the attentions below a module read.

        Args:
            path: The module's path.
            shape: Shape of its input.
        """
        self._maps[path] = shape

    def grid_of(self, tapped: TappedLayer, hidden: Tensor) -> Grid:
        """Height and width of the feature map that a layer reads.

        Args:
            tapped: The layer.
            hidden: Its input.

        Raises:
            CaptureError: It is not known, or has other places than the layer.
        """
        if self.attended is not None:
            return self.attended.grid
        return grid_of(tapped, hidden, self._maps.get(tapped.map_owner, ()))

    def described(
        self,
        tapped: TappedLayer,
        sighting: Sighting,
        hidden: Tensor,
        grid: Grid,
        rows: Sequence[Row],
        rows_of_call: int,
    ) -> Layer:
        """The layer that a sighting is of. It must have the shapes that it had before.

        Args:
            tapped: The module.
            sighting: What it computed, its queries the places of the grid.
            hidden: The module's input.
            grid: The layer's grid.
            rows: The batch rows that are kept of it.
            rows_of_call: How many rows the model's batch has.

        Raises:
            CaptureError: It has other rows than the batch, or another shape than in an earlier call.
            UnobservedError: It has more keys than its kind has, and nothing tells where they come from.
        """
        keys = sighting.record.key.shape[2]
        _check_rows(tapped, sighting.record, rows_of_call)
        layer_id = self._id_of(tapped, sighting)
        layer = self.layers.get(layer_id)
        if layer is None:
            layer = _described(tapped, layer_id, sighting, hidden, grid, rows, self.attended)
            self.layers[layer.id] = layer
        if (layer.grid, layer.keys) != (grid, keys):
            raise CaptureError(
                f"{layer.id} has {grid} places and {keys} keys, but {layer.grid} and {layer.keys} in an earlier call "
                "of the model: capture such calls one by one"
            )
        return layer

    def _id_of(self, tapped: TappedLayer, sighting: Sighting) -> LayerId:
        """A second attention of a block may read the pictures of an adapter, too: its kind has the next number."""
        layer, number = LayerId(tapped.layer.block, sighting.kind or tapped.layer.kind), 1
        while sighting.kind == "image" and layer in self.layers and self.layers[layer].path != tapped.path:
            number += 1
            layer = replace(layer, kind=f"image{number}")
        return layer


def _check_rows(tapped: TappedLayer, record: Record, rows_of_call: int) -> None:
    rows = record.query.shape[0] if record.rows is None else rows_of_call
    if rows != rows_of_call:
        raise CaptureError(
            f"{tapped.layer} ({tapped.path}) has {rows} rows where the model's batch has {rows_of_call}, so "
            "it is unknown which row is which image; leave the layer out with blocks= or kind="
        )


def grid_of(tapped: TappedLayer, hidden: Tensor, map_shape: tuple[int, ...]) -> Grid:
    """Height and width of the feature map that a layer reads.

    Args:
        tapped: The layer.
        hidden: Its input.
        map_shape: Shape of the input of the module that holds the feature map, () if that has not run.

    Raises:
        CaptureError: Neither is a feature map, or it has other places than the layer.
    """
    shape = tuple(hidden.shape) if hidden.ndim == 4 else map_shape
    if len(shape) != 4:
        raise CaptureError(
            f"{tapped.layer} ({tapped.path}): the height and width of its {hidden.shape[1]} places are "
            f"unknown, since {tapped.map_owner} was given no feature map; leave the layer out with blocks= "
            "or kind="
        )
    grid = Grid(*shape[-2:])
    if hidden.ndim == 3 and hidden.shape[1] != grid.places and tapped.layer.kind != "fuser":
        raise CaptureError(
            f"{tapped.layer} ({tapped.path}): its {hidden.shape[1]} places are not the {grid} of the feature map; "
            "something merges or adds places, such as ToMe (tomesd.remove_patch(pipe))"
        )
    return grid


def as_places(record: Record, grid: Grid) -> Record:
    """A fuser's record with the places of the grid alone: its grounded objects ask, too, and come after them.

    Args:
        record: The record.
        grid: The layer's grid.
    """
    extra = record.query.shape[2] - grid.places
    if extra <= 0:
        return record
    mask = record.mask
    if mask is not None and mask.shape[2] > 1:
        mask = mask[:, :, : grid.places]
    edited = None if record.edited is None else record.edited[:, :, : grid.places]
    return replace(record, query=record.query[:, :, : grid.places], mask=mask, edited=edited)


def _described(
    tapped: TappedLayer,
    layer: LayerId,
    sighting: Sighting,
    hidden: Tensor,
    grid: Grid,
    rows: Sequence[Row],
    attended: Attended | None,
) -> Layer:
    """A layer that runs for the first time, with its shapes in this run."""
    record = sighting.record
    _, heads, queries, dim = record.query.shape
    query_parts = _query_parts(tapped, sighting, attended)
    places = grid.places if attended is None else attended.parts["own"]
    if queries != (sum(part.queries for part in query_parts) or places):
        raise CaptureError(
            f"{tapped.layer} ({tapped.path}): {queries} queries are not the {_said(grid, attended)} places of its map"
            + "".join(f", {part.queries} of {part.name!r}" for part in query_parts if part.name != "own")
        )
    images = len({row.image for row in rows})
    return Layer(
        block=layer.block,
        kind=layer.kind,
        path=tapped.path,
        stage=tapped.stage,
        grid=grid,
        heads=heads,
        head_dim=dim,
        keys=record.key.shape[2],
        batch=images,
        branches=len(rows) // images,
        parts=sighting.parts or _parts(tapped, layer.kind, record, hidden, grid, attended),
        query_parts=query_parts,
        frames=attended.frames if attended is not None else 1,
    )


def _said(grid: Grid, attended: Attended | None) -> str:
    return str(grid) if attended is None or attended.frames == 1 else f"{attended.frames} x {grid}"


def _query_parts(tapped: TappedLayer, sighting: Sighting, attended: Attended | None) -> tuple[QueryPart, ...]:
    """Where a layer's queries come from; () for the places of its grid alone. An adapter's are the image's."""
    if attended is None or tapped.sides is None or sighting.kind is not None:
        return ()
    return attended.query_parts(tapped.sides)


def _known_parts(tapped: TappedLayer, keys: int, attended: Attended) -> tuple[KeyPart, ...]:
    """Where the keys of a transformer's attention come from; () for the usual source of its kind."""
    assert tapped.sides is not None
    parts = attended.tokens_of(tapped.sides.keys)
    if sum(count for _, count in parts) != keys:
        raise CaptureError(
            f"{tapped.layer} ({tapped.path}) has {keys} keys, and the model's call "
            + " and ".join(f"{count} of {name!r}" for name, count in parts)
            + ": its processor adds or leaves out some; use diffusers' own"
        )
    return attended.key_parts(tapped.sides)


def _parts(
    tapped: TappedLayer, kind: Kind, record: Record, hidden: Tensor, grid: Grid, attended: Attended | None
) -> tuple[KeyPart, ...]:
    """Where a layer's keys come from; () for the usual source of its kind."""
    keys, places = record.key.shape[2], grid.places
    if attended is not None and tapped.sides is not None:
        return _known_parts(tapped, keys, attended)
    if kind.startswith("cross"):
        return ()
    if kind == "joint":
        return (KeyPart("context", keys - places), KeyPart("own", places))
    if kind == "fuser":
        return (KeyPart("own", places), KeyPart("objects", keys - places))
    made = _made_keys(tapped, record, hidden)
    if keys == places:
        return (KeyPart("reference", keys),) if are_of_other_rows(record, made) else ()
    start = own_keys(record, made, places)
    if start is None:
        raise UnobservedError(
            f"{tapped.layer} ({tapped.path}) has {keys} keys for its {places} places, and it can't be told "
            f"which of them are its own: its processor {type(tapped.module.processor).__name__} adds keys "
            "from elsewhere. Capture the other layers, kind='cross', or use diffusers' own processor"
        )
    around = (
        KeyPart("reference", start),
        KeyPart("own", places),
        KeyPart("reference", keys - places - start),
    )
    return tuple(part for part in around if part.keys)


def _made_keys(tapped: TappedLayer, record: Record, hidden: Tensor) -> Tensor | None:
    """What `to_k` makes of the first places of a layer's input, without the hooks that others put on it."""
    to_k, (rows, heads, _, dim) = getattr(tapped.module, "to_k", None), record.key.shape
    if not isinstance(to_k, nn.Module) or hidden.ndim != 3 or hidden.shape[0] != rows or hidden.is_meta:
        return None
    with torch.no_grad():
        made = to_k.forward(hidden[:, :PLACES_CHECKED])
    if made.shape[-1] != heads * dim:
        return None
    return made.unflatten(-1, (heads, dim)).transpose(1, 2).to(record.key)
