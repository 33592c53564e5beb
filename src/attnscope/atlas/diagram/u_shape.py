"""A U-Net drawn as a U: every residual unit, with its attention blocks numbered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from attnscope.atlas.diagram.marks import (
    CROSS,
    EDGE,
    EMPTY,
    INK,
    SCALE_TINTS,
    SELF,
    TITLE,
    box,
    fitted,
    line,
    page,
    spans,
    text,
    times,
)
from attnscope.atlas.plan import Section, Unit
from attnscope.records import Layer, Stage

_BOX, _PITCH, _ROW = 70, 86, 140  # px: side of a unit's box; from box to box; from level to level
_MARGIN, _LEFT, _RIGHT, _TOP = 36, 84, 108, 170
_ENTRY = 36  # height of a line of the legend
_MIN_WIDTH = 1000  # the legend's longest line


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


def u_shape(heading: str, unet_sections: Sequence[Section], attention: Sequence[Layer]) -> str:
    """A U-Net as an SVG drawing.

    Args:
        heading: What it is called.
        unet_sections: Its sections in execution order.
        attention: Its attention layers.
    """
    placed = [_Placed(*pair) for pair in zip(unet_sections, staircase(unet_sections), strict=True)]
    width = max(_MIN_WIDTH, max(drawn.right for drawn in placed) + _RIGHT)
    bottom = max(drawn.top for drawn in placed) + _BOX + 128
    tokens = max((layer.keys for layer in attention if layer.kind == "cross"), default=0)
    entries = list(_legend(bottom, tokens))
    marks = [
        *_heading(
            fitted(f"Attention in the U-Net of {heading}", width - 2 * _MARGIN, TITLE), placed, len(attention)
        ),
        *_skips(placed),
        *_flows(placed),
        *(mark for drawn in placed for mark in _section(drawn)),
        *_facts(placed),
        *entries,
    ]
    return page(heading, width, bottom + _ENTRY * len(entries), marks)


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


def _heading(title: str, placed: list[_Placed], layer_count: int) -> Iterator[str]:
    blocks = sum(len(drawn.section.blocks) for drawn in placed)
    finest = placed[0].section.grid
    yield text("title", _MARGIN, 54, title)
    yield text(
        "subtitle", 36, 88, f"{blocks} blocks with {layer_count} attention layers, in the order of the data"
    )
    yield text("subtitle", _MARGIN, 116, f"latent {times(finest.height, finest.width)} (height × width)")


def _section(drawn: _Placed) -> Iterator[str]:
    tint = SCALE_TINTS[drawn.section.level % len(SCALE_TINTS)]
    shift = _BOX / 2 + 10 if drawn.section.stage == "down" and drawn.section.level > 0 else 0
    yield text("path", drawn.left + shift, drawn.top - 9, drawn.section.path)
    for i, unit in enumerate(drawn.section.units):
        yield from _unit(unit, drawn.left + i * _PITCH, drawn.top, tint)


def _unit(unit: Unit, x: float, y: float, tint: str) -> Iterator[str]:
    middle = x + _BOX / 2
    if not unit.blocks:
        yield box(x, y, _BOX, _BOX, EMPTY, edge=EDGE) + text("plain", middle, y + _BOX / 2 + 6, "ResNet")
        return
    numbers = spans([block.number for block in unit.blocks])
    many = "" if numbers.isdigit() else " many"
    yield box(x, y, _BOX, _BOX, tint, edge=INK)
    yield text(f"number{many}", middle, y + (36 if many else 42), numbers)
    kinds = [kind for kind, _ in unit.blocks[0].attentions]
    chip = (_BOX - 16 - 4 * (len(kinds) - 1)) / len(kinds)
    for i, kind in enumerate(kinds):
        yield _chip(x + 8 + i * (chip + 4), y + _BOX - 17, chip, kind)


def _chip(x: float, y: float, width: float, kind: str) -> str:
    return box(x, y, width, 9, SELF if kind == "self" else CROSS, round_px=4.5)


def _flows(placed: list[_Placed]) -> Iterator[str]:
    """Data through the boxes: along a row, and down or up between rows."""
    first, last = placed[0], placed[-1]
    yield line("flow", first.left - 64, first.middle, first.left - 4, first.middle)
    yield text("end", first.left - 40, first.middle - 14, "latent")
    yield line("flow", last.right + 2, last.middle, last.right + 88, last.middle)
    yield text("end", last.right + 54, last.middle - 14, "prediction")
    for drawn in placed:
        for i in range(len(drawn.section.units) - 1):
            yield line(
                "flow",
                drawn.centre(i) + _BOX / 2,
                drawn.middle,
                drawn.centre(i + 1) - _BOX / 2 - 3,
                drawn.middle,
            )
    for before, after in pairwise(placed):
        x = before.centre(-1)
        if before.section.level == after.section.level:
            yield line("flow", before.right, before.middle, after.left - 3, before.middle)
        elif before.section.level < after.section.level:
            yield line("flow", x, before.top + _BOX, x, after.top - 4)
        else:
            yield line("flow", x, before.top, x, after.top + _BOX + 4)


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
                yield line("skip", down.right + 6, down.middle, up.left - 6, down.middle)


def _facts(placed: list[_Placed]) -> Iterator[str]:
    """In the middle of each level: its grid and its attention."""
    for level in sorted({drawn.section.level for drawn in placed}):
        row = [drawn for drawn in placed if drawn.section.level == level]
        gap = [(a.right + b.left) / 2 for a, b in pairwise(row) if b.left - a.right > _PITCH]
        x = gap[0] if gap else (row[0].left + row[-1].right) / 2
        y = row[0].middle - 12 if gap else row[0].top + _BOX + 58
        grid = row[0].section.grid
        holders = [drawn.section for drawn in row if drawn.section.blocks]
        words = "no attention"
        if holders:
            numbers = spans([block.number for section in holders for block in section.blocks])
            noun = "block" if numbers.isdigit() else "blocks"
            words = f"{noun} {numbers} · {holders[0].heads} heads of {holders[0].head_dim}"
        yield text("grid", x, y, times(grid.height, grid.width))
        yield text("facts", x, y + (40 if gap else 28), words)


def _legend(top: float, tokens: int) -> Iterator[str]:
    """One line an entry."""
    words = (
        "self-attention (attn1): Q, K and V from latent features",
        f"cross-attention (attn2): Q from latent features, K and V from {tokens} text tokens",
        "residual unit with attention and its block number; a colour is a scale",
        "residual unit without attention",
        "data; ↓ halves the grid, ↑ doubles it",
        "skip connections",
    )
    for i, (mark, entry) in enumerate(zip(_samples(top), words, strict=True)):
        yield mark + text("label", 84, top + i * _ENTRY, entry)


def _samples(top: float) -> Iterator[str]:
    y = [top + i * _ENTRY - 7 for i in range(6)]
    yield _chip(36, y[0] - 5, 34, "self")
    yield _chip(36, y[1] - 5, 34, "cross")
    yield box(42, y[2] - 11, 22, 22, SCALE_TINTS[0], edge=INK, round_px=5)
    yield box(42, y[3] - 11, 22, 22, EMPTY, edge=EDGE, round_px=5)
    yield line("flow", 36, y[4], 68, y[4])
    yield line("skip", 36, y[5], 68, y[5])


def _of(placed: list[_Placed], stage: Stage) -> list[_Placed]:
    return [drawn for drawn in placed if drawn.section.stage == stage]
