"""The statistics of a report's page: tables of colours by block and head, curves over steps."""

from __future__ import annotations

from collections.abc import Iterator

from attnscope.measuring.clusters import ALIKE
from attnscope.measuring.numbers import LayerStatistics
from attnscope.measuring.result import AttentionStatistics
from attnscope.reporting.figures import SERIES, bar, curves, heat_table
from attnscope.reporting.markup import section, text

_KINDS = {
    "self": "the picture",
    "cross": "the text",
    "joint": "text and picture",
    "self2": "the picture, second attention",
    "cross2": "the text, second attention",
    "fuser": "picture and objects",
    "image": "an adapter's picture",
}
"""What places look at, by kind; of rarer kinds their own name."""


def statistics_section(statistics: AttentionStatistics) -> str:
    """Every figure that the layers have numbers for.

    Args:
        statistics: The numbers.
    """
    lead = (
        "How attention behaves, block by block. A row is a block, a cell one of its heads, the mean over steps; "
        "the number at its end is the mean over heads."
    )
    figures = [*_entropies(statistics), *_distances(statistics), *_sinks(statistics), *_likeness(statistics)]
    return section(
        "Statistics", lead, [f'<div class="figures">{"".join([*figures, *_steps(statistics)])}</div>']
    )


def _figure(title: str, told: str, body: str) -> str:
    return f'<figure><h3>{text(title)}</h3><p class="told">{text(told)}</p>{body}</figure>'


def _rows(layers: tuple[LayerStatistics, ...], name: str) -> dict[str, list[float]]:
    """By block the mean over steps of each head, for layers that have such a number."""
    return {
        str(layer.block): numbers.mean(0).tolist()
        for layer in layers
        if (numbers := layer.numbers(name)) is not None
    }


def _entropies(statistics: AttentionStatistics) -> Iterator[str]:
    for kind in statistics.kinds:
        rows = _rows(statistics.of_kind(kind), "entropy_share")
        yield _figure(
            f"How widely places look at {_KINDS.get(kind, kind)}",
            "Entropy of a row of attention, as a share of the largest: 0 is one key alone, 1 all keys alike.",
            heat_table(rows, 0, 1, ("0, one key", "1, all alike")),
        )


def _distances(statistics: AttentionStatistics) -> Iterator[str]:
    for kind in statistics.kinds:
        layers = statistics.of_kind(kind)
        if rows := _rows(layers, "distance"):
            even = max(layer.even_distance or 0 for layer in layers)
            yield _figure(
                "How far places look",
                f"Mean distance from a place to what it looks at, in sides of the picture; {even:.2f} if it is even.",
                heat_table(rows, 0, even, ("0, itself", f"{even:.2f}, even")),
            )


def _sinks(statistics: AttentionStatistics) -> Iterator[str]:
    for kind in statistics.kinds:
        if rows := _rows(statistics.of_kind(kind), "sink"):
            yield _figure(
                "What names nothing",
                "Share of attention that start, end and padding tokens get together.",
                heat_table(rows, 0, 1, ("0", "1, all of it")),
            )


def _likeness(statistics: AttentionStatistics) -> Iterator[str]:
    """How alike the heads of each layer are, and how many groups they make."""
    for series, kind in zip(SERIES, statistics.kinds, strict=False):
        layers = [layer for layer in statistics.of_kind(kind) if layer.mean_similarity is not None]
        if not layers:
            continue
        rows = "".join(
            f'<tr><th scope="row">{layer.block}</th><td>{bar(layer.mean_similarity or 0, series)}</td>'
            f'<td class="mean">{layer.mean_similarity:.2f}</td><td class="mean">{_groups(layer)}</td></tr>'
            for layer in layers
        )
        head = (
            '<tr><th scope="col">block</th><th scope="col"></th><th scope="col" class="mean">alike</th>'
            '<th scope="col" class="mean">groups</th></tr>'
        )
        yield _figure(
            f"How alike heads look at {_KINDS.get(kind, kind)}",
            f"Cosine of two heads' attention, the mean over pairs; heads of a group are at least {ALIKE:g} alike.",
            f'<table class="rows"><thead>{head}</thead><tbody>{rows}</tbody></table>',
        )


def _groups(layer: LayerStatistics) -> str:
    return f"{len(layer.clusters())} of {layer.layer.heads}"


def _steps(statistics: AttentionStatistics) -> Iterator[str]:
    named = {
        f"entropy, {_KINDS.get(kind, kind)}": statistics.over_steps("entropy_share", kind)
        for kind in statistics.kinds
    }
    for kind in statistics.kinds:
        named[f"distance, {_KINDS.get(kind, kind)}"] = statistics.over_steps("distance", kind)
        named[f"start, end and padding, {_KINDS.get(kind, kind)}"] = statistics.over_steps("sink", kind)
    there = {name: numbers for name, numbers in named.items() if len(numbers) > 1}
    if there:
        yield _figure(
            "Over the steps",
            "The same numbers while the picture forms: means over blocks and heads.",
            curves(dict(list(there.items())[: len(SERIES)])),
        )
