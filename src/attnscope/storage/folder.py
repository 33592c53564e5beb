"""Traces on disk: a manifest and one safetensors shard a step (docs/trace-format.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnscope.errors import OutputError, TraceFormatError
from attnscope.files import is_empty_folder, whole_file, whole_folder
from attnscope.records import Layer, LayerId, Run, Step
from attnscope.records.qkv import Record
from attnscope.records.reduced import ReducedMaps
from attnscope.storage.manifest import MANIFEST, Manifest, check_manifest_size, layer_key, record_shapes
from attnscope.storage.memory import Records
from attnscope.storage.reduced_maps import write_reduced
from attnscope.storage.shards import check_finite, open_shard, write_shard


class TraceFolder:
    """Records in a folder: written step by step, read by memory map.

    The manifest is written anew after each shard, so what is in the folder opens at any moment.
    """

    in_memory = False

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self._handles: dict[int, Any] = {}
        self._checked: set[tuple[int, LayerId]] = set()

    @classmethod
    def create(cls, folder: str | Path, run: Run) -> TraceFolder:
        """A new, empty trace folder. Raises OutputError if something is there already."""
        path = Path(folder)
        if path.exists() and not is_empty_folder(path):
            raise OutputError(
                f"{path} exists already: a capture writes into a new folder; choose another name"
            )
        made = cls(path, Manifest(run))
        made._write_manifest()
        return made

    @classmethod
    def open(cls, folder: str | Path) -> TraceFolder:
        """An existing trace folder, its manifest and the headers of its shards checked."""
        path = Path(folder)
        if not path.is_dir():
            raise TraceFormatError(f"{path}: no such folder; expected a trace as `trace.save` writes it")
        manifest = Manifest.from_json(_read_manifest(path), path)
        opened = cls(path, manifest)
        for step in manifest.steps:
            opened._open_shard(step)
        return opened

    @property
    def steps(self) -> list[Step]:
        return self.manifest.steps

    @property
    def layers(self) -> dict[LayerId, Layer]:
        return self.manifest.layers

    def make_room(self, size: int, *, staged: int = 0) -> None:
        """One step is held while it is written, whatever its size."""

    def add_step(self, step: Step, records: dict[LayerId, Record]) -> None:
        tensors = {
            f"{layer_key(layer)}.{part}": tensor
            for layer, record in records.items()
            for part, tensor in record.tensors.items()
        }
        write_shard(self._shard(step), tensors, self.manifest.shard_header(step, records))
        self.manifest.add_step(step, records)
        self._write_manifest()

    def finish(self, run: Run, reduced: Mapping[str, ReducedMaps]) -> None:
        """Write the pictures, the reduced maps and the final manifest."""
        self.manifest.run = run
        self.manifest.reduced = write_reduced(self.folder, reduced)
        for number, picture in enumerate(run.pictures):
            with whole_file(self.folder / self.manifest.picture_name(number)) as partial:
                picture.save(partial, format="PNG")
        self._write_manifest()

    def has(self, step_index: int, layer: LayerId) -> bool:
        return layer in self.manifest.facts.get(step_index, ())

    def get(self, step_index: int, layer: LayerId) -> Record:
        step = next(step for step in self.steps if step.index == step_index)
        facts = self.manifest.facts[step_index][layer]
        shard = self._open_shard(step)
        tensors = {part: shard.get_tensor(f"{layer_key(layer)}.{part}") for part in facts.parts}
        if (step_index, layer) not in self._checked:
            for part, tensor in tensors.items():
                if part != "mask":
                    check_finite(self._shard(step), f"{part} of {layer}", tensor)
            self._checked.add((step_index, layer))
        return Record(**tensors, scale=facts.scale, upcast=facts.upcast)

    def _shard(self, step: Step) -> Path:
        return self.folder / self.manifest.shard_name(step.index)

    def _write_manifest(self) -> None:
        with whole_file(self.folder / MANIFEST) as partial:
            partial.write_text(self.manifest.to_text(), "utf-8")

    def _open_shard(self, step: Step) -> Any:
        if step.index not in self._handles:
            self._handles[step.index] = open_shard(self._shard(step), record_shapes(self.manifest, step))
        return self._handles[step.index]


def save_records(
    records: Records,
    run: Run,
    reduced: Mapping[str, ReducedMaps],
    folder: str | Path,
    *,
    overwrite: bool = False,
) -> Path:
    """Write all that a trace holds as a folder, whole or not at all.

    Raises OutputError if the folder exists (unless overwrite, and then only if it is a trace) or
    can't be written.
    """
    target = Path(folder)
    free = not target.exists() or is_empty_folder(target)
    if overwrite and not free and not (target / MANIFEST).is_file():
        raise OutputError(f"{target} is not a trace: it is left alone; choose another name")
    with whole_folder(target, overwrite=overwrite) as partial:
        written = TraceFolder(partial, Manifest(run, layers=dict(records.layers)))
        for step in records.steps:
            there = [layer for layer in records.layers if records.has(step.index, layer)]
            written.add_step(step, {layer: records.get(step.index, layer) for layer in there})
        written.finish(run, reduced)
    return target


def _read_manifest(folder: Path) -> Any:
    path = folder / MANIFEST
    if not path.is_file():
        raise TraceFormatError(
            f"{folder} has no {MANIFEST}: it is not a trace, or its first step was never written"
        )
    check_manifest_size(path)
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise TraceFormatError(f"{path}: not readable as JSON ({error})") from error
