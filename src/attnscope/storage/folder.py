"""Traces on disk: a manifest and one safetensors shard a call of the model (docs/trace-format.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from attnscope.errors import TraceFormatError
from attnscope.files import (
    check_free,
    missing_folders,
    remove_empty,
    whole_file,
)
from attnscope.files.temporary import tidy
from attnscope.pictures.writing import write_picture
from attnscope.records import Call, Layer, LayerId, Run
from attnscope.records.qkv import Record
from attnscope.records.reduced import ReducedMaps
from attnscope.storage.manifest import MANIFEST, PassManifest, manifest_text, read_manifest
from attnscope.storage.plain import layer_key
from attnscope.storage.reduced_maps import read_reduced, verify_reduced, write_reduced
from attnscope.storage.shards import check_finite, check_intact, open_shard, write_shard


class TraceFolder:
    """Passes in a folder: written call by call, read by memory map.

    The manifest is written anew after each shard, so the folder opens at any moment.

    Args:
        folder: The trace's folder.
    """

    in_memory = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passes: list[FolderRecords] = []
        self._manifests: list[PassManifest] = []
        self._missing = missing_folders(folder)

    @classmethod
    def create(cls, folder: str | Path, *, temporary: bool = False) -> TraceFolder:
        """A new trace folder. It is made when the first pass begins.

        Args:
            folder: Its path.
            temporary: Nobody needs it once it is empty, although it may be there already.

        Raises:
            OutputError: Something is there already.
        """
        path = Path(folder)
        remedy = "a capture writes into a new folder; choose another name"
        check_free(folders=[path], overwrite=False, remedy=remedy)
        created = cls(path.absolute())  # the run may change its working directory
        created._missing += [path] if temporary else []
        return created

    @classmethod
    def open(cls, folder: str | Path, *, verify: bool = True) -> TraceFolder:
        """An existing trace folder. Its manifest and the headers of its shards are checked.

        Args:
            folder: Its path.
            verify: Compare a tensor's checksum when it is first read.

        Raises:
            TraceFormatError: The folder is no trace, is damaged, has another format version, or nobody may read it.
        """
        path = Path(folder).absolute()
        tidy(path.parent)
        tidy(path)
        with _readable(path):
            if not path.is_dir():
                what = "a file" if path.exists() else "no such folder"
                raise TraceFormatError(
                    f"{folder}: {what}; expected a trace, a folder as `trace.save` writes it"
                )
            opened = cls(path)
            opened._manifests = read_manifest(path)
        opened.passes = [
            FolderRecords(path, at, opened._manifests, verify) for at in range(len(opened._manifests))
        ]
        for records in opened.passes:
            records.check_headers()
        return opened

    def begin_pass(self, run: Run) -> FolderRecords:
        """Begin a pass, write the manifest that names it, and give the records that it fills.

        Args:
            run: What is known of the pass.
        """
        self._manifests.append(PassManifest(run, len(self.passes)))
        self.passes.append(FolderRecords(self.folder, len(self.passes), self._manifests))
        self.passes[-1].write_manifest()
        return self.passes[-1]

    def drop_pass(self) -> None:
        """Take away the last pass, its manifest's entry first, then its shards."""
        dropped = self.passes.pop()
        self._manifests.pop()
        dropped.write_manifest()
        for call in dropped.calls:
            (self.folder / dropped.manifest.shard_name(call.index)).unlink(missing_ok=True)

    def make_room(self, size: int, *, staged: int = 0) -> None:
        """Never waits: one call is held while it is written, whatever its size.

        Args:
            size: Bytes of the call.
            staged: Page-locked memory that its copy from a GPU goes through, in bytes.
        """

    def close(self) -> None:
        """The capture is over. Where it recorded nothing, all is taken away again that it made, and nothing else."""
        if not any(manifest.calls or manifest.reduced for manifest in self._manifests):
            names = [name for manifest in self._manifests for name in manifest.picture_names]
            for name in (*names, MANIFEST) if self._manifests else ():
                (self.folder / name).unlink(missing_ok=True)
            remove_empty(self._missing)


