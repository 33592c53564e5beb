"""Relations: which part of a layer's queries attends to which part of its keys.

A relation is written 'image->text': queries first. P is cut after the softmax over all keys, so a row of a part
sums to the share of the attention that the part gets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from attnscope.errors import ParameterError, SelectionError
from attnscope.records.layers import Kind, Layer
from attnscope.records.parts import KeyPart, QueryPart, View

_NAMES = {"image": "own", "text": "context"}
"""The words of relations for parts that are called otherwise; the other parts are called by their names."""
_WORDS = {name: word for word, name in _NAMES.items()}
AS_KINDS: dict[str, Kind] = {"image->image": "self", "image->text": "cross"}
"""What the parts of a joint attention are where a kind is asked for."""
_JOINT = "joint"


def relations(layer: Layer) -> tuple[str, ...]:
    """The relations that a layer has, such as ('image->image', 'image->text').

    Args:
        layer: The layer.
    """
    queries = _sources([part.name for part in layer.query_parts] or ["own"], layer.queries_of)
    keys = _sources([part.name for part in layer.parts] or [layer.usual_part], layer.keys_of)
    return tuple(f"{query}->{key}" for query in queries for key in keys)


def related(layer: Layer, relation: str) -> Layer:
    """The part of a layer that a relation names, as a layer: the whole layer where it has no other part.

    Args:
        layer: The layer, all of its softmax.
        relation: Such as 'image->text'. Parts of a text are 'text/clip' and so on.

    Raises:
        ParameterError: It is no relation.
        SelectionError: The layer lacks one of its parts. The message lists the relations that it has.
    """
    if layer.view is not None and layer.view.relation == relation:
        return layer
    if layer.view is not None:
        raise ParameterError(
            f"relation {relation!r}: {layer.id} is a part of a softmax already, {layer.view.relation}; ask its "
            f"{layer.view.of} layer"
        )
    query, key = _sides(relation)
    try:
        queries, keys = layer.queries_of(query), layer.keys_of(key)
    except KeyError:
        known = relations(layer)
        texts = dict.fromkeys(side for one in known for side in one.split("->") if "/" in side)
        parts = f"; the text's parts are {', '.join(map(repr, texts))}" if texts else ""
        whole = ", ".join(repr(one) for one in known if "/" not in one)
        raise SelectionError(f"relation {relation!r}: {layer.id} has {whole}{parts}") from None
    kind = AS_KINDS.get(relation, layer.kind) if layer.kind == _JOINT else layer.kind
    if len(queries) == layer.queries and len(keys) == layer.keys and kind == layer.kind:
        return layer
    is_usual = key == ("context" if kind == "cross" else "own") and kind != _JOINT
    return replace(
        layer,
        kind=kind,
        keys=len(keys),
        parts=() if is_usual else (KeyPart(key, len(keys)),),
        query_parts=() if query == "own" else (QueryPart(query, len(queries)),),
        view=View(relation, layer.kind, queries.start, keys.start),
    )


def as_kind(layer: Layer, kind: Kind) -> Layer | None:
    """A layer where some kind is asked for: itself if it is of that kind, of a joint attention the part that is.

    Args:
        layer: The layer.
        kind: The kind.
    """
    relation = next((name for name, part in AS_KINDS.items() if part == kind), None)
    if layer.frames > 1 and relation is not None:
        return _frame_by_frame(layer, relation, kind)
    if layer.frames > 1 and layer.kind == kind and kind.startswith("image"):
        return _of_each_frame(layer, kind, relations(layer)[0], range(layer.keys))
    if layer.kind == kind:
        return layer
    if layer.kind != _JOINT or relation not in relations(layer):
        return None
    return related(layer, relation)


def _frame_by_frame(layer: Layer, relation: str, kind: Kind) -> Layer | None:
    """The part of a video's attention within each frame, or from each frame to the text: every frame is an image."""
    if layer.kind not in (kind, _JOINT) or relation not in relations(layer):
        return None
    return _of_each_frame(layer, kind, relation, layer.keys_of(_sides(relation)[1]))


def _of_each_frame(layer: Layer, kind: Kind, relation: str, keys: range) -> Layer:
    """What the queries of each frame see of some keys, of its own places where it is 'self'."""
    places = layer.grid.places
    step = places if kind == "self" else 0
    name = f"{relation}, frame by frame"
    return replace(
        layer,
        kind=kind,
        keys=step or len(keys),
        batch=layer.batch * layer.frames,
        parts=layer.parts if layer.kind == kind else (),
        query_parts=(),
        view=View(name, layer.kind, layer.queries_of("own").start, keys.start, places, step),
        frames=1,
    )


def same_part(layer: Layer, part: Layer) -> Layer:
    """The part of a layer that another record of it, such as one of an older trace, is.

    Args:
        layer: The layer, all of its softmax.
        part: A layer that may be a part.
    """
    if part.view is None:
        return layer
    if part.view.frame_queries:
        return as_kind(layer, part.kind) or layer
    return related(layer, part.view.relation)


def _sides(relation: str) -> tuple[str, str]:
    sides = relation.split("->") if isinstance(relation, str) else []
    if len(sides) != 2 or not all(side.strip() for side in sides):
        raise ParameterError(f"relation {relation!r}: expected two parts and an arrow, such as 'image->text'")
    query, key = (_replaced(side.strip(), _NAMES) for side in sides)
    return query, key


def _sources(names: list[str], numbers_of: Callable[[str], range]) -> list[str]:
    """The words that a side has: 'text' for all of 'context/clip' and 'context/t5', then each of them."""
    every = dict.fromkeys([*(name.partition("/")[0] for name in names), *names])
    return [_replaced(name, _WORDS) for name in every if _lies_together(name, numbers_of)]


def _lies_together(name: str, numbers_of: Callable[[str], range]) -> bool:
    try:
        numbers_of(name)
    except KeyError:
        return False
    return True


def _replaced(name: str, names: Mapping[str, str]) -> str:
    """A name with its first part in other words."""
    first, slash, rest = name.partition("/")
    return names.get(first, first) + slash + rest
