"""Key projections in a trace's folder: one file a pass, and an entry in the manifest (docs/trace-format.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attnscope.errors import TraceFormatError
from attnscope.records import Layer, LayerId
from attnscope.records.projections import KeyProjection
from attnscope.storage.digests import digest
from attnscope.storage.manifest import MANIFEST, PassManifest
from attnscope.storage.plain import layer_key
from attnscope.storage.plain_files import Stamp, damaged
from attnscope.storage.shards import Shape, Shard, check_finite, check_intact, open_shard, write_shard
from attnscope.storage.values import brief, number, real, reason, storable

MAX_STATE = 1 << 16
"""Numbers of a token's state: thirty times what text encoders give."""
Projections = Mapping[LayerId, KeyProjection]


def write_projections(folder: Path, prefix: str, projections: Projections) -> dict[str, Any]:
    """Write a pass's key projections to one file, and return the manifest's entry; without any, take the file away.

    Args:
        folder: The trace's folder.
        prefix: What the file's name begins with.
        projections: By layer.

    Raises:
        OutputError: The file can't be written.
    """
    path = projections_path(folder, prefix)
    if not projections:
        path.unlink(missing_ok=True)
        return {}
    about = storable({layer_key(layer): _facts(of) for layer, of in projections.items()})
    tensors = {
        f"{layer_key(layer)}.{part}": tensor
        for layer, of in projections.items()
        for part, tensor in of.tensors.items()
    }
    return {"layers": about, "digest": write_shard(path, tensors, {"key_projections": about})}


def _facts(projection: KeyProjection) -> dict[str, Any]:
    return {
        "states": projection.weight.shape[1],
        "bias": projection.bias is not None,
        "norm_eps": projection.norm_eps,
    }


def read_projections(folder: Path, manifest: PassManifest, *, verify: bool = True) -> Projections:
    """The projections of a pass. The header is checked now, a projection when it is first read.

    Args:
        folder: The trace's folder.
        manifest: The pass in the manifest.
        verify: Compare digests.

    Raises:
        TraceFormatError: The entry or the file is damaged.
    """
    entry, layers = manifest.projections, manifest.layers
    if not entry:
        return {}
    path = projections_path(folder, manifest.prefix)
    try:
        known = {layer_key(layer): layer for layer in layers}
        facts = {known[name]: _parsed(item) for name, item in entry["layers"].items()}
        shapes = {
            f"{layer_key(layer)}.{part}": shape
            for layer, of in facts.items()
            for part, shape in _shapes(layers[layer], of).items()
        }
        sums = {name: number(entry["digest"][name], least=0, most=2**32 - 1) for name in shapes}
        told = {layer_key(layer): of for layer, of in facts.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(folder / MANIFEST, f"key projections: {reason(error)}") from error
    shard = open_shard(path, shapes)
    if shard.about is not None and shard.about != {"key_projections": told}:
        raise TraceFormatError(
            f"{path}: its header contradicts the manifest: put the right file there or capture again"
        )
    return StoredProjections(shard, facts, sums if verify else {})


class StoredProjections(Mapping[LayerId, KeyProjection]):
    """Key projections in a file, each read when it is asked for.

    Args:
        shard: The file.
        facts: What the manifest says of each.
        sums: Digest of each tensor by its name in the file; none to leave the comparison out.
    """

    def __init__(
        self, shard: Shard, facts: Mapping[LayerId, Mapping[str, Any]], sums: Mapping[str, int]
    ) -> None:
        self._shard, self._facts, self._sums = shard, facts, sums
        self._checked: dict[LayerId, Stamp] = {}

    def __getitem__(self, layer: LayerId) -> KeyProjection:
        facts = self._facts[layer]
        names = {part: f"{layer_key(layer)}.{part}" for part in _parts(facts)}
        stored, stamp = self._shard.read(names.values())
        if self._checked.get(layer) != stamp:
            for name, tensor in stored.items():
                if name in self._sums:
                    check_intact(self._shard.path, name, tensor, self._sums[name], digest)
                check_finite(self._shard.path, name, tensor)
            self._checked[layer] = stamp
        return KeyProjection(
            **{part: stored[name] for part, name in names.items()}, norm_eps=facts["norm_eps"]
        )

    def __iter__(self) -> Iterator[LayerId]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    @property
    def nbytes(self) -> int:
        """Bytes of all of them, without reading any."""
        return sum(stored.end - stored.begin for stored in self._shard.stored.values())


def bytes_of_projections(projections: Projections) -> int:
    """Bytes of key projections, of a file's without reading them.

    Args:
        projections: By layer.
    """
    if isinstance(projections, StoredProjections):
        return projections.nbytes
    return sum(projection.nbytes for projection in projections.values())


def projections_path(folder: Path, prefix: str) -> Path:
    """The file of a pass's key projections.

    Args:
        folder: The trace's folder.
        prefix: What the file's name begins with.
    """
    return folder / f"{prefix}key-projections.safetensors"


def _parsed(item: Mapping[str, Any]) -> dict[str, Any]:
    if type(item["bias"]) is not bool or set(item) != {"states", "bias", "norm_eps"}:
        raise ValueError(f"a projection {brief(item)}")
    eps = item["norm_eps"]
    return {
        "states": number(item["states"], most=MAX_STATE),
        "bias": item["bias"],
        "norm_eps": None if eps is None else real(eps),
    }


def _parts(facts: Mapping[str, Any]) -> tuple[str, ...]:
    return ("weight", "bias") if facts["bias"] else ("weight",)


def _shapes(layer: Layer, facts: Mapping[str, Any]) -> dict[str, Shape]:
    if not layer.kind.startswith("cross"):
        raise ValueError(f"of {layer.id}, which reads no text alone")
    inner = layer.heads * layer.head_dim
    shapes: dict[str, Shape] = {"weight": (inner, facts["states"]), "bias": (inner,)}
    return {part: shapes[part] for part in _parts(facts)}
