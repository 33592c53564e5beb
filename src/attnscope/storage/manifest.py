"""The manifest of a trace on disk: what is in it, as JSON, and the checks when it is read."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from attnscope.errors import TraceFormatError
from attnscope.records import KINDS, Grid, Layer, LayerId, Row, Run, Step, Token
from attnscope.records.qkv import Record

MANIFEST = "manifest.json"
FORMAT = "attnscope-trace"
VERSION = 1
MAX_MANIFEST_BYTES = 64 << 20
MAX_SIDE = 1 << 20  # of any axis: far above a real run, far below what would overflow
MAX_LATENT = 1 << 12  # latent places to the finest captured grid's: block 7 alone has 64 times fewer
MAX_PLACES = 1 << 28  # pixels of a picture, 16384 x 16384
_ROLES = ("text", "start", "end", "padding")
_PICTURE = re.compile(r"picture-\d{2,6}\.png")
_PARTS = ("query", "key", "value", "mask")
_PLAIN = ("model", "revision", "pipeline", "scheduler", "seed", "guidance_scale", "planned_steps")


class RecordFacts(NamedTuple):
    """What a record is besides its tensors."""

    parts: tuple[str, ...]
    scale: float
    upcast: bool


@dataclass
class Manifest:
    """The run, its layers, its steps, and per record what the tensors do not say."""

    run: Run
    layers: dict[LayerId, Layer] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    facts: dict[int, dict[LayerId, RecordFacts]] = field(default_factory=dict)
    """By step number."""
    pictures: list[str] = field(default_factory=list)
    reduced: dict[str, Any] = field(default_factory=dict)
    _step_texts: dict[int, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    @staticmethod
    def shard_name(step_index: int) -> str:
        return f"step-{step_index:05d}.safetensors"

    @staticmethod
    def picture_name(number: int) -> str:
        return f"picture-{number:02d}.png"

    def add_step(self, step: Step, records: dict[LayerId, Record]) -> None:
        self.facts[step.index] = {
            layer: RecordFacts(tuple(record.tensors), record.scale, record.upcast)
            for layer, record in records.items()
        }
        self.steps.append(step)  # last: who reads meanwhile finds the facts of every step

    def shard_header(self, step: Step, records: dict[LayerId, Record]) -> dict[str, Any]:
        """What a shard says of itself, so that it can be read without the manifest."""
        facts = {
            layer_key(layer): {"scale": r.scale, "upcast": r.upcast, "layer": layer_json(self.layers[layer])}
            for layer, r in records.items()
        }
        return {"format": FORMAT, "version": VERSION, "step": _step_json(step), "records": facts}

    def to_text(self) -> str:
        """The manifest as JSON, a step a line: it is written anew after every step, so a step's line is made once."""
        about = json.dumps(self._about_json(), indent=1, ensure_ascii=False).removesuffix("\n}")
        steps = ",\n  ".join(self._step_text(step) for step in self.steps)
        return f'{about},\n "steps": [\n  {steps}\n ]\n}}\n'

    def _step_text(self, step: Step) -> str:
        if step.index not in self._step_texts:
            item = {**_step_json(step), "records": self._facts_json(step)}
            self._step_texts[step.index] = json.dumps(item, ensure_ascii=False)
        return self._step_texts[step.index]

    def _about_json(self) -> dict[str, Any]:
        run = {name: getattr(self.run, name) for name in (*_PLAIN, "prompts", "negative_prompts", "versions")}
        run["image_size_hw"], run["latent_size_hw"] = self.run.image_size_hw, self.run.latent_size_hw
        run["tokens"] = [[asdict(token) for token in tokens] for tokens in self.run.tokens]
        return {
            "format": FORMAT,
            "version": VERSION,
            "run": run,
            "layers": [layer_json(layer) for layer in list(self.layers.values())],  # a run may be adding one
            "pictures": [self.picture_name(at) for at in range(len(self.run.pictures))],
            "reduced": self.reduced,
        }

    def _facts_json(self, step: Step) -> dict[str, Any]:
        return {
            layer_key(layer): {"parts": facts.parts, "scale": facts.scale, "upcast": facts.upcast}
            for layer, facts in self.facts[step.index].items()
        }

    @classmethod
    def from_json(cls, data: Any, folder: Path) -> Manifest:
        """The manifest read and checked; `folder` is for messages. Raises TraceFormatError."""
        where = folder / MANIFEST
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise TraceFormatError(f"{where}: not an {FORMAT} manifest")
        if data.get("version") != VERSION:
            raise TraceFormatError(
                f"{where}: format version {data.get('version')!r}; this attnscope reads version {VERSION}: "
                "use the attnscope that wrote it, or capture again"
            )
        try:
            return cls._parse(data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TraceFormatError(f"{where}: damaged: {type(error).__name__} {error}") from error

    @classmethod
    def _parse(cls, data: dict[str, Any]) -> Manifest:
        manifest = cls(_parse_run(data["run"]))
        for item in data["layers"]:
            layer = parse_layer(item)
            manifest.layers[layer.id] = layer
        keys = {layer_key(layer): layer for layer in manifest.layers}
        for item in data["steps"]:
            step = _parse_step(item)
            manifest.steps.append(step)
            manifest.facts[step.index] = {
                keys[name]: _parse_facts(facts) for name, facts in item["records"].items()
            }
        if len({step.index for step in manifest.steps}) < len(manifest.steps):
            raise ValueError("a step stands twice")
        latent = manifest.run.latent_size_hw
        finest = max((layer.grid.size for layer in manifest.layers.values()), default=MAX_PLACES)
        if latent is not None and latent[0] * latent[1] > MAX_LATENT * finest:
            raise ValueError(f"a latent of {latent[0]}x{latent[1]} over grids of at most {finest} places")
        manifest.pictures = [_parse_picture(name) for name in data["pictures"]]
        manifest.reduced = dict(data.get("reduced", {}))
        return manifest


def layer_key(layer: LayerId) -> str:
    """'block07.self': how a layer is named in a shard."""
    return f"block{layer.block:02d}.{layer.kind}"


def record_shapes(manifest: Manifest, step: Step) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor that a step's shard must hold, by its name in the shard."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer_id, facts in manifest.facts[step.index].items():
        layer, rows = manifest.layers[layer_id], len(step.rows)
        of_part = {
            "query": (rows, layer.heads, layer.grid.size, layer.head_dim),
            "key": (rows, layer.heads, layer.keys, layer.head_dim),
            "value": (rows, layer.heads, layer.keys, layer.head_dim),
            "mask": (rows, layer.heads, layer.grid.size, layer.keys),
        }
        shapes.update({f"{layer_key(layer_id)}.{part}": of_part[part] for part in facts.parts})
    return shapes


def check_manifest_size(path: Path) -> None:
    if (size := path.stat().st_size) > MAX_MANIFEST_BYTES:
        raise TraceFormatError(f"{path}: {size} bytes; a manifest has at most {MAX_MANIFEST_BYTES}")


def layer_json(layer: Layer) -> dict[str, Any]:
    return {**asdict(layer), "grid": [layer.grid.height, layer.grid.width]}


def _step_json(step: Step) -> dict[str, Any]:
    timestep = None if step.timestep != step.timestep else step.timestep  # JSON has no NaN
    return {"index": step.index, "timestep": timestep, "rows": [asdict(row) for row in step.rows]}


def parse_layer(item: dict[str, Any]) -> Layer:
    height, width = item["grid"]
    numbers = {
        name: number(item[name]) for name in ("block", "heads", "head_dim", "keys", "batch", "branches")
    }
    if item["kind"] not in KINDS or item["stage"] not in ("down", "mid", "up"):
        raise ValueError(f"layer of kind {item['kind']!r} in stage {item['stage']!r}")
    grid = Grid(number(height), number(width))
    return Layer(kind=item["kind"], stage=item["stage"], path=str(item["path"]), grid=grid, **numbers)


def _parse_step(item: dict[str, Any]) -> Step:
    rows = tuple(Row(str(row["branch"]), number(row["image"], least=0)) for row in item["rows"])
    if len(set(rows)) < len(rows):
        raise ValueError("two rows are the same branch of the same image")
    timestep = float("nan") if item["timestep"] is None else float(item["timestep"])
    return Step(number(item["index"], least=0), timestep, rows)


def _parse_facts(facts: dict[str, Any]) -> RecordFacts:
    parts = tuple(facts["parts"])
    if not {"query", "key"} <= set(parts) <= set(_PARTS):
        raise ValueError(f"record with parts {parts}")
    return RecordFacts(parts, float(facts["scale"]), bool(facts["upcast"]))


def _parse_run(item: dict[str, Any]) -> Run:
    run = Run(**{name: _plain(name, item[name]) for name in _PLAIN})
    run.prompts = [str(prompt) for prompt in item["prompts"]]
    run.negative_prompts = [str(prompt) for prompt in item["negative_prompts"]]
    run.tokens = [
        tuple(_parse_token(at, token) for at, token in enumerate(tokens)) for tokens in item["tokens"]
    ]
    run.versions = {str(name): str(version) for name, version in item["versions"].items()}
    run.image_size_hw, run.latent_size_hw = _size(item["image_size_hw"]), _size(item["latent_size_hw"])
    return run


def _plain(name: str, value: Any) -> Any:
    kinds: dict[str, tuple[type, ...]] = {
        "seed": (int,),
        "planned_steps": (int,),
        "guidance_scale": (int, float),
    }
    if value is not None and not isinstance(value, kinds.get(name, (str,))):
        raise ValueError(f"{name} is {value!r}")
    return value


def _parse_token(position: int, item: dict[str, Any]) -> Token:
    token = Token(
        index=number(item["index"], least=0),
        text=str(item["text"]),
        start_char=number(item["start_char"], least=0),
        end_char=number(item["end_char"], least=0),
        role=item["role"],
    )
    if token.index != position or token.start_char > token.end_char or token.role not in _ROLES:
        raise ValueError(f"token {position} is {item}")
    return token


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    height, width = value
    if number(height) * number(width) > MAX_PLACES:
        raise ValueError(f"a size of {height}x{width}")
    return height, width


def number(value: Any, *, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_SIDE:
        raise ValueError(f"{value!r} is not a whole number from {least} to {MAX_SIDE}")
    return value


def _parse_picture(name: Any) -> str:
    if not isinstance(name, str) or not _PICTURE.fullmatch(name):
        raise ValueError(f"picture {name!r} is not a plain name such as 'picture-00.png'")
    return name
