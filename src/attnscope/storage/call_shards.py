"""The shards of one pass, one a call: records of layers and outputs of modules, each checked when it is first read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from attnscope.records import Call, LayerId
from attnscope.records.qkv import Record
from attnscope.storage.digests import digest
from attnscope.storage.manifest import PassManifest
from attnscope.storage.output_facts import output_name
from attnscope.storage.plain import layer_key
from attnscope.storage.plain_files import Stamp
from attnscope.storage.record_facts import RecordFacts
from attnscope.storage.shards import Shard, check_finite, check_intact, open_shard


class CallShards:
    """The shards of one pass.

    Args:
        folder: The trace's folder.
        manifest: The pass in the manifest.
        verify: Compare digests of what is read for the first time.
    """

    def __init__(self, folder: Path, manifest: PassManifest, verify: bool) -> None:
        self._folder, self._manifest, self._verify = folder, manifest, verify
        self._shards: dict[int, Shard] = {}
        self._checked: dict[tuple[int, LayerId | str], Stamp] = {}

    def record(self, call_index: int, layer: LayerId) -> Record:
        """The record of a layer in a call.

        Args:
            call_index: Number of the call in its pass.
            layer: The layer.

        Raises:
            TraceFormatError: The shard is damaged.
        """
        facts, shard = self._manifest.facts[call_index][layer], self.shard(self._call(call_index))
        names = {part: f"{layer_key(layer)}.{part}" for part in facts.parts}
        stored, stamp = shard.read(names.values())
        tensors = {part: stored[name] for part, name in names.items()}
        if self._checked.get((call_index, layer)) != stamp:
            _check(shard.path, layer, facts, tensors, verify=self._verify)
            self._checked[call_index, layer] = stamp
        return Record(**tensors, scale=facts.scale, upcast=facts.upcast, rows=facts.rows)

    def output(self, call_index: int, path: str) -> Tensor:
        """What a module gave in a call, all rows, checked when it is first read from its file.

        Args:
            call_index: Number of the call in its pass.
            path: The module's path.

        Raises:
            TraceFormatError: The shard is damaged.
        """
        name, shard = output_name(path), self.shard(self._call(call_index))
        stored, stamp = shard.read([name])
        if self._verify and self._checked.get((call_index, path)) != stamp:
            known = self._manifest.output_facts[call_index][path].digest
            check_intact(shard.path, f"the output of {path}", stored[name], known, digest)
            self._checked[call_index, path] = stamp
        return stored[name]

    def shard(self, call: Call) -> Shard:
        """The shard of a call, its header checked.

        Args:
            call: The call.

        Raises:
            TraceFormatError: It is missing or damaged.
        """
        if call.index not in self._shards:
            path = self.path(call)
            shard = open_shard(path, self._manifest.record_shapes(call))
            self._manifest.check_shard(path, shard.about, call)
            self._shards[call.index] = shard
        return self._shards[call.index]

    def path(self, call: Call) -> Path:
        """Where the shard of a call is.

        Args:
            call: The call.
        """
        return self._folder / self._manifest.shard_name(call.index)

    def _call(self, call_index: int) -> Call:
        return next(call for call in self._manifest.calls if call.index == call_index)


def _check(
    path: Path, layer: LayerId, facts: RecordFacts, tensors: Mapping[str, Tensor], *, verify: bool
) -> None:
    """What is as it was written needs no look for NaN: every question looks for them itself, and says where."""
    for part, tensor in tensors.items():
        known, sum_of = facts.sum_of(part)
        if verify and known is not None:
            check_intact(path, f"{part} of {layer}", tensor, known, sum_of)
        elif part != "mask":
            check_finite(path, f"{part} of {layer}", tensor)
