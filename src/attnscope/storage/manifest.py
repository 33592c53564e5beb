"""The manifest of a trace on disk: what is in it, as JSON, and the checks when it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnscope.errors import TraceFormatError
from attnscope.records import Call, Layer, LayerId, Run
from attnscope.records.qkv import Record
from attnscope.storage.plain import (
    MAX_PLACES,
    call_json,
    layer_json,
    layer_key,
    parse_call,
    parse_layer,
    parse_run,
    run_json,
)
from attnscope.storage.record_facts import RecordFacts, parse_facts

MANIFEST = "manifest.json"
FORMAT = "attnscope-trace"
VERSION = 2
READABLE = (1, 2)
MAX_MANIFEST_BYTES = 64 << 20
MAX_PASSES = 1000
MAX_LATENT = 1 << 12  # latent places over those of the finest captured grid: block 7 alone has 64 times fewer
_PICTURE = re.compile(r"(pass-\d{2,3}-)?picture-\d{2,6}\.png")

Sums = Mapping[str, int]
"""CRC-32 of each tensor in a shard, by its name there."""


@dataclass
class PassManifest:
    """One pass: its run, its layers, its calls, and what the tensors of its records do not say.

    Attributes:
        run: What is known of the pass.
        number: Number of the pass in the trace, from 0.
        version: Version of the format that it was written in.
        layers: Its layers.
        calls: Its calls, in order.
        facts: For each call number the facts of its records.
        pictures: File names of its pictures.
        reduced: Entry of each reduced map, by name.
    """

    run: Run
    number: int = 0
    version: int = VERSION
    layers: dict[LayerId, Layer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    facts: dict[int, dict[LayerId, RecordFacts]] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    reduced: dict[str, Any] = field(default_factory=dict)
    _call_texts: dict[int, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def prefix(self) -> str:
        """What the names of the pass's files begin with; '' for the first pass."""
        return f"pass-{self.number:02d}-" if self.number else ""

    def shard_name(self, call_index: int) -> str:
        """File name of a call's shard.

        Args:
            call_index: Number of the call in the pass.
        """
        return f"{self.prefix}{'step' if self.version == 1 else 'call'}-{call_index:05d}.safetensors"

    @property
    def picture_names(self) -> list[str]:
        """File name of each picture that the run has made."""
        return [f"{self.prefix}picture-{image:02d}.png" for image in range(len(self.run.pictures))]

    def add_call(self, call: Call, records: Mapping[LayerId, Record], sums: Sums) -> None:
        """Note a call whose shard is written.

        Args:
            call: The call.
            records: Its records.
            sums: CRC-32 of the shard's tensors.
        """
        self.facts[call.index] = {
            layer: RecordFacts(
                tuple(record.tensors),
                record.scale,
                record.upcast,
                {part: sums[f"{layer_key(layer)}.{part}"] for part in record.tensors},
                record.rows,
            )
            for layer, record in records.items()
        }
        self.calls.append(call)  # last: a reader in another thread finds the facts of every call

    def shard_header(self, call: Call, records: Mapping[LayerId, Record]) -> dict[str, Any]:
        """What a shard says of itself, so that it can be read without the manifest.

        Args:
            call: The call.
            records: Its records.
        """
        facts = {
            layer_key(layer): {"scale": r.scale, "upcast": r.upcast, "layer": layer_json(self.layers[layer])}
            for layer, r in records.items()
        }
        return {
            "format": FORMAT,
            "version": VERSION,
            "pass": self.number,
            "call": call_json(call),
            "records": facts,
        }

    def to_text(self) -> str:
        """The pass as JSON, one line a call. The text is written anew after every call, so each line is made once."""
        about = json.dumps(self._about(), indent=1, ensure_ascii=False).removesuffix("\n}")
        calls = ",\n  ".join(self._call_text(call) for call in self.calls)
        return f'{about},\n "calls": [\n  {calls}\n ]\n}}'

    def _call_text(self, call: Call) -> str:
        if call.index not in self._call_texts:
            facts = {layer_key(layer): facts.as_dict() for layer, facts in self.facts[call.index].items()}
            item = {**call_json(call), "records": facts}
            self._call_texts[call.index] = json.dumps(item, ensure_ascii=False)
        return self._call_texts[call.index]

    def _about(self) -> dict[str, Any]:
        return {
            "run": run_json(self.run),
            "layers": [
                layer_json(layer) for layer in list(self.layers.values())
            ],  # a copy: a run may be adding one
            "pictures": self.picture_names,
            "reduced": self.reduced,
        }

    def record_shapes(self, call: Call) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor that a call's shard must hold, by its name in the shard.

        Args:
            call: The call.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for layer_id, facts in self.facts[call.index].items():
            layer = self.layers[layer_id]
            rows = len(call.rows) if facts.rows is None else len(facts.rows)
            of_part = {
                "query": (rows, layer.heads, layer.grid.places, layer.head_dim),
                "key": (rows, layer.heads, layer.keys, layer.head_dim),
                "value": (rows, layer.heads, layer.keys, layer.head_dim),
                "mask": (rows, layer.heads, layer.grid.places, layer.keys),
            }
            shapes.update({f"{layer_key(layer_id)}.{part}": of_part[part] for part in facts.parts})
        return shapes

    @classmethod
    def parse(cls, item: Mapping[str, Any], at: int, version: int) -> PassManifest:
        """A pass read from the manifest.

        Args:
            item: Its JSON object.
            at: Number of the pass, from 0.
            version: Version of the format.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: The object is no pass.
        """
        manifest = cls(parse_run(item["run"]), at, version)
        manifest.layers = {layer.id: layer for layer in map(parse_layer, item["layers"])}
        keys = {layer_key(layer): layer for layer in manifest.layers}
        for of_call in item["steps" if version == 1 else "calls"]:
            call = parse_call(of_call)
            manifest.calls.append(call)
            records = of_call["records"].items()
            manifest.facts[call.index] = {
                keys[name]: parse_facts(facts, version, len(call.rows)) for name, facts in records
            }
        if len({call.index for call in manifest.calls}) < len(manifest.calls):
            raise ValueError("a call stands twice")
        latent = manifest.run.latent_size_hw
        finest = max((layer.grid.places for layer in manifest.layers.values()), default=MAX_PLACES)
        if latent is not None and latent[0] * latent[1] > MAX_LATENT * finest:
            raise ValueError(f"a latent of {latent[0]}x{latent[1]} over grids of at most {finest} places")
        manifest.pictures = [_parse_picture(name) for name in item["pictures"]]
        manifest.reduced = dict(item.get("reduced", {}))
        return manifest


