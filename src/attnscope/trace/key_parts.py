"""Keys of a layer whose keys come from several sources: which numbers a choice means."""

from __future__ import annotations

from typing import Any

from attnscope.errors import SelectionError
from attnscope.records import PLACE_KINDS, Layer
from attnscope.trace.selection import Pick, pick_number, pick_place, shifted


def part_of_keys(layer: Layer, part: str | None) -> range:
    """Numbers of the keys that a choice of a layer's keys counts.

    Args:
        layer: The layer.
        part: Name of a part, see `KeyPart`; None is all keys.

    Raises:
        SelectionError: The layer has no such part.
    """
    if part is None:
        return range(layer.keys)
    try:
        return layer.keys_of(part)
    except KeyError:
        names = [known.name for known in layer.parts] or [layer.usual_part]
        raise SelectionError(
            f"part {part!r}: the keys of {layer.id} are {', '.join(map(repr, names))}"
        ) from None


def pick_key_places(layer: Layer, choice: Any, part: str | None) -> Pick:
    """Keys that are places, or any keys by their numbers.

    Args:
        layer: A layer.
        choice: As for `pick_place` where the part is a grid of places, else as for `pick_number`.
        part: Which part of the keys is meant; None is all of them.

    Raises:
        SelectionError: The layer lacks such a key.
    """
    keys = part_of_keys(layer, part)
    if part is None and len(layer.parts) == 1:
        (part, _) = layer.parts[0]
    are_places = part in ("own", "reference") or (layer.kind in PLACE_KINDS and not layer.parts)
    if are_places and len(keys) == layer.grid.places:
        return shifted(pick_place("key", choice, layer.grid), keys.start)
    if are_places and len(keys) == layer.frames * layer.grid.places:
        return shifted(_pick_in_video("key", choice, layer), keys.start)
    if isinstance(choice, tuple):
        raise SelectionError(
            f"key {choice!r}: the keys of {layer.id} come from several sources, "
            f"{'; '.join(known.name for known in layer.parts)}: choose one with part="
        )
    return shifted(pick_number("key", choice, range(len(keys))), keys.start)


def pick_query(layer: Layer, choice: Any) -> Pick:
    """Queries of a layer.

    Args:
        layer: The layer.
        choice: As for `pick_place` where the queries are the places of a grid, else as for `pick_number`.

    Raises:
        SelectionError: The layer lacks such a query.
    """
    if not layer.query_parts or [part.name for part in layer.query_parts] == ["own"]:
        return (
            pick_place("query", choice, layer.grid)
            if layer.frames == 1
            else _pick_in_video("query", choice, layer)
        )
    if isinstance(choice, tuple):
        names = "; ".join(part.name for part in layer.query_parts)
        raise SelectionError(
            f"query {choice!r}: the queries of {layer.id} are those of {names}, not places of one grid: "
            "choose relation='image->image' or relation='image->text', or give their numbers"
        )
    return pick_number("query", choice, range(layer.queries))


def _pick_in_video(axis: str, choice: Any, layer: Layer) -> Pick:
    """Places of all frames: (frame, row, column), or numbers."""
    if not isinstance(choice, tuple):
        return pick_number(axis, choice, range(layer.frames * layer.grid.places))
    if len(choice) != 3:
        raise SelectionError(
            f"{axis} {choice!r}: {layer.id} has {layer.frames} frames of {layer.grid} places; expected "
            "(frame, row, column)"
        )
    (frame,), place = pick_number(axis, [choice[0]], range(layer.frames)).positions, choice[1:]
    return shifted(pick_place(axis, place, layer.grid), frame * layer.grid.places)


def pick_tokens(layer: Layer, choice: Any) -> Pick:
    """Keys that are tokens of the text.

    Args:
        layer: A layer that reads the text.
        choice: As for `pick_number`.

    Raises:
        SelectionError: The layer lacks such a token.
    """
    keys = layer.keys_of("context")
    return shifted(pick_number("token", choice, range(len(keys))), keys.start)