class FolderRecords:
    """The records of one pass in a trace's folder.

    Args:
        folder: The trace's folder.
        number: Number of the pass, from 0.
        manifests: Those of all passes, which one file holds.
        verify: Compare a tensor's checksum when it is first read.
    """

    def __init__(self, folder: Path, number: int, manifests: list[PassManifest], verify: bool = True) -> None:
        self.folder, self.manifest, self._manifests, self._verify = (
            folder.absolute(),  # wherever the process, or one that gets a copy, goes
            manifests[number],
            manifests,
            verify,
        )
        self._handles: dict[int, Any] = {}
        self._checked: set[tuple[int, LayerId]] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Open files stay here; whoever gets a copy opens them again."""
        return {**vars(self), "_handles": {}}

    @property
    def calls(self) -> list[Call]:
        """The calls that are written, in order."""
        return self.manifest.calls

    @property
    def layers(self) -> dict[LayerId, Layer]:
        """The layers of the pass."""
        return self.manifest.layers

    def add_call(self, call: Call, records: dict[LayerId, Record]) -> None:
        """Write the shard of a call, then the manifest.

        Args:
            call: The call.
            records: Its records.

        Raises:
            OutputError: The disk is full, or the folder can't be written.
        """
        tensors = {
            f"{layer_key(layer)}.{part}": tensor
            for layer, record in records.items()
            for part, tensor in record.tensors.items()
        }
        sums = write_shard(self._shard(call), tensors, self.manifest.shard_header(call, records))
        self.manifest.add_call(call, records, sums)
        self.write_manifest()

    def finish(self, reduced: Mapping[str, ReducedMaps]) -> None:
        """Write the pictures, the reduced maps and the final manifest.

        Args:
            reduced: The maps reduced over the pass.
        """
        folder, manifest = self.folder, self.manifest
        manifest.reduced = write_reduced(folder, manifest.prefix, reduced)
        for name, picture in zip(manifest.picture_names, manifest.run.pictures, strict=True):
            write_picture(picture, folder / name)
        self.write_manifest()

    def has(self, call_index: int, layer: LayerId) -> bool:
        """Whether there is a record of a layer in a call.

        Args:
            call_index: Number of the call in its pass.
            layer: The layer.
        """
        return layer in self.manifest.facts.get(call_index, ())

    def get(self, call_index: int, layer: LayerId) -> Record:
        """The record of a layer in a call, memory-mapped and checked when first read.

        Args:
            call_index: Number of the call in its pass.
            layer: The layer.

        Raises:
            TraceFormatError: The shard is damaged.
        """
        call = next(call for call in self.calls if call.index == call_index)
        facts = self.manifest.facts[call_index][layer]
        shard = self._open_shard(call)
        tensors = {part: shard.get_tensor(f"{layer_key(layer)}.{part}") for part in facts.parts}
        if (call_index, layer) not in self._checked:
            self._check(call, layer, tensors)
            self._checked.add((call_index, layer))
        return Record(**tensors, scale=facts.scale, upcast=facts.upcast, rows=facts.rows)

    def reduced(self) -> dict[str, ReducedMaps]:
        """The reduced maps of the pass, by name.

        Raises:
            TraceFormatError: Their entry or a file is damaged.
        """
        try:
            with _readable(self.folder):
                return read_reduced(self.folder, self.manifest.prefix, self.manifest.reduced)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, TraceFormatError):
                raise
            where = self.folder / MANIFEST
            raise TraceFormatError(f"{where}: damaged: {type(error).__name__} {error}") from error

    def write_manifest(self) -> None:
        """Write the manifest of all passes, whole or not at all."""
        with whole_file(self.folder / MANIFEST) as partial:
            partial.write_text(manifest_text(list(self._manifests)), "utf-8")

    def check_headers(self) -> None:
        """Open every shard, which checks its header.

        Raises:
            TraceFormatError: A shard is missing or damaged.
        """
        for call in self.calls:
            self._open_shard(call)

    def verified(self) -> Iterator[tuple[int, int]]:
        """Read and check every tensor of the pass, reduced maps last.

        Yields:
            (checked, all) after each call, and once after the reduced maps.

        Raises:
            TraceFormatError: A tensor is damaged.
        """
        total = len(self.calls) + 1
        for done, call in enumerate(self.calls, start=1):
            shard = self._open_shard(call)
            for layer, facts in self.manifest.facts[call.index].items():
                tensors = {part: shard.get_tensor(f"{layer_key(layer)}.{part}") for part in facts.parts}
                self._check(call, layer, tensors)
            yield done, total
        verify_reduced(self.folder, self.manifest.prefix, self.manifest.reduced)
        yield total, total

    def _check(self, call: Call, layer: LayerId, tensors: Mapping[str, Tensor]) -> None:
        sums = self.manifest.facts[call.index][layer].crc32 if self._verify else {}
        for part, tensor in tensors.items():
            check_intact(self._shard(call), f"{part} of {layer}", tensor, sums.get(part))
            if part != "mask":
                check_finite(self._shard(call), f"{part} of {layer}", tensor)

    def _shard(self, call: Call) -> Path:
        return self.folder / self.manifest.shard_name(call.index)

    def _open_shard(self, call: Call) -> Any:
        if call.index not in self._handles:
            with _readable(self._shard(call)):
                self._handles[call.index] = open_shard(self._shard(call), self.manifest.record_shapes(call))
        return self._handles[call.index]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What the system says against reading, as an error of a trace."""
    try:
        yield
    except OSError as error:
        where, reason = error.filename or path, error.strerror or str(error)
        raise TraceFormatError(
            f"can't read {where}: {reason}; a trace's folder and files must be readable"
        ) from error
