"""Reduced maps in a trace's folder: one file a name, and an entry in the manifest (docs/trace-format.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnscope.errors import ParameterError
from attnscope.records import Grid, Layer, LayerId
from attnscope.records.reduced import NAME, Key, Reduced, ReducedMaps
from attnscope.storage.plain import layer_json, layer_key, number, parse_layer
from attnscope.storage.shards import Shape, check_finite, check_intact, open_shard, write_shard

CHOICES = ("kind", "how", "per", "branch", "top")


def write_reduced(folder: Path, prefix: str, reduced: Mapping[str, ReducedMaps]) -> dict[str, Any]:
    """Write a file for each of a pass's reduced maps, and return the manifest's entry.

    Args:
        folder: The trace's folder.
        prefix: What the files' names begin with.
        reduced: The maps, by name.

    Raises:
        OutputError: A file can't be written.
    """
    entry: dict[str, dict[str, Any]] = {}
    for name, maps in reduced.items():
        tensors = {f"{_key_text(key)}.value": value for key, value in maps.maps.items()}
        tensors |= {f"{_key_text(key)}.steps": steps for key, steps in maps.step_numbers.items()}
        entry[name] = {
            **{choice: getattr(maps.reduction, choice) for choice in CHOICES},
            "blocks": maps.reduction.blocks,
            "steps": list(maps.steps),
            "layers": [layer_json(layer) for layer in maps.layers],
            **({"failure": maps.failure} if maps.failure else {}),
            "grids": [list(key) for key in maps.maps if isinstance(key, Grid)],
        }
        about = {"reduced": name, **entry[name]}
        entry[name]["crc32"] = write_shard(_path(folder, prefix, name), tensors, about)
    return entry


def read_reduced(folder: Path, prefix: str, entry: Mapping[str, Any]) -> dict[str, ReducedMaps]:
    """The maps of a manifest's entry, memory-mapped.

    Args:
        folder: The trace's folder.
        prefix: What the files' names begin with.
        entry: As `write_reduced` returned it.

    Raises:
        KeyError, ValueError: The entry is damaged.
        TraceFormatError: A file is damaged.
    """
    return {str(name): _read(_path(folder, prefix, str(name)), facts) for name, facts in entry.items()}


def verify_reduced(folder: Path, prefix: str, entry: Mapping[str, Any]) -> None:
    """Read all files and compare their checksums.

    Args:
        folder: The trace's folder.
        prefix: What the files' names begin with.
        entry: As `write_reduced` returned it.

    Raises:
        TraceFormatError: A file's bytes have changed since they were written.
    """
    for name, facts in entry.items():
        path, sums = _path(folder, prefix, str(name)), facts.get("crc32", {})
        shard = open_shard(path, {})
        for tensor_name in shard.keys():  # noqa: SIM118 (a handle, not a mapping)
            check_intact(path, tensor_name, shard.get_tensor(tensor_name), sums.get(tensor_name))


def _read(path: Path, facts: Mapping[str, Any]) -> ReducedMaps:
    blocks = None if facts["blocks"] is None else [number(block) for block in facts["blocks"]]
    try:
        reduction = Reduced(**{choice: facts[choice] for choice in CHOICES}, blocks=blocks)
    except ParameterError as error:
        raise ValueError(str(error)) from error
    layers = tuple(map(parse_layer, facts["layers"]))
    grids = [Grid(number(height), number(width)) for height, width in facts["grids"]]
    steps = tuple(number(step, least=0) for step in facts["steps"])
    shapes = _shapes(reduction, layers, grids, len(steps))
    parts = ("value", "steps") if reduction.how == "top" else ("value",)
    expected = {f"{_key_text(key)}.{part}": shape for key, shape in shapes.items() for part in parts}
    shard, sums = open_shard(path, expected), facts.get("crc32", {})
    tensors = {name: shard.get_tensor(name) for name in expected}
    for name, tensor in tensors.items():
        check_intact(path, name, tensor, sums.get(name))
        if name.endswith(".value"):
            check_finite(path, name.removesuffix(".value"), tensor)
    values = {key: tensors[f"{_key_text(key)}.value"] for key in shapes}
    numbers = {key: tensors[f"{_key_text(key)}.steps"] for key in shapes if reduction.how == "top"}
    return ReducedMaps(reduction, values, numbers, layers, steps, str(facts.get("failure", ""))[:500])


def _shapes(reduction: Reduced, layers: tuple[Layer, ...], grids: list[Grid], steps: int) -> dict[Key, Shape]:
    ranks = (min(reduction.top, steps),) if reduction.how == "top" else ()
    shapes: dict[Key, Shape] = {}
    for layer in layers:
        key: Key = layer.id if reduction.per == "layer" else layer.grid
        if reduction.per != "all":
            shapes[key] = (*ranks, layer.batch, layer.grid.places, layer.keys)
    if reduction.per == "all" and layers:
        (grid,) = grids
        keys = grid.places if reduction.kind == "self" else layers[0].keys
        shapes[grid] = (*ranks, layers[0].batch, grid.places, keys)
    return shapes


def _path(folder: Path, prefix: str, name: str) -> Path:
    if not NAME.fullmatch(name):
        raise ValueError(f"reduced maps named {name!r}")
    return folder / f"{prefix}reduced-{name}.safetensors"


def _key_text(key: Key) -> str:
    return layer_key(key) if isinstance(key, LayerId) else f"grid{key.height}x{key.width}"
