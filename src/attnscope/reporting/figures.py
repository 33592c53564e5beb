"""Coloured tables, bars and curves as markup, without style attributes, which a content security policy keeps out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from attnscope.pictures.heat_colours import heat_colours
from attnscope.reporting.markup import text

LEVELS = 32
SERIES = ("a", "b", "c", "d", "e")
"""Classes of the colours of series."""


def level_styles() -> str:
    """The style sheet's rules for the colours of heat tables."""
    colours = heat_colours(np.linspace(0, 1, LEVELS))
    rules = [
        f".h{level}{{background:#{red:02x}{green:02x}{blue:02x}}}"
        for level, (red, green, blue) in enumerate(colours)
    ]
    return "".join(rules)


def heat_table(
    rows: Mapping[str, Sequence[float]], least: float, most: float, ends: tuple[str, str], digits: int = 2
) -> str:
    """A table of colours: a row for each block, a cell for each head, and the row's mean as a number.

    Args:
        rows: By the name of a row its numbers.
        least: The number with the darkest colour.
        most: The number with the brightest colour.
        ends: What these are called below the table.
        digits: Digits of numbers after the point.
    """
    heads = max(map(len, rows.values()))
    size = " many" if heads > 12 else ""
    lines = []
    for name, numbers in rows.items():
        cells = "".join(_cell(name, head, number, least, most, digits) for head, number in enumerate(numbers))
        gap = f'<td colspan="{heads - len(numbers)}"></td>' if len(numbers) < heads else ""
        mean = f"{np.mean(numbers):.{digits}f}"
        lines.append(f'<tr><th scope="row">{text(name)}</th>{cells}{gap}<td class="mean">{mean}</td></tr>')
    head = (
        f'<tr><th scope="col">block</th><th scope="colgroup" colspan="{heads}" class="heads">{_heads(heads)}</th>'
        '<th scope="col" class="mean">mean</th></tr>'
    )
    scale = "".join(f'<i class="h{level}"></i>' for level in range(LEVELS))
    return (
        f'<table class="heat{size}"><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table>'
        f'<div class="scale"><span>{text(ends[0])}</span><b>{scale}</b><span>{text(ends[1])}</span></div>'
    )


def _heads(count: int) -> str:
    return "one head" if count == 1 else f"heads 0 to {count - 1}"


def _cell(name: str, head: int, number: float, least: float, most: float, digits: int) -> str:
    level = round(float(np.clip((number - least) / (most - least), 0, 1)) * (LEVELS - 1))
    said = f"block {name}, head {head}: {number:.{digits + 1}f}"
    return f'<td class="h{level}" title="{text(said)}"><span class="unseen">{number:.{digits}f}</span></td>'


def bar(share: float, series: str = "a") -> str:
    """A bar.

    Args:
        share: Its length, 0..1.
        series: Class of its colour.
    """
    return (
        f'<svg class="bar" aria-hidden="true"><rect class="{series}" width="{100 * np.clip(share, 0, 1):.2f}%" '
        'height="100%"/></svg>'
    )


def stacked_bar(parts: Mapping[str, float], said: Mapping[str, str]) -> str:
    """Shares of one as one bar, with what they are below.

    Args:
        parts: By name the share, together 1.
        said: By name the share as text.
    """
    at, pieces, legend = 0.0, [], []
    for series, (name, share) in zip(SERIES, parts.items(), strict=False):
        pieces.append(
            f'<rect class="{series}" x="{100 * at:.3f}%" width="{100 * share:.3f}%" height="100%"/>'
        )
        legend.append(f'<li><i class="{series}"></i>{text(name)} <b>{text(said[name])}</b></li>')
        at += share
    return f'<svg class="stack" aria-hidden="true">{"".join(pieces)}</svg><ul class="legend">{"".join(legend)}</ul>'


def curves(series: Mapping[str, Mapping[int, float]], most: float = 1.0) -> str:
    """Numbers over steps, a curve each, from 0 to `most`.

    Args:
        series: By name, numbers by step.
        most: The number at the top.
    """
    steps = sorted({step for numbers in series.values() for step in numbers})
    first, last = steps[0], steps[-1]
    width = max(last - first, 1)
    lines, legend = [], []
    for colour, (name, numbers) in zip(SERIES, series.items(), strict=False):
        points = " ".join(
            f"{100 * (step - first) / width:.2f},{100 - 100 * min(number / most, 1):.2f}"
            for step, number in numbers.items()
        )
        lines.append(f'<polyline class="{colour}" points="{points}"/>')
        values = list(numbers.values())
        legend.append(
            f'<li><i class="{colour}"></i>{text(name)} <b>{values[0]:.2f} → {values[-1]:.2f}</b></li>'
        )
    return (
        f'<div class="plot"><span class="top">{most:.2g}</span><span class="bottom">0</span>'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true"><path class="grid" '
        f'd="M0 0H100M0 50H100M0 100H100"/>{"".join(lines)}</svg></div>'
        f'<div class="ends"><span>step {first}</span><span>step {last}</span></div>'
        f'<ul class="legend">{"".join(legend)}</ul>'
    )
