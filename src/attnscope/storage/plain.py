"""Nouns as plain JSON values, and back, with the checks that files from others need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from attnscope.records import Call, Grid, KeyPart, Layer, LayerId, Row, Run, Token, is_kind

MAX_SIDE = 1 << 20  # of any axis: far above a real run, far below what would overflow
MAX_PLACES = 1 << 28  # pixels of a picture, 16384 x 16384
MAX_TOKENS = 1 << 16  # of one text
_ROLES = ("text", "start", "end", "padding")
_PLAIN = ("model", "revision", "pipeline", "scheduler", "seed", "guidance_scale", "planned_steps")
_LATER: dict[str, Any] = {
    "negative_tokens": [],
    "second_prompts": [],
    "unnamed": None,
}  # fields that older traces lack


def layer_key(layer: LayerId) -> str:
    """The name of a layer in a shard, such as 'block07.self'.

    Args:
        layer: The layer.
    """
    return f"block{layer.block:02d}.{layer.kind}"


def layer_json(layer: Layer) -> dict[str, Any]:
    """A layer as plain values.

    Args:
        layer: The layer.
    """
    parts = [list(part) for part in layer.parts]
    return {**asdict(layer), "grid": [layer.grid.height, layer.grid.width], "parts": parts}


def parse_layer(item: Mapping[str, Any]) -> Layer:
    """A layer from plain values.

    Args:
        item: As `layer_json` gave it.

    Raises:
        KeyError, TypeError, ValueError: It is no layer.
    """
    height, width = item["grid"]
    numbers = {
        name: number(item[name]) for name in ("block", "heads", "head_dim", "keys", "batch", "branches")
    }
    if not is_kind(item["kind"]) or item["stage"] not in ("down", "mid", "up"):
        raise ValueError(f"layer of kind {item['kind']!r} in stage {item['stage']!r}")
    grid = Grid(number(height), number(width))
    parts = tuple(KeyPart(str(name), number(count)) for name, count in item.get("parts", ()))
    if parts and sum(part.keys for part in parts) != numbers["keys"]:
        raise ValueError(f"{numbers['keys']} keys in parts {parts}")
    return Layer(
        kind=item["kind"], stage=item["stage"], path=str(item["path"]), grid=grid, parts=parts, **numbers
    )


def call_json(call: Call) -> dict[str, Any]:
    """A call as plain values; its timestep is None if it is unknown.

    Args:
        call: The call.
    """
    timestep = None if call.timestep != call.timestep else call.timestep  # JSON has no NaN
    return {**asdict(call), "timestep": timestep, "rows": [asdict(row) for row in call.rows]}


def parse_call(item: Mapping[str, Any]) -> Call:
    """A call from plain values.

    Args:
        item: As `call_json` gave it; or a step of version 1, which was one call.

    Raises:
        KeyError, TypeError, ValueError: It is no call, or two of its rows are the same.
    """
    rows = tuple(Row(str(row["branch"]), number(row["image"], least=0)) for row in item["rows"])
    if len(set(rows)) < len(rows):
        raise ValueError("two rows are the same branch of the same image")
    index = number(item["index"], least=0)
    step = number(item.get("step", index), least=0)
    timestep = float("nan") if item["timestep"] is None else float(item["timestep"])
    flags = (bool(item.get(name, False)) for name in ("gradients", "extra"))
    return Call(index, step, timestep, rows, *flags)


def run_json(run: Run) -> dict[str, Any]:
    """A run as plain values, without its pictures.

    Args:
        run: The run.
    """
    texts = ("prompts", "negative_prompts", "second_prompts", "unnamed")
    plain = {name: getattr(run, name) for name in (*_PLAIN, *texts, "versions")}
    tokens = {
        name: [[asdict(token) for token in of_image] for of_image in getattr(run, name)]
        for name in ("tokens", "negative_tokens")
    }
    sizes = {"image_size_hw": run.image_size_hw, "latent_size_hw": run.latent_size_hw}
    return {**plain, **sizes, **tokens, "frames": run.frames}


def parse_run(item: Mapping[str, Any]) -> Run:
    """A run from plain values.

    Args:
        item: As `run_json` gave it.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: It is no run.
    """
    run = Run(**{name: _plain(name, item[name]) for name in _PLAIN})
    item = {**_LATER, **item}
    run.prompts = [str(prompt) for prompt in item["prompts"]]
    run.negative_prompts = [str(prompt) for prompt in item["negative_prompts"]]
    run.second_prompts = [str(prompt) for prompt in item["second_prompts"]]
    run.unnamed = _plain("unnamed", item["unnamed"])
    run.tokens = [_parse_tokens(tokens) for tokens in item["tokens"]]
    run.negative_tokens = [_parse_tokens(tokens) for tokens in item["negative_tokens"]]
    run.versions = {str(name): str(version) for name, version in item["versions"].items()}
    run.frames = number(item.get("frames", 1))
    run.image_size_hw, run.latent_size_hw = _size(item["image_size_hw"]), _size(item["latent_size_hw"])
    return run


def number(value: Any, *, least: int = 1, most: int = MAX_SIDE) -> int:
    """A whole number within limits.

    Args:
        value: What should be one.
        least: The least that it may be.
        most: The most that it may be.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{value!r} is not a whole number from {least} to {most}")
    return value


def _plain(name: str, value: Any) -> Any:
    kinds: dict[str, tuple[type, ...]] = {
        "seed": (int,),
        "planned_steps": (int,),
        "guidance_scale": (int, float),
    }
    if value is not None and not isinstance(value, kinds.get(name, (str,))):
        raise ValueError(f"{name} is {value!r}")
    return value


def _parse_tokens(items: Any) -> tuple[Token, ...]:
    if not isinstance(items, list) or len(items) > MAX_TOKENS:
        raise ValueError(f"the tokens of a text are no list of at most {MAX_TOKENS}")
    return tuple(_parse_token(at, item) for at, item in enumerate(items))


def _parse_token(position: int, item: Mapping[str, Any]) -> Token:
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
