"""Reduced maps in a trace's folder: one file a name, and an entry in the manifest (docs/trace-format.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnscope.errors import ParameterError
from attnscope.records import Grid, Layer, LayerId
from attnscope.records.reduced import NAME, Key, Reduced, ReducedMaps
from attnscope.storage.manifest import layer_json, layer_key, number, parse_layer
from attnscope.storage.shards import Shape, check_finite, open_shard, write_shard

CHOICES = ("kind", "how", "per", "branch", "top")


def write_reduced(folder: Path, reduced: Mapping[str, ReducedMaps]) -> dict[str, Any]:
    """Write every file; returns the manifest's entry."""
    entry = {}
    for name, maps in reduced.items():
        tensors = {f"{_key_text(key)}.value": value for key, value in maps.maps.items()}
        tensors |= {f"{_key_text(key)}.steps": steps for key, steps in maps.step_numbers.items()}
        entry[name] = {
            **{choice: getattr(maps.order, choice) for choice in CHOICES},
            "blocks": maps.order.blocks,
            "steps": list(maps.steps),
            "layers": [layer_json(layer) for layer in maps.layers],
            "grids": [list(key) for key in maps.maps if isinstance(key, Grid)],
        }
        write_shard(_path(folder, name), tensors, {"reduced": name, **entry[name]})
    return entry


def read_reduced(folder: Path, entry: Mapping[str, Any]) -> dict[str, ReducedMaps]:
    """The maps of a manifest's entry, memory-mapped. Raises ValueError or KeyError for a damaged entry,
    TraceFormatError for a damaged file."""
    return {str(name): _read(folder, str(name), facts) for name, facts in entry.items()}


def _read(folder: Path, name: str, facts: Mapping[str, Any]) -> ReducedMaps:
    if not NAME.fullmatch(name):
        raise ValueError(f"reduced maps named {name!r}")
    blocks = None if facts["blocks"] is None else [number(block) for block in facts["blocks"]]
    try:
        order = Reduced(**{choice: facts[choice] for choice in CHOICES}, blocks=blocks)
    except ParameterError as error:
        raise ValueError(str(error)) from error
    layers = tuple(map(parse_layer, facts["layers"]))
    grids = [Grid(number(height), number(width)) for height, width in facts["grids"]]
    steps = tuple(number(step, least=0) for step in facts["steps"])
    shapes = _shapes(order, layers, grids, len(steps))
    parts = ("value", "steps") if order.how == "top" else ("value",)
    path = _path(folder, name)
    expected = {f"{_key_text(key)}.{part}": shape for key, shape in shapes.items() for part in parts}
    shard = open_shard(path, expected)
    values = {key: shard.get_tensor(f"{_key_text(key)}.value") for key in shapes}
    for key, value in values.items():
        check_finite(path, _key_text(key), value)
    numbers = {key: shard.get_tensor(f"{_key_text(key)}.steps") for key in shapes if order.how == "top"}
    return ReducedMaps(order, values, numbers, layers, steps)


def _shapes(order: Reduced, layers: tuple[Layer, ...], grids: list[Grid], steps: int) -> dict[Key, Shape]:
    ranks = (min(order.top, steps),) if order.how == "top" else ()
    shapes: dict[Key, Shape] = {}
    for layer in layers:
        key: Key = layer.id if order.per == "layer" else layer.grid
        if order.per != "all":
            shapes[key] = (*ranks, layer.batch, layer.grid.size, layer.keys)
    if order.per == "all" and layers:
        (grid,) = grids
        keys = grid.size if order.kind == "self" else layers[0].keys
        shapes[grid] = (*ranks, layers[0].batch, grid.size, keys)
    return shapes


def _path(folder: Path, name: str) -> Path:
    return folder / f"reduced-{name}.safetensors"


def _key_text(key: Key) -> str:
    return layer_key(key) if isinstance(key, LayerId) else f"grid{key.height}x{key.width}"
