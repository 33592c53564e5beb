"""The tables of a model's attention layers: for people, for programs, for Markdown and for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from attnscope.atlas import blocks_by_grid, sources_of
from attnscope.cli.tables import PlainTable
from attnscope.records import KINDS, Kind, Layer, LayerId, kind_rank
from attnscope.records.relations import AS_KINDS, related, relations

if TYPE_CHECKING:
    from attnscope.recording.planning.estimate import Policy

_FLOAT16 = 2  # bytes a number
_TITLES: dict[Kind, str] = {
    "self": "Self-attention",
    "cross": "Cross-attention",
    "joint": "Joint attention",
    "self2": "Second self-attention",
    "cross2": "Second cross-attention",
}
_SHAPES = ("Block", "Query", "Key", "Value", "Attention probability")
_POLICY_COLUMNS = ("Kept", "A step", "The run", "Call")
_RELATIONS = ("Block", "Relation", "Queries", "Keys", "Also")
_LONG_RUN = 4  # block numbers that are written as 5-10
_DETAILS = ("Stage", "Grid", "Heads", "Q+K", "P")


Whole = Mapping[LayerId, Layer]
"""The layers whose Q and K are kept for those that are a part of one: a joint attention's softmax is over all keys."""


def rich_tables(
    layers: Sequence[Layer], *, whole: Whole | None = None, every_block: bool = False, calls: int = 1
) -> Iterator[PlainTable | str]:
    """The scale table, the sources of Q, K and V, one table of shapes for each kind, and relations of joint attention.

    Args:
        layers: The layers.
        whole: All layers of the model, by block and kind.
        every_block: Whether equal blocks of one list have a row each.
        calls: How often the model is called in a step.
    """
    yield PlainTable("Latent scale and blocks", ("Scale (height x width)", "Blocks"), _scale_rows(layers))
    yield PlainTable("Sources", ("", "Query", "Key", "Value"), _source_rows(layers))
    for kind, chosen in _by_kind(layers):
        rows = (
            (*_shape_row(group), *_detail_row(group[0], whole or {}))
            for group in _groups(chosen, every_block)
        )
        yield PlainTable(f"{_title(chosen)}: tensor shapes", (*_SHAPES, *_DETAILS), rows, right="Block")
        if kind == "joint":
            yield PlainTable(f"{_title(chosen)}: relations", _RELATIONS, _relation_rows(chosen))
    yield _leading(layers, whole or {}, calls)


def policy_table(policies: Sequence[Policy], steps: int) -> PlainTable:
    """A table of what each way to capture takes.

    Args:
        policies: From `attnscope.estimate`.
        steps: Steps of the run, for the title.
    """
    return PlainTable(f"What {steps} steps take", _POLICY_COLUMNS, map(_policy_row, policies))


def policy_markdown(policies: Sequence[Policy], steps: int) -> str:
    """The same table as Markdown.

    Args:
        policies: From `attnscope.estimate`.
        steps: Steps of the run, for the title.
    """
    return _markdown(f"What {steps} steps take", _POLICY_COLUMNS, map(_policy_row, policies))


def markdown_tables(
    layers: Sequence[Layer], *, whole: Whole | None = None, every_block: bool = False, calls: int = 1
) -> str:
    """The tables of layers as Markdown, with the shapes only.

    Args:
        layers: The layers.
        whole: As for `rich_tables`.
        every_block: As for `rich_tables`.
        calls: As for `rich_tables`.
    """
    parts = [
        _markdown("Latent scale and blocks", ("Scale", "Blocks"), _scale_rows(layers)),
        _markdown("Sources", ("", "Query", "Key", "Value"), _source_rows(layers)),
    ]
    for kind, chosen in _by_kind(layers):
        rows = map(_shape_row, _groups(chosen, every_block))
        parts.append(_markdown(f"{_title(chosen)}: tensor shapes", _SHAPES, rows))
        if kind == "joint":
            parts.append(_markdown(f"{_title(chosen)}: relations", _RELATIONS, _relation_rows(chosen)))
    return "\n".join([*parts, _leading(layers, whole or {}, calls) + "\n"])


def csv_table(layers: Sequence[Layer], *, whole: Whole | None = None) -> str:
    """One row a layer. A shape is written as 16x4096x40, a grid as height x width, parts as text:512 image:4096.

    Args:
        layers: The layers.
        whole: As for `rich_tables`.
    """
    text = io.StringIO()
    rows = [layer_object(layer, whole=whole) for layer in layers]
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _joined(value) for name, value in row.items()})
    return text.getvalue()


def layer_object(layer: Layer, *, whole: Whole | None = None) -> dict[str, Any]:
    """One layer as a JSON object. Bytes are those of one call of the model in float16.

    Args:
        layer: The layer.
        whole: As for `rich_tables`.
    """
    origin, facts = sources_of(layer), layer.as_dict()
    return {
        **{name: value for name, value in facts.items() if name not in ("keys", "batch", "branches")},
        "query_from": origin.query,
        "key_from": origin.key,
        "value_from": origin.value,
        "bytes_query_key": _query_key(layer, whole or {}),
        "bytes_probability": layer.bytes_probability(_FLOAT16),
    }


