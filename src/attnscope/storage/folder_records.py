"""Records of one pass in a trace's folder: written call by call, read when they are asked for."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from attnscope.errors import TraceFormatError
from attnscope.files import whole_file
from attnscope.pictures.writing import write_picture
from attnscope.records import Call, Layer, LayerId
from attnscope.records.qkv import Record
from attnscope.records.reduced import ReducedMaps
from attnscope.storage.call_shards import CallShards
from attnscope.storage.manifest import MANIFEST, PassManifest
from attnscope.storage.manifest_file import manifest_text
from attnscope.storage.memory import NO_OUTPUTS, Outputs, Projections
from attnscope.storage.output_facts import output_name
from attnscope.storage.pictures import check_picture
from attnscope.storage.plain import layer_key
from attnscope.storage.plain_files import damaged
from attnscope.storage.previews import write_previews
from attnscope.storage.projections import projections_path, read_projections, write_projections
from attnscope.storage.recent import Recent
from attnscope.storage.reduced_maps import read_reduced, reduced_path, write_reduced
from attnscope.storage.shards import write_shard
from attnscope.storage.values import reason

At = tuple[int, int, LayerId]
"""Number of the pass, number of the call in it, layer."""
RecentRecords = Recent[At, Record]


class FolderRecords:
    """The records of one pass in a trace's folder.

    Args:
        folder: The trace's folder.
        number: Number of the pass, from 0.
        manifests: Those of all passes, which one file holds.
        recent: Records that were read last.
        verify: Compare digests of what is read for the first time.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        manifests: list[PassManifest],
        recent: RecentRecords,
        verify: bool = True,
    ) -> None:
        self.folder = folder.absolute()  # wherever the process, or one that gets a copy, goes
        self.manifest, self._manifests = manifests[number], manifests
        self._recent, self._verify = recent, verify
        self._shards = CallShards(self.folder, self.manifest, verify)
        self._projections: Projections | None = None

    @property
    def calls(self) -> list[Call]:
        """The calls that are written, in order."""
        return self.manifest.calls

    @property
    def layers(self) -> dict[LayerId, Layer]:
        """The layers of the pass."""
        return self.manifest.layers

    @property
    def outputs(self) -> dict[str, str]:
        """Paths of the modules whose output is kept, each with the name of its class."""
        return self.manifest.outputs

    def add_call(self, call: Call, records: dict[LayerId, Record], outputs: Outputs = NO_OUTPUTS) -> None:
        """Write the shard of a call, then the manifest.

        Args:
            call: The call.
            records: Its records.
            outputs: Its outputs.

        Raises:
            OutputError: The disk is full, or the folder can't be written.
        """
        tensors = {
            f"{layer_key(layer)}.{part}": tensor
            for layer, record in records.items()
            for part, tensor in record.tensors.items()
        }
        tensors |= {output_name(path): tensor for path, tensor in outputs.items()}
        sums = write_shard(self._shards.path(call), tensors, self.manifest.shard_header(call, records))
        self.manifest.add_call(call, records, outputs, sums)
        self.write_manifest()

    def keep_projections(self, projections: Projections) -> None:
        """Write how layers make keys of a text; the manifest names it from its next writing on.

        Args:
            projections: By layer.

        Raises:
            OutputError: The disk is full, or the folder can't be written.
        """
        self._projections = None
        self.manifest.projections = write_projections(self.folder, self.manifest.prefix, projections)

    @property
    def projections(self) -> Projections:
        """How layers make keys of a text, each read when it is asked for.

        Raises:
            TraceFormatError: The file is damaged.
        """
        if self._projections is None:
            self._projections = read_projections(self.folder, self.manifest, verify=self._verify)
        return self._projections

    def finish(self, reduced: Mapping[str, ReducedMaps]) -> None:
        """Write the pictures, the reduced maps and the final manifest.

        Args:
            reduced: The maps reduced over the pass.
        """
        folder, manifest = self.folder, self.manifest
        manifest.reduced = write_reduced(folder, manifest.prefix, reduced)
        for image, picture in enumerate(manifest.run.pictures):
            name = manifest.picture_name(image)
            write_picture(picture, folder / name)
            manifest.pictures[name] = zlib.crc32((folder / name).read_bytes())
        manifest.previews = write_previews(folder, manifest.prefix, manifest.run.previews)
        self.write_manifest()

    def has(self, call_index: int, what: LayerId | str) -> bool:
        """Whether there is the record of a layer, or the output of a module, in a call.

        Args:
            call_index: Number of the call in its pass.
            what: The layer, or the module's path.
        """
        manifest = self.manifest
        facts: Mapping[int, Any] = manifest.output_facts if isinstance(what, str) else manifest.facts
        return what in facts.get(call_index, ())

    def get(self, call_index: int, layer: LayerId) -> Record:
        """The record of a layer in a call, checked when it is first read from its file.

        Args:
            call_index: Number of the call in its pass.
            layer: The layer.

        Raises:
            TraceFormatError: The shard is damaged.
        """
        at = (self.manifest.number, call_index, layer)
        return self._recent.get(at, lambda: self._shards.record(call_index, layer))

    def output(self, call_index: int, path: str) -> Tensor:
        """What a module gave in a call, all rows, checked when it is first read from its file.

        Args:
            call_index: Number of the call in its pass.
            path: The module's path.

        Raises:
            TraceFormatError: The shard is damaged.
        """
        return self._shards.output(call_index, path)

    @property
    def files(self) -> list[Path]:
        """The files of the pass, as its manifest names them."""
        manifest = self.manifest
        names = [*(manifest.shard_name(call.index) for call in self.calls), *manifest.picture_files]
        reduced = (reduced_path(self.folder, manifest.prefix, name) for name in manifest.reduced)
        projections = [projections_path(self.folder, manifest.prefix)] if manifest.projections else []
        return [*(self.folder / name for name in names), *reduced, *projections]

    def reduced(self) -> dict[str, ReducedMaps]:
        """The reduced maps of the pass, by name.

        Raises:
            TraceFormatError: Their entry or a file is damaged.
        """
        try:
            manifest = self.manifest
            return read_reduced(self.folder, manifest.prefix, manifest.reduced, verify=self._verify)
        except TraceFormatError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise damaged(self.folder / MANIFEST, reason(error)) from error

    def write_manifest(self) -> None:
        """Write the manifest of all passes, whole or not at all."""
        with whole_file(self.folder / MANIFEST) as partial:
            partial.write_bytes(manifest_text(list(self._manifests)).encode())  # a copy: a run may add a pass

    def check_headers(self) -> None:
        """Check the header of every file.

        Raises:
            TraceFormatError: A file is missing or damaged.
        """
        for call in self.calls:
            self._shards.shard(call)
        self.reduced()
        len(self.projections)

    def verified(self) -> Iterator[tuple[int, int]]:
        """Read and check every tensor of the pass, reduced maps and pictures last.

        Yields:
            (checked, all) after each call, and once after reduced maps and pictures.

        Raises:
            TraceFormatError: A tensor or a picture is damaged.
        """
        total = len(self.calls) + 1
        for done, call in enumerate(self.calls, start=1):
            for layer in self.manifest.facts[call.index]:
                self._shards.record(call.index, layer)
            for path in self.manifest.output_facts[call.index]:
                self.output(call.index, path)
            yield done, total
        for maps in self.reduced().values():
            for of_key in (maps.maps, maps.step_numbers):
                for key in of_key:
                    of_key[key]
        dict(self.projections)
        for name, known in self.manifest.picture_files.items():
            check_picture(self.folder / name, known)
        yield total, total
