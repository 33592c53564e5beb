"""Nouns as plain JSON values, and back, with the checks that files from others need."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from attnscope.records import (
    PLACE_KINDS,
    Call,
    Grid,
    KeyPart,
    Layer,
    LayerId,
    QueryPart,
    Row,
    Run,
    Token,
    View,
    is_kind,
)
from attnscope.storage.values import MAX_REAL, brief, flag, items, number, real, text

MAX_PIXELS = 1 << 26
"""Of a picture, 8192 x 8192: 16 times what pipelines make. Maps and segments are drawn at its size."""
MAX_TOKENS = 1 << 11  # of one text
MAX_FRAMES = 1 << 12  # of one video
MAX_SEED = 1 << 64
_STAGE = re.compile(r"[a-z][a-z_]{0,19}")
_ROLES = ("text", "start", "end", "padding")
_NAMES = ("model", "revision", "family", "pipeline", "scheduler")
_NUMBERS = ("seed", "guidance_scale", "planned_steps")
_TEXTS = ("prompts", "negative_prompts", "second_prompts", "second_negative_prompts", "edits")
_TOKENS = ("tokens", "negative_tokens", "second_tokens", "second_negative_tokens")
_LATER: dict[str, Any] = {
    "negative_tokens": [],
    "second_prompts": [],
    "second_tokens": [],
    "second_negative_prompts": [],
    "second_negative_tokens": [],
    "unnamed": None,
    "family": None,
    "edits": [],
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
    plain = asdict(layer)
    for name in ("parts", "query_parts"):
        plain[name] = [list(part) for part in getattr(layer, name)]
    plain["view"] = None if layer.view is None else list(layer.view)
    return {**plain, "grid": [layer.grid.height, layer.grid.width]}


def parse_layer(item: Mapping[str, Any]) -> Layer:
    """A layer from plain values.

    Args:
        item: As `layer_json` gave it.

    Raises:
        KeyError, TypeError, ValueError: It is no layer.
    """
    height, width = items(item["grid"])
    numbers: dict[str, Any] = {
        name: number(item[name]) for name in ("block", "heads", "head_dim", "keys", "batch", "branches")
    }
    if not is_kind(item["kind"]) or not _STAGE.fullmatch(text(item["stage"])):
        raise ValueError(f"layer of kind {brief(item['kind'])} in stage {brief(item['stage'])}")
    grid = Grid(number(height), number(width))
    parts = tuple(KeyPart(text(name), number(count)) for name, count in items(item.get("parts", [])))
    frames = number(item.get("frames", 1), most=MAX_FRAMES)
    of_parts = sum(part.keys for part in parts)
    if of_parts != numbers["keys"] and (
        parts or (item["kind"] in PLACE_KINDS and frames * grid.places != numbers["keys"])
    ):
        raise ValueError(f"{numbers['keys']} keys in {len(parts)} parts over {grid} places")
    return Layer(
        kind=item["kind"],
        stage=item["stage"],
        path=text(item["path"]),
        grid=grid,
        parts=parts,
        query_parts=_query_parts(item.get("query_parts", []), frames * grid.places),
        frames=frames,
        view=_view(item.get("view")),
        **numbers,
    )


def _query_parts(plain: Any, places: int) -> tuple[QueryPart, ...]:
    parts = tuple(QueryPart(text(name), number(count)) for name, count in items(plain))
    if parts and [part.queries for part in parts if part.name == "own"] != [places]:
        raise ValueError(f"queries in {len(parts)} parts, none of which has the {places} places")
    return parts


def _view(plain: Any) -> View | None:
    if plain is None:
        return None
    relation, of, *starts = items(plain)
    if not is_kind(of) or len(starts) != 4:
        raise ValueError(f"a part of a layer of kind {brief(of)} with {len(starts)} numbers")
    return View(text(relation), of, *(number(start, least=0) for start in starts))


def call_json(call: Call) -> dict[str, Any]:
    """A call as plain values; its timestep is None if it is unknown.

    Args:
        call: The call.
    """
    timestep = call.timestep if abs(call.timestep) <= MAX_REAL else None  # JSON has no NaN
    return {**asdict(call), "timestep": timestep, "rows": [asdict(row) for row in call.rows]}


def parse_call(item: Mapping[str, Any]) -> Call:
    """A call from plain values.

    Args:
        item: As `call_json` gave it; or a step of version 1, which was one call.

    Raises:
        KeyError, TypeError, ValueError: It is no call, or two of its rows are the same.
    """
    rows = tuple(_parse_row(row) for row in items(item["rows"]))
    if len({(row.branch, row.image) for row in rows}) < len(rows):
        raise ValueError("two rows are the same branch of the same image")
    index = number(item["index"], least=0)
    step = number(item.get("step", index), least=0)
    timestep = float("nan") if item["timestep"] is None else real(item["timestep"])
    flags = (flag(item.get(name, False)) for name in ("gradients", "extra"))
    return Call(index, step, timestep, rows, *flags)


def _parse_row(item: Mapping[str, Any]) -> Row:
    return Row(
        text(item["branch"]), number(item["image"], least=0), number(item.get("frames", 1), most=MAX_FRAMES)
    )


def run_json(run: Run) -> dict[str, Any]:
    """A run as plain values, without its pictures.

    Args:
        run: The run.
    """
    plain = {name: getattr(run, name) for name in (*_NAMES, *_NUMBERS, *_TEXTS, "unnamed", "versions")}
    if run.guidance_scale is not None and not abs(run.guidance_scale) <= MAX_REAL:
        plain["guidance_scale"] = None  # NaN and the like, which JSON lacks
    tokens = {
        name: [[asdict(token) for token in of_image[:MAX_TOKENS]] for of_image in getattr(run, name)]
        for name in _TOKENS
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
    item = {**_LATER, **item}
    run = Run()
    for name in (*_NAMES, "unnamed"):
        setattr(run, name, None if item[name] is None else text(item[name]))
    for name in _TEXTS:
        setattr(run, name, [text(prompt) for prompt in items(item[name])])
    for name in _TOKENS:
        setattr(run, name, [_parse_tokens(tokens) for tokens in items(item[name])])
    run.versions = {text(name): text(version) for name, version in item["versions"].items()}
    _parse_numbers(run, item)
    return run


def text_length(run: Run) -> int:
    """Characters of all prompts and edits of a run.

    Args:
        run: The run.
    """
    return sum(len(prompt) for name in _TEXTS for prompt in getattr(run, name))


def _parse_numbers(run: Run, item: Mapping[str, Any]) -> None:
    seed, guidance, planned = (item[name] for name in _NUMBERS)
    run.seed = None if seed is None else number(seed, least=-MAX_SEED, most=MAX_SEED)
    run.guidance_scale = None if guidance is None else real(guidance)
    run.planned_steps = None if planned is None else number(planned, least=0)
    run.frames = number(item.get("frames", 1))
    run.image_size_hw, run.latent_size_hw = _size(item["image_size_hw"]), _size(item["latent_size_hw"])


def _parse_tokens(of_text: Any) -> tuple[Token, ...]:
    if len(items(of_text)) > MAX_TOKENS:
        raise ValueError(f"a text of {len(of_text)} tokens; expected at most {MAX_TOKENS}")
    return tuple(_parse_token(at, item) for at, item in enumerate(of_text))


def _parse_token(position: int, item: Mapping[str, Any]) -> Token:
    token = Token(
        index=number(item["index"], least=0),
        text=text(item["text"]),
        start_char=number(item["start_char"], least=0),
        end_char=number(item["end_char"], least=0),
        role=item["role"],
    )
    if token.index != position or token.start_char > token.end_char or token.role not in _ROLES:
        raise ValueError(f"token {position} is {ascii(token)[:200]}")
    return token


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    height, width = items(value)
    if number(height) * number(width) > MAX_PIXELS:
        raise ValueError(f"a size of {height}x{width}; expected at most {MAX_PIXELS} pixels")
    return height, width
