"""A pass in the manifest of a trace: what is in it, as JSON, and the checks when it is read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from attnscope.records import Call, Layer, LayerId, Run
from attnscope.records.qkv import Record
from attnscope.storage.digests import json_digest
from attnscope.storage.output_facts import OutputFacts, output_name, parse_output_facts, parse_outputs
from attnscope.storage.plain import (
    MAX_PIXELS,
    call_json,
    layer_json,
    layer_key,
    parse_call,
    parse_layer,
    parse_run,
    run_json,
)
from attnscope.storage.previews import parse_previews, preview_files
from attnscope.storage.record_facts import RecordFacts, parse_facts
from attnscope.storage.shard_headers import VERSION, OfRecord, check_header, shard_header
from attnscope.storage.values import brief, items, number, storable

MANIFEST = "manifest.json"
MAX_LATENT = 1 << 12  # latent places over those of the finest captured grid: block 7 alone has 64 times fewer
MAX_ZOOM = 1 << 16  # the same of a picture's pixels, of which a latent place has 64

Outputs = Mapping[str, Tensor]
Sums = Mapping[str, int]
"""Digest of each tensor in a shard, by its name there."""


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
        pictures: Digest of each of its pictures' files, by name; None where it is unknown, as in earlier traces.
        reduced: Entry of each reduced map, by name.
        projections: Entry of the layers' key projections; empty without any.
        previews: Entry of the steps' previews; empty without any.
        outputs: The modules whose output is kept: class by path.
        output_facts: For each call number the facts of its outputs.
    """

    run: Run
    number: int = 0
    version: int = VERSION
    layers: dict[LayerId, Layer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    facts: dict[int, dict[LayerId, RecordFacts]] = field(default_factory=dict)
    pictures: dict[str, int | None] = field(default_factory=dict)
    reduced: dict[str, Any] = field(default_factory=dict)
    projections: dict[str, Any] = field(default_factory=dict)
    previews: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    output_facts: dict[int, dict[str, OutputFacts]] = field(default_factory=dict)
    _call_texts: dict[int, tuple[str, int]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

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

    def picture_name(self, image: int) -> str:
        """File name of a picture.

        Args:
            image: Which image of the batch, from 0.
        """
        return f"{self.prefix}picture-{image:02d}.png"

    @property
    def picture_files(self) -> dict[str, int | None]:
        """Digest of the file of each picture and of each image's previews, by name."""
        return {**self.pictures, **preview_files(self.prefix, self.previews)}

    def add_call(self, call: Call, records: Mapping[LayerId, Record], outputs: Outputs, sums: Sums) -> None:
        """Note a call whose shard is written.

        Args:
            call: The call.
            records: Its records.
            outputs: Its outputs.
            sums: Digests of the shard's tensors.
        """
        self.output_facts[call.index] = {
            path: OutputFacts(tuple(tensor.shape), sums[output_name(path)])
            for path, tensor in outputs.items()
        }
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
        """What a shard says of itself.

        Args:
            call: The call.
            records: Its records.
        """
        of_records = ((self.layers[layer], r.scale, r.upcast) for layer, r in records.items())
        return shard_header(self.number, call, of_records)

    def check_shard(self, path: Path, about: Any, call: Call) -> None:
        """Compare what a shard says of itself with the manifest.

        Args:
            path: The shard, for messages.
            about: What it says.
            call: Its call.

        Raises:
            TraceFormatError: It is of another call, or holds other layers.
        """
        facts = self.facts[call.index].items()
        if about is None and all(of.digest for _, of in facts):
            return  # it says nothing; digests, which know types and shapes, too, tell whose tensors these are
        expected: dict[LayerId, OfRecord] = {
            layer: (self.layers[layer], of.scale, of.upcast) for layer, of in facts
        }
        check_header(path, about, self.version, self.number, call, expected)

    def to_text(self) -> tuple[str, int]:
        """The pass as JSON and its digest. It is written anew after every call; the line of a call is made once."""
        about = storable(self._about())
        text = json.dumps(about, indent=1, ensure_ascii=False).removesuffix("\n}")
        lines = [self._call_text(call) for call in self.calls]
        calls = ",\n  ".join(line for line, _ in lines)
        return f'{text},\n "calls": [\n  {calls}\n ]\n}}', digest_of_pass(about, (each for _, each in lines))

    def _call_text(self, call: Call) -> tuple[str, int]:
        if call.index not in self._call_texts:
            facts = {layer_key(layer): facts.as_dict() for layer, facts in self.facts[call.index].items()}
            item = storable({**call_json(call), "records": facts, **self._outputs_json(call)})
            self._call_texts[call.index] = json.dumps(item, ensure_ascii=False), json_digest(item)
        return self._call_texts[call.index]

    def _outputs_json(self, call: Call) -> dict[str, Any]:
        outputs = {path: facts.as_dict() for path, facts in self.output_facts[call.index].items()}
        return {"outputs": outputs} if outputs else {}

    def _about(self) -> dict[str, Any]:
        return {
            "run": run_json(self.run),
            "layers": list(map(layer_json, list(self.layers.values()))),  # of a copy: a run may be adding one
            "pictures": list(self.pictures),
            "picture_digests": list(self.pictures.values()),
            "reduced": self.reduced,
            **({"key_projections": self.projections} if self.projections else {}),
            **({"previews": self.previews} if self.previews else {}),
            **({"outputs": dict(self.outputs)} if self.outputs else {}),
        }

    def record_shapes(self, call: Call) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor that a call's shard must hold, by its name in the shard.

        Args:
            call: The call.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for layer_id, facts in self.facts[call.index].items():
            layer = self.layers[layer_id]
            of_part = _part_shapes(layer, len(call.rows) if facts.rows is None else len(facts.rows))
            shapes.update({f"{layer_key(layer_id)}.{part}": of_part[part] for part in facts.parts})
        outputs = self.output_facts[call.index].items()
        return shapes | {output_name(path): facts.shape for path, facts in outputs}

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
        layers = [parse_layer(layer) for layer in items(item["layers"])]
        manifest.layers = {layer.id: layer for layer in layers}
        manifest.outputs = parse_outputs(item.get("outputs", {}))
        keys = {layer_key(layer): layer for layer in manifest.layers}
        for of_call in items(item["steps" if version == 1 else "calls"]):
            call = parse_call(of_call)
            manifest.calls.append(call)
            records = of_call["records"].items()
            manifest.facts[call.index] = {
                keys[name]: parse_facts(facts, version, len(call.rows)) for name, facts in records
            }
            outputs = of_call.get("outputs", {})
            manifest.output_facts[call.index] = parse_output_facts(outputs, manifest.outputs, len(call.rows))
        if any(layer.view for layer in layers):
            raise ValueError("a layer that is a part of another's softmax")
        if len(manifest.facts) < len(manifest.calls) or len(manifest.layers) < len(layers):
            raise ValueError("a call or a layer appears twice")
        _check_sizes(manifest.run, manifest.layers)
        manifest.pictures = _pictures(manifest, items(item["pictures"]), item.get("picture_digests"))
        manifest.reduced = dict(item.get("reduced", {}))
        manifest.projections = dict(item.get("key_projections", {}))
        manifest.previews = parse_previews(item.get("previews", {}))
        return manifest


def _part_shapes(layer: Layer, rows: int) -> dict[str, tuple[int, ...]]:
    p = (rows, layer.heads, layer.queries, layer.keys)
    return {
        "query": (rows, layer.heads, layer.queries, layer.head_dim),
        "key": (rows, layer.heads, layer.keys, layer.head_dim),
        "value": (rows, layer.heads, layer.keys, layer.head_dim),
        "mask": p,
        "edited": p,
    }


def _pictures(manifest: PassManifest, names: list[Any], digests: Any) -> dict[str, int | None]:
    for image, name in enumerate(names):
        if name != manifest.picture_name(image):
            raise ValueError(
                f"picture {brief(name)} is not a plain name, here {manifest.picture_name(image)}"
            )
    known = [None] * len(names) if digests is None else items(digests)
    if len(known) != len(names):
        raise ValueError(f"{len(known)} digests of {len(names)} pictures")
    sums = (None if each is None else number(each, least=0, most=2**32 - 1) for each in known)
    return dict(zip(names, sums, strict=True))


def _check_sizes(run: Run, layers: Mapping[LayerId, Layer]) -> None:
    """Small grids are those of a small picture: whatever is drawn at its size stays small."""
    finest = max((layer.grid.places for layer in layers.values()), default=MAX_PIXELS)
    sizes = (("latent", run.latent_size_hw, MAX_LATENT), ("picture", run.image_size_hw, MAX_ZOOM))
    for what, size, most in sizes:
        if size is not None and size[0] * size[1] > most * finest:
            raise ValueError(f"a {what} of {size[0]}x{size[1]} over grids of at most {finest} places")


def digest_of_pass(about: Any, of_calls: Iterable[int]) -> int:
    """Digest of a pass, in which each call is stood for by its own.

    Args:
        about: Its JSON object; calls in it are left out.
        of_calls: Digest of each call.
    """
    return json_digest({**about, "calls": list(of_calls)})
