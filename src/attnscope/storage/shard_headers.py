"""What a shard says of itself, so that it can be read without the manifest, and is found in another's place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attnscope.errors import TraceFormatError
from attnscope.records import Call, Layer, LayerId
from attnscope.storage.plain import call_json, layer_json, layer_key, parse_call, parse_layer
from attnscope.storage.plain_files import damaged
from attnscope.storage.values import brief, flag, number, real, reason

FORMAT = "attnscope-trace"
VERSION = 2
OfRecord = tuple[Layer, float, bool]
"""A record's layer, its scale, and whether the model asks for float32 scores."""


def shard_header(number_of_pass: int, call: Call, records: Iterable[OfRecord]) -> dict[str, Any]:
    """What a shard says of itself.

    Args:
        number_of_pass: Number of the pass, from 0.
        call: The call.
        records: What it holds.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "pass": number_of_pass,
        "call": call_json(call),
        "records": {
            layer_key(layer.id): {"scale": scale, "upcast": upcast, "layer": layer_json(layer)}
            for layer, scale, upcast in records
        },
    }


def check_header(
    path: Path,
    about: Any,
    version: int,
    number_of_pass: int,
    call: Call,
    expected: Mapping[LayerId, OfRecord],
) -> None:
    """Compare what a shard says of itself with the manifest.

    Args:
        path: The shard, for messages.
        about: What it says.
        version: Version of the format that the manifest has.
        number_of_pass: Number of the pass, from 0.
        call: The call that the manifest names.
        expected: The records that the manifest names.

    Raises:
        TraceFormatError: It is of another call, or holds other layers.
    """
    try:
        if number(about["version"]) != version:
            raise ValueError(f"version {about['version']} in a trace of version {version}")
        told = parse_call(about["step" if version == 1 else "call"])
        at = 0 if version == 1 else number(about["pass"], least=0)
        records = {name: _parse_record(item) for name, item in about["records"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(path, f"what it says of itself is no header: {reason(error)}") from error
    if (at, call_json(told)) != (number_of_pass, call_json(call)):
        raise TraceFormatError(
            f"{path}: holds {_named(told, at)}, where the manifest names {_named(call, number_of_pass)}: put the right "
            "file there or capture again"
        )
    named = {layer_key(layer): record for layer, record in expected.items()}
    if records != named:
        other = sorted(name for name in {**records, **named} if records.get(name) != named.get(name))
        raise TraceFormatError(
            f"{path}: layer {brief(other[0])} has another shape, path or scale than the manifest says: put the right "
            "file there or capture again"
        )
    if version == VERSION:
        _check_names(path, about, shard_header(number_of_pass, call, expected.values()))


def _check_names(path: Path, told: Any, known: Any) -> None:
    """A newer attnscope may say more and an older one less, but none says one thing in another's place."""
    if isinstance(told, list) and isinstance(known, list):
        for of_told, of_known in zip(told, known, strict=False):  # they were compared
            _check_names(path, of_told, of_known)
    if not isinstance(told, Mapping) or not isinstance(known, Mapping):
        return
    strange, lacking = told.keys() - known.keys(), known.keys() - told.keys()
    if (strange and lacking) or told.get("format", FORMAT) != FORMAT:
        wrong = min(strange) if strange and lacking else told["format"]
        raise damaged(path, f"what it says of itself is no header: it holds {brief(wrong)}")
    for name in told.keys() & known.keys():
        _check_names(path, told[name], known[name])


def _parse_record(item: Mapping[str, Any]) -> OfRecord:
    return parse_layer(item["layer"]), real(item["scale"]), flag(item["upcast"])


def _named(call: Call, number_of_pass: int) -> str:
    return f"call {call.index} (step {call.step}, timestep {call.timestep:g}) of pass {number_of_pass}"
