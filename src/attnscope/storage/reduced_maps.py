"""Reduced maps in a trace's folder: one file a name, and an entry in the manifest (docs/trace-format.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from attnscope.errors import ParameterError, TraceFormatError
from attnscope.records import Grid, Layer, LayerId
from attnscope.records.reduced import NAME, Key, Reduced, ReducedMaps
from attnscope.storage.digests import crc32, digest
from attnscope.storage.plain import layer_json, layer_key, parse_layer
from attnscope.storage.plain_files import Stamp, damaged
from attnscope.storage.shards import Shape, Shard, check_finite, check_intact, open_shard, write_shard
from attnscope.storage.values import items, number, storable, text

MOST_SAID = 500  # characters of why there are no maps
_SUMS = ("digest", "crc32")
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
    entry: dict[str, Any] = {}
    for name, maps in reduced.items():
        tensors = {f"{_key_text(key)}.value": value for key, value in maps.maps.items()}
        tensors |= {f"{_key_text(key)}.steps": steps for key, steps in maps.step_numbers.items()}
        about = storable(_about(maps))
        digests = write_shard(reduced_path(folder, prefix, name), tensors, {"reduced": name, **about})
        entry[name] = {**about, "digest": digests}
    return entry


def _about(maps: ReducedMaps) -> dict[str, Any]:
    blocks = maps.reduction.blocks
    return {
        **{choice: getattr(maps.reduction, choice) for choice in CHOICES},
        "blocks": list(blocks) if isinstance(blocks, Sequence) else blocks,
        "steps": list(maps.steps),
        "layers": [layer_json(layer) for layer in maps.layers],
        **({"failure": maps.failure} if maps.failure else {}),
        "grids": [list(key) for key in maps.maps if isinstance(key, Grid)],
    }


def read_reduced(
    folder: Path, prefix: str, entry: Mapping[str, Any], *, verify: bool = True
) -> dict[str, ReducedMaps]:
    """The maps of a manifest's entry. Headers are checked now, the maps when they are first read.

    Args:
        folder: The trace's folder.
        prefix: What the files' names begin with.
        entry: As `write_reduced` returned it.
        verify: Compare a map's digest when it is first read.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: The entry is damaged.
        TraceFormatError: A file is damaged.
    """
    return {
        name: _read(reduced_path(folder, prefix, name), name, facts, verify) for name, facts in entry.items()
    }


class StoredMaps(Mapping[Key, Tensor]):
    """Maps in a file, or their steps, each read when it is asked for.

    Args:
        shard: The file.
        names: Name of each tensor in the file.
        check: Called with a tensor that was read from the file for the first time, and its name.
    """

    def __init__(self, shard: Shard, names: Mapping[Key, str], check: Callable[[str, Tensor], None]) -> None:
        self._shard, self._names, self._check = shard, names, check
        self._checked: dict[str, Stamp] = {}

    def __getitem__(self, key: Key) -> Tensor:
        name = self._names[key]
        tensors, stamp = self._shard.read([name])
        if self._checked.get(name) != stamp:
            self._check(name, tensors[name])
            self._checked[name] = stamp
        return tensors[name]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _read(path: Path, name: str, facts: Mapping[str, Any], verify: bool) -> ReducedMaps:
    reduction, layers = _reduction(facts), tuple(map(parse_layer, items(facts["layers"])))
    steps = tuple(number(step, least=0) for step in items(facts["steps"]))
    grids = [Grid(number(height), number(width)) for height, width in map(items, items(facts["grids"]))]
    shapes = _shapes(reduction, layers, grids, len(steps))
    names = {part: {key: f"{_key_text(key)}.{part}" for key in shapes} for part in _parts(reduction)}
    expected = {name_of[key]: shape for name_of in names.values() for key, shape in shapes.items()}
    shard = open_shard(path, expected)
    _check_about(path, shard, {"reduced": name, **facts})
    sums = _sums(facts, expected) if verify else {}
    check = _Check(path, sums, crc32 if "digest" not in facts else digest)
    return ReducedMaps(
        reduction,
        StoredMaps(shard, names["value"], check),
        StoredMaps(shard, names.get("steps", {}), check),
        layers,
        steps,
        text(facts.get("failure", ""))[:MOST_SAID],
    )


@dataclass(frozen=True)
class _Check:
    """Compares a tensor that was read with what its entry says."""

    path: Path
    sums: Mapping[str, int]
    sum_of: Callable[[Tensor], int]

    def __call__(self, name: str, tensor: Tensor) -> None:
        if name in self.sums:
            check_intact(self.path, name, tensor, self.sums[name], self.sum_of)
        if name.endswith(".value"):
            check_finite(self.path, name.removesuffix(".value"), tensor)


def _sums(facts: Mapping[str, Any], names: Iterable[str]) -> dict[str, int]:
    """Digest of each tensor, or what earlier traces have in its place, if anything."""
    known = facts.get("digest", facts.get("crc32"))
    return {} if known is None else {name: number(known[name], least=0, most=2**32 - 1) for name in names}


def _reduction(facts: Mapping[str, Any]) -> Reduced:
    blocks = None if facts["blocks"] is None else [number(block) for block in items(facts["blocks"])]
    choices = {choice: text(facts[choice]) for choice in CHOICES if choice != "top"}
    try:
        return Reduced(**choices, top=number(facts["top"]), blocks=blocks)  # type: ignore[arg-type]
    except ParameterError as error:
        raise ValueError(str(error)) from error


def _check_about(path: Path, shard: Shard, entry: Mapping[str, Any]) -> None:
    """What the file says of itself is its entry, less the digests, which are known later."""
    is_known = shard.about is None and "digest" in entry
    if not is_known and shard.about != {name: value for name, value in entry.items() if name not in _SUMS}:
        raise TraceFormatError(
            f"{path}: its header contradicts the manifest: put the right file there or capture again"
        )
    if wrong := [name for name, at in shard.stored.items() if name.endswith(".value") and at.type != "F32"]:
        raise damaged(path, f"{wrong[0]} is of type {shard.stored[wrong[0]].type}; expected F32")


def _parts(reduction: Reduced) -> tuple[str, ...]:
    return ("value", "steps") if reduction.how == "top" else ("value",)


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


def reduced_path(folder: Path, prefix: str, name: str) -> Path:
    """The file of reduced maps.

    Args:
        folder: The trace's folder.
        prefix: What the files' names begin with.
        name: Name of the maps.

    Raises:
        ValueError: They can't have such a name.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"reduced maps named {name!r}")
    return folder / f"{prefix}reduced-{name}.safetensors"


def _key_text(key: Key) -> str:
    return layer_key(key) if isinstance(key, LayerId) else f"grid{key.height}x{key.width}"