def manifest_text(passes: list[PassManifest]) -> str:
    """All passes as JSON.

    Args:
        passes: The passes, in order.
    """
    texts = ",\n".join(manifest.to_text() for manifest in list(passes))
    return f'{{"format": "{FORMAT}", "version": {VERSION}, "passes": [\n{texts}\n]}}\n'


def parse_manifest(data: Any, folder: Path) -> list[PassManifest]:
    """The passes of a manifest, checked.

    Args:
        data: The manifest's JSON value.
        folder: Its folder, for messages.

    Raises:
        TraceFormatError: It is no manifest, is damaged, or has another format version.
    """
    where = folder / MANIFEST
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise TraceFormatError(f"{where}: not an {FORMAT} manifest")
    version = data.get("version")
    if version not in READABLE:
        raise TraceFormatError(
            f"{where}: format version {version!r}; this attnscope reads versions 1 and 2: use the attnscope that "
            "wrote it, or capture again"
        )
    try:
        passes = [data] if version == 1 else data["passes"]
        if not 1 <= len(passes) <= MAX_PASSES:
            raise ValueError(f"{len(passes)} passes; expected 1 to {MAX_PASSES}")
        return [PassManifest.parse(item, at, version) for at, item in enumerate(passes)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TraceFormatError(f"{where}: damaged: {type(error).__name__} {error}") from error


def read_manifest(folder: Path) -> list[PassManifest]:
    """The passes of a trace's folder.

    Args:
        folder: The folder.

    Raises:
        TraceFormatError: The manifest is missing, too large, damaged, or has another format version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise TraceFormatError(
            f"{folder} has no {MANIFEST}: it is not a trace, or its first step was never written"
        )
    if (size := path.stat().st_size) > MAX_MANIFEST_BYTES:
        raise TraceFormatError(f"{path}: {size} bytes; a manifest has at most {MAX_MANIFEST_BYTES}")
    try:
        data = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise TraceFormatError(f"{path}: not readable as JSON ({error})") from error
    return parse_manifest(data, folder)


def _parse_picture(name: Any) -> str:
    if not isinstance(name, str) or not _PICTURE.fullmatch(name):
        raise ValueError(f"picture {name!r} is not a plain name such as 'picture-00.png'")
    return name
