"""The tables of a model's attention layers: for people, for programs, for Markdown and for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from attnscope.atlas import blocks_by_grid, sources, sources_of
from attnscope.cli.tables import PlainTable
from attnscope.records import KINDS, Kind, Layer, kind_rank

if TYPE_CHECKING:
    from attnscope.recording.estimate import Policy

_FLOAT16 = 2  # bytes a number
_TITLES: dict[Kind, str] = {
    "self": "Self-attention",
    "cross": "Cross-attention",
    "cross2": "Second cross-attention of a block",
}
_SHAPES = ("Block", "Query", "Key", "Value", "Attention probability")
_POLICY_COLUMNS = ("Kept", "A step", "The run", "Call")
_DETAILS = ("Stage", "Grid", "Heads", "Q+K", "P")


def rich_tables(layers: Sequence[Layer]) -> Iterator[PlainTable | str]:
    """The scale table, the sources of Q, K and V, and one table of shapes for each kind.

    Args:
        layers: The layers.
    """
    yield PlainTable("Latent scale and blocks", ("Scale (height x width)", "Blocks"), _scale_rows(layers))
    yield PlainTable("Sources", ("", "Query", "Key", "Value"), _source_rows(layers))
    for kind, chosen in _by_kind(layers):
        rows = ((*_shape_row(layer), *_detail_row(layer)) for layer in chosen)
        yield PlainTable(f"{_TITLES[kind]}: tensor shapes", (*_SHAPES, *_DETAILS), rows, right="Block")
    yield _leading(layers)


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


def markdown_tables(layers: Sequence[Layer]) -> str:
    """The tables of layers as Markdown, with the shapes only.

    Args:
        layers: The layers.
    """
    parts = [
        _markdown("Latent scale and blocks", ("Scale", "Blocks"), _scale_rows(layers)),
        _markdown("Sources", ("", "Query", "Key", "Value"), _source_rows(layers)),
        *(
            _markdown(f"{_TITLES[kind]}: tensor shapes", _SHAPES, map(_shape_row, chosen))
            for kind, chosen in _by_kind(layers)
        ),
        _leading(layers) + "\n",
    ]
    return "\n".join(parts)


def csv_table(layers: Sequence[Layer]) -> str:
    """One row a layer. A shape is written as 16x4096x40, a grid as height x width.

    Args:
        layers: The layers.
    """
    text = io.StringIO()
    rows = [layer_object(layer) for layer in layers]
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _joined(value) for name, value in row.items()})
    return text.getvalue()


def layer_object(layer: Layer) -> dict[str, Any]:
    """One layer as a JSON object. Bytes are those of one step in float16.

    Args:
        layer: The layer.
    """
    origin, facts = sources_of(layer), layer.as_dict()
    return {
        **{name: value for name, value in facts.items() if name not in ("keys", "batch", "branches")},
        "query_from": origin.query,
        "key_from": origin.key,
        "value_from": origin.value,
        "bytes_query_key": layer.bytes_query_key(_FLOAT16),
        "bytes_probability": layer.bytes_probability(_FLOAT16),
    }


def readable_bytes(count: float) -> str:
    """Bytes with a unit, in steps of 1000.

    Args:
        count: Bytes.

    >>> readable_bytes(10_485_760)
    '10.5 MB'
    """
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _policy_row(policy: Policy) -> tuple[str, ...]:
    a_step = readable_bytes(policy.step_bytes) if policy.step_bytes else ""
    return policy.name, a_step, readable_bytes(policy.run_bytes), policy.call


def _scale_rows(layers: Sequence[Layer]) -> Iterator[tuple[str, str]]:
    for grid, blocks in blocks_by_grid(layers).items():
        yield str(grid), ", ".join(map(str, blocks))


def _source_rows(layers: Sequence[Layer]) -> Iterator[tuple[str, ...]]:
    for kind, _ in _by_kind(layers):
        origin = sources(kind)
        yield _TITLES[kind], origin.query, origin.key, origin.value


def _shape_row(layer: Layer) -> tuple[str, ...]:
    shapes = (layer.query, layer.key, layer.value, layer.probability)
    return str(layer.block), *(str(shape) for shape in shapes)


def _detail_row(layer: Layer) -> tuple[str, ...]:
    sizes = (layer.bytes_query_key(_FLOAT16), layer.bytes_probability(_FLOAT16))
    return layer.stage, str(layer.grid), f"{layer.heads} x {layer.head_dim}", *map(readable_bytes, sizes)


def _leading(layers: Sequence[Layer]) -> str:
    """What the leading axis is made of, and the bytes of all layers together."""
    first = layers[0]
    heads = sorted({layer.heads for layer in layers})
    weights = [sum(size(layer) for layer in layers) for size in (_query_key, _probability)]
    return (
        f"Leading axis = {first.batch} (batch) x {first.branches} (guidance) x "
        f"{'/'.join(map(str, heads))} (heads).\n"
        f"One step in float16: Q and K {readable_bytes(weights[0])}, P {readable_bytes(weights[1])}."
    )


def _query_key(layer: Layer) -> int:
    return layer.bytes_query_key(_FLOAT16)


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
    return "x".join(map(str, value)) if isinstance(value, list) else value