def readable_bytes(count: float) -> str:
    """Bytes with a unit, in steps of 1000.

    Args:
        count: Bytes.

    >>> readable_bytes(10_485_760)
    '10.5 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _policy_row(policy: Policy) -> tuple[str, ...]:
    a_step = readable_bytes(policy.step_bytes) if policy.step_bytes else ""
    return policy.name, a_step, readable_bytes(policy.run_bytes), policy.call


def _scale_rows(layers: Sequence[Layer]) -> Iterator[tuple[str, str]]:
    for grid, blocks in blocks_by_grid(layers).items():
        yield str(grid), _numbers(blocks)


def _numbers(blocks: Iterable[int]) -> str:
    """'1, 2, 14', with longer runs as '5-10'."""
    runs = (list(run) for _, run in groupby(enumerate(blocks), key=lambda pair: pair[1] - pair[0]))
    parts = ([number for _, number in run] for run in runs)
    return ", ".join(
        f"{run[0]}-{run[-1]}" if len(run) >= _LONG_RUN else ", ".join(map(str, run)) for run in parts
    )


def _source_rows(layers: Sequence[Layer]) -> Iterator[tuple[str, ...]]:
    for _, chosen in _by_kind(layers):
        origin = sources_of(chosen[0])
        yield _title(chosen), origin.query, origin.key, origin.value


def _title(chosen: Sequence[Layer]) -> str:
    first = chosen[0]
    part = f" ({first.view.relation} of {_TITLES[first.view.of].lower()})" if first.view else ""
    return _TITLES.get(first.kind, first.kind) + part


def _groups(layers: Sequence[Layer], every_block: bool) -> Iterator[list[Layer]]:
    """Neighbours of one list of blocks that have the same shapes."""
    for _, group in groupby(layers, key=lambda layer: layer.path if every_block else _alike(layer)):
        yield list(group)


def _alike(layer: Layer) -> tuple[Any, ...]:
    """Its list of blocks, and what a row says of it besides its number."""
    return layer.path.rsplit(".", 2)[0], layer.stage, layer.grid, layer.query, layer.key, layer.heads


def _shape_row(group: Sequence[Layer]) -> tuple[str, ...]:
    first, last = group[0], group[-1]
    shapes = (first.query, first.key, first.value, first.probability)
    number = str(first.block) if first is last else f"{first.block}-{last.block}"
    return number, *(str(shape) for shape in shapes)


def _detail_row(layer: Layer, whole: Whole) -> tuple[str, ...]:
    sizes = (_query_key(layer, whole), _probability(layer))
    return layer.stage, str(layer.grid), f"{layer.heads} x {layer.head_dim}", *map(readable_bytes, sizes)


def _relation_rows(layers: Sequence[Layer]) -> Iterator[tuple[str, ...]]:
    """What attends to what in each list of blocks that has other parts than the one before."""
    for _, group in groupby(layers, key=lambda layer: (layer.query_parts, layer.parts)):
        alike = list(group)
        for relation in relations(alike[0]):
            if "/" in relation and not relation.startswith("image->"):
                continue  # parts of the text among themselves
            part = related(alike[0], relation)
            kind = f"kind={AS_KINDS[relation]!r}" if relation in AS_KINDS else ""
            kind += ", of each frame" if kind and alike[0].frames > 1 else ""
            yield _blocks_of(alike), relation, str(part.queries), str(part.keys), kind


def _blocks_of(layers: Sequence[Layer]) -> str:
    return _numbers([layer.block for layer in layers])


def _leading(layers: Sequence[Layer], whole: Whole, calls: int) -> str:
    """What the leading axis is made of, and the bytes of all layers together."""
    first = layers[0]
    heads = sorted({layer.heads for layer in layers})
    kept = calls * sum(_query_key(layer, whole) for layer in layers)
    probability = calls * sum(map(_probability, layers))
    of_joint = ", all of the joint layers" if any(layer.view for layer in layers) else ""
    several = f" ({calls} calls of the model)" if calls > 1 else ""
    return (
        f"Leading axis = {first.batch} (batch) x {first.branches} (guidance) x "
        f"{'/'.join(map(str, heads))} (heads).\n"
        f"One step{several} in float16: Q and K {readable_bytes(kept)}{of_joint}, P {readable_bytes(probability)}."
    )


def _query_key(layer: Layer, whole: Whole) -> int:
    return whole.get(layer.record_id, layer).bytes_query_key(_FLOAT16)


def _probability(layer: Layer) -> int:
    return layer.bytes_probability(_FLOAT16)


def _by_kind(layers: Sequence[Layer]) -> Iterator[tuple[Kind, list[Layer]]]:
    for kind in (*KINDS, *sorted({layer.kind for layer in layers}.difference(KINDS), key=kind_rank)):
        if chosen := [layer for layer in layers if layer.kind == kind]:
            yield kind, chosen


def _markdown(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return f"### {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _joined(value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return " ".join(":".join(map(str, part.values())) for part in value)
    return "x".join(map(str, value)) if isinstance(value, list) else value
