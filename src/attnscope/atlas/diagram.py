"""A drawing of the U-Net as a U: which of its blocks hold attention, and at what scale.

The drawing is SVG text made from the atlas, so it is right for every model that the atlas understands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from attnscope.atlas import Section, layers, sections
from attnscope.atlas.plan import Unit
from attnscope.records import Stage

_BOX, _PITCH, _ROW = 62, 80, 128  # px: side of a unit's box; from box to box; from level to level
_LEFT, _TOP, _LEGEND = 104, 146, 116
_MIN_WIDTH = 1120  # the legend's two columns
SCALE_TINTS = ("#dcebfb", "#c4e3dc", "#e3dcf5", "#fbe3c8", "#f6d5dc")  # one tint per level, finest first
_SELF, _CROSS = "#2563ab", "#d4681c"
_INK, _SOFT, _LINE = "#1b2733", "#5b6773", "#8b98a5"
_EMPTY, _EDGE = "#f7f8f9", "#c3cad1"  # a unit without attention
_STYLE = f"""
  text {{ font-family: "Inter", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; fill: {_INK}; }}
  .title {{ font-size: 25px; font-weight: 700; }}
  .subtitle {{ font-size: 15px; fill: {_SOFT}; }}
  .number {{ font-size: 23px; font-weight: 700; text-anchor: middle; }}
  .many {{ font-size: 15px; }}
  .plain {{ font-size: 11px; fill: {_SOFT}; text-anchor: middle; }}
  .path {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 11px; fill: {_SOFT}; }}
  .grid {{ font-size: 20px; font-weight: 700; text-anchor: middle; }}
  .facts {{ font-size: 12.5px; fill: {_SOFT}; text-anchor: middle; }}
  .label {{ font-size: 13.5px; }}
  .flow {{ stroke: {_INK}; stroke-width: 1.8; fill: none; marker-end: url(#arrow); }}
  .skip {{ stroke: {_LINE}; stroke-width: 1.5; stroke-dasharray: 5 5; fill: none; marker-end: url(#soft); }}
"""


@dataclass(frozen=True)
class _Placed:
    """A section and the column of its first box; its row is its level."""

    section: Section
    column: int

    @property
    def left(self) -> float:
        return _LEFT + self.column * _PITCH

    @property
    def right(self) -> float:
        return self.left + (len(self.section.units) - 1) * _PITCH + _BOX

    @property
    def top(self) -> float:
        return _TOP + self.section.level * _ROW

    @property
    def middle(self) -> float:
        return self.top + _BOX / 2

    def centre(self, unit: int) -> float:
        """Horizontal middle of a unit's box; -1 is the last."""
        return self.left + (unit % len(self.section.units)) * _PITCH + _BOX / 2


def unet_diagram(model: Any, *, size: tuple[int, int] | None = None, name: str | None = None) -> str:
    """The model's U-Net as an SVG drawing: every residual unit, with its attention blocks numbered.

    Args:
        model: As for `attnscope.layers`.
        size: Picture (height, width) in pixels. Default: the model's native size.
        name: Heading. Default: the model's name.

    Returns:
        The text of an SVG file.

    Raises:
        ModelError: The atlas does not understand the model's attention.
        ParameterError: The model can't make pictures of this size.

    >>> unet_diagram("sd1").startswith("<svg")
    True
    """
    unet_sections = sections(model, size=size)
    placed = [_Placed(*pair) for pair in zip(unet_sections, staircase(unet_sections), strict=True)]
    heading = name or (Path(model).name if isinstance(model, (str, Path)) else type(model).__name__)
    width = max(_MIN_WIDTH, max(drawn.right for drawn in placed) + _LEFT)
    height = max(drawn.top for drawn in placed) + _BOX + 88 + _LEGEND
    attention = layers(model, size=size)
    body = "\n".join(
        [
            *_heading(heading, placed, len(attention)),
            *_skips(placed),
            *_flows(placed),
            *(line for drawn in placed for line in _section(drawn)),
            *_facts(placed),
            *_legend(
                height - _LEGEND + 24,
                max((layer.keys for layer in attention if layer.kind == "cross"), default=0),
            ),
        ]
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img">\n'
        f"<title>Attention blocks of {escape(heading)}</title>\n<style>{_STYLE}</style>\n"
        f"<defs>{_arrow('arrow', _INK)}{_arrow('soft', _LINE)}</defs>\n"
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def staircase(unet_sections: Sequence[Section]) -> list[int]:
    """Column of each section's first unit in a drawing as a U, with one row for each level.

    The last unit of a section stands straight above or below the first of the next.

    Args:
        unet_sections: The sections in execution order.
    """
    columns = [0]
    for before, after in pairwise(unet_sections):
        columns.append(columns[-1] + len(before.units) - (before.level != after.level))
    return columns


def _heading(name: str, placed: list[_Placed], layer_count: int) -> Iterator[str]:
    blocks = sum(len(drawn.section.blocks) for drawn in placed)
    finest = placed[0].section.grid
    yield f'<text class="title" x="{_LEFT}" y="46">Attention in the U-Net of {escape(name)}</text>'
    yield (
        f'<text class="subtitle" x="{_LEFT}" y="72">{blocks} blocks with {layer_count} attention layers, '
        f"numbered in the order in which data passes them; latent {_times(finest.height, finest.width)} "
        f"(height × width)</text>"
    )


def _section(drawn: _Placed) -> Iterator[str]:
    tint = SCALE_TINTS[drawn.section.level % len(SCALE_TINTS)]
    shift = _BOX / 2 + 10 if drawn.section.stage == "down" and drawn.section.level > 0 else 0
    yield f'<text class="path" x="{drawn.left + shift:g}" y="{drawn.top - 9:g}">{drawn.section.path}</text>'
    for i, unit in enumerate(drawn.section.units):
        yield from _unit(unit, drawn.left + i * _PITCH, drawn.top, tint)


def _unit(unit: Unit, x: float, y: float, tint: str) -> Iterator[str]:
    middle = x + _BOX / 2
    place = f'x="{x:g}" y="{y:g}" width="{_BOX}" height="{_BOX}" rx="9"'
    if not unit.blocks:
        yield (
            f'<rect {place} fill="{_EMPTY}" stroke="{_EDGE}" '
            f'stroke-width="1.2"/><text class="plain" x="{middle:g}" y="{y + 35:g}">ResNet</text>'
        )
        return
    text = _span([block.number for block in unit.blocks])
    many = "" if text.isdigit() else " many"
    yield (
        f'<rect {place} fill="{tint}" stroke="{_INK}" '
        f'stroke-width="1.4"/><text class="number{many}" x="{middle:g}" y="{y + 34:g}">{text}</text>'
    )
    kinds = [kind for kind, _ in unit.blocks[0].attentions]
    chip = (_BOX - 16 - 4 * (len(kinds) - 1)) / len(kinds)
    for i, kind in enumerate(kinds):
        yield _chip(x + 8 + i * (chip + 4), y + _BOX - 16, chip, kind)


def _chip(x: float, y: float, width: float, kind: str) -> str:
    colour = _SELF if kind == "self" else _CROSS
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="8" rx="4" fill="{colour}"/>'


def _flows(placed: list[_Placed]) -> Iterator[str]:
    """Data through the boxes: along a row, and down or up between rows."""
    first, last = placed[0], placed[-1]
    yield _line("flow", first.left - 34, first.middle, first.left - 4, first.middle)
    yield f'<text class="plain" x="{first.left - 60:g}" y="{first.middle + 4:g}">latent</text>'
    yield _line("flow", last.right + 2, last.middle, last.right + 32, last.middle)
    yield f'<text class="plain" x="{last.right + 68:g}" y="{last.middle + 4:g}">prediction</text>'
    for drawn in placed:
        for i in range(len(drawn.section.units) - 1):
            yield _line(
                "flow",
                drawn.centre(i) + _BOX / 2,
                drawn.middle,
                drawn.centre(i + 1) - _BOX / 2 - 3,
                drawn.middle,
            )
    for before, after in pairwise(placed):
        x = before.centre(-1)
        if before.section.level == after.section.level:
            yield _line("flow", before.right, before.middle, after.left - 3, before.middle)
        elif before.section.level < after.section.level:
            yield _line("flow", x, before.top + _BOX, x, after.top - 4)
        else:
            yield _line("flow", x, before.top, x, after.top + _BOX + 4)


def _skips(placed: list[_Placed]) -> Iterator[str]:
    """Dashed lines from each down section to the up section of the same level."""
    for down in _of(placed, "down"):
        for up in _of(placed, "up"):
            if up.section.level != down.section.level:
                continue
            if any(down.right < between.left < up.left and between.top == down.top for between in placed):
                base, depth = down.top + _BOX, down.top + _BOX + 22
                start, end = down.centre(-1), up.centre(0)
                path = f"M{start:g} {base:g} V{depth:g} H{end:g} V{base + 5:g}"
                yield f'<path class="skip" d="{path}"/>'
            else:
                yield _line("skip", down.right + 6, down.middle, up.left - 6, down.middle)


def _facts(placed: list[_Placed]) -> Iterator[str]:
    """In the middle of each level: its grid and its attention."""
    for level in sorted({drawn.section.level for drawn in placed}):
        row = [drawn for drawn in placed if drawn.section.level == level]
        gap = [(a.right + b.left) / 2 for a, b in pairwise(row) if b.left - a.right > _PITCH]
        x = gap[0] if gap else (row[0].left + row[-1].right) / 2
        y = row[0].middle - 12 if gap else row[0].top + _BOX + 52
        grid = row[0].section.grid
        holders = [drawn.section for drawn in row if drawn.section.blocks]
        facts = "no attention"
        if holders:
            numbers = ", ".join(_span([block.number for block in section.blocks]) for section in holders)
            noun = "block" if numbers.isdigit() else "blocks"
            facts = f"{noun} {numbers} · {holders[0].heads} heads of {holders[0].head_dim}"
        yield f'<text class="grid" x="{x:g}" y="{y:g}">{_times(grid.height, grid.width)}</text>'
        yield f'<text class="facts" x="{x:g}" y="{y + (30 if gap else 20):g}">{facts}</text>'


def _legend(y: float, tokens: int) -> Iterator[str]:
    left, right = _LEFT, _LEFT + 610
    entries = [
        (left, _chip(left, y - 8, 30, "self"), "self-attention (attn1): Q, K and V from latent features"),
        (right, _line("skip", right, y - 4, right + 30, y - 4), "skip connections"),
        (
            left,
            _chip(left, y + 20, 30, "cross"),
            f"cross-attention (attn2): Q from latent features, {_text(tokens)}",
        ),
        (right, _line("flow", right, y + 24, right + 30, y + 24), "data; ↓ halves the grid, ↑ doubles it"),
        (
            left,
            _sample(left, y + 42, SCALE_TINTS[0], _INK),
            "residual unit with attention and its block number; a colour is a scale",
        ),
        (right, _sample(right, y + 42, _EMPTY, _EDGE), "residual unit without attention"),
    ]
    for i, (x, mark, text) in enumerate(entries):
        yield f'{mark}<text class="label" x="{x + 42:g}" y="{y + 28 * (i // 2):g}">{text}</text>'


def _text(tokens: int) -> str:
    return f"K and V from {tokens} text tokens"


def _sample(x: float, y: float, fill: str, edge: str) -> str:
    return f'<rect x="{x + 5:g}" y="{y:g}" width="20" height="20" rx="5" fill="{fill}" stroke="{edge}"/>'


def _of(placed: list[_Placed], stage: Stage) -> list[_Placed]:
    return [drawn for drawn in placed if drawn.section.stage == stage]


def _span(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}–{numbers[-1]}"


def _times(height: int, width: int) -> str:
    return f"{height} × {width}"


def _line(style: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path class="{style}" d="M{x1:g} {y1:g} L{x2:g} {y2:g}"/>'


def _arrow(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="5.5" markerHeight="5.5" '
        f'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="{colour}"/></marker>'
    )
