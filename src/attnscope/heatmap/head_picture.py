"""The page of a word's maps by block and head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from attnscope.pictures.heat_colours import heat_colours
from attnscope.pictures.lettering import fitted_line, line_of
from attnscope.records import Grid, Layer

Scale = Literal["all", "row"]
PAPER, INK, SOFT = "#ffffff", "#1b2733", "#5b6773"
_MARGIN_PX, _LABELS_PX, _GAP_PX = 20, 128, 8
_TITLE_PX, _TEXT_PX, _NOTE_PX = 26, 14, 12
_CELL_PX, _LEAST_WIDTH_PX, _LEAST_PAGE_PX = 64, 46, 480
_HEAD_PX = 104  # title, subtitle and the numbers of heads


def draw_heads(
    word: str,
    layers: Sequence[Layer],
    heads: Sequence[Sequence[int]],
    maps: Sequence[Float[np.ndarray, "head height width"]],
    steps: int,
    scale: Scale,
) -> Image.Image:
    """A row for each layer, a column for each head, the mean share under each map.

    Args:
        word: The word.
        layers: The layers.
        heads: Numbers of each layer's heads.
        maps: Each layer's maps.
        steps: How many steps they are the mean of.
        scale: "all": one colour scale for all maps; "row": one for each row.
    """
    columns = sorted({number for of_layer in heads for number in of_layer})
    width_px, height_px = _cell_size(max((layer.grid for layer in layers), key=lambda grid: grid.places))
    row_px = height_px + _NOTE_PX + 10
    size = (
        max(2 * _MARGIN_PX + _LABELS_PX + len(columns) * (width_px + _GAP_PX), _LEAST_PAGE_PX),
        _HEAD_PX + len(layers) * row_px + _MARGIN_PX // 2,
    )
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    top_of_all = max(float(of_layer.max()) for of_layer in maps)
    _write_head(draw, size[0] - 2 * _MARGIN_PX, word, _about(top_of_all, steps, scale))
    left_of = {
        number: _MARGIN_PX + _LABELS_PX + at * (width_px + _GAP_PX) for at, number in enumerate(columns)
    }
    for number, left in left_of.items():
        _centred(draw, f"head {number}", left, _HEAD_PX - 24, width_px, _NOTE_PX, INK)
    for at, (layer, of_layer, shares) in enumerate(zip(layers, heads, maps, strict=True)):
        top, brightest = _HEAD_PX + at * row_px, float(shares.max()) if scale == "row" else top_of_all
        _write_row(draw, layer, top, height_px, brightest if scale == "row" else None)
        for number, values in zip(of_layer, shares, strict=True):
            page.paste(_cell(values, brightest, width_px, height_px), (left_of[number], top))
            _centred(
                draw, percent(values.mean()), left_of[number], top + height_px + 2, width_px, _NOTE_PX, SOFT
            )
    return page


def percent(share: float) -> str:
    """A share as text, with three digits at most.

    Args:
        share: 0..1.
    """
    hundred = 100 * float(share)
    return (
        f"{hundred:.0f} %" if hundred >= 99.95 else f"{hundred:.1f} %" if hundred >= 1 else f"{hundred:.2f} %"
    )


def _about(largest: float, steps: int, scale: Scale) -> str:
    over = f"mean over {steps} steps" if steps > 1 else "one step"
    brightest = f"brightest {percent(largest)} everywhere" if scale == "all" else "each row has its own scale"
    return f"{over}; {brightest}; under each map its mean"


def _cell_size(grid: Grid) -> tuple[int, int]:
    """(width, height) of a map on the page, in the shape of its grid, wide enough for what is written under it."""
    scale = max(_CELL_PX / math.sqrt(grid.places), _LEAST_WIDTH_PX / grid.width)
    return round(grid.width * scale), max(round(grid.height * scale), 1)


def _cell(
    values: Float[np.ndarray, "height width"], brightest: float, width_px: int, height_px: int
) -> Image.Image:
    colours = heat_colours(values / max(brightest, 1e-30))
    return Image.fromarray(colours).resize((width_px, height_px), Image.Resampling.NEAREST)


def _write_head(draw: ImageDraw.ImageDraw, width_px: int, word: str, about: str) -> None:
    fitted_line(word, width_px, _TITLE_PX).draw(draw, (_MARGIN_PX, 14), INK)
    fitted_line(about, width_px, _TEXT_PX).draw(draw, (_MARGIN_PX, 50), SOFT)


def _write_row(
    draw: ImageDraw.ImageDraw, layer: Layer, top: int, height_px: int, brightest: float | None
) -> None:
    name = f"block {layer.block}" + ("" if layer.kind == "cross" else f" {layer.kind}")
    about = f"{layer.grid}, {layer.stage}"
    lines = [(name, _TEXT_PX, INK), (about, _NOTE_PX, SOFT)]
    if brightest is not None:
        lines.append((f"brightest {percent(brightest)}", _NOTE_PX, SOFT))
    at = top + max(0, (height_px - sum(size + 5 for _, size, _ in lines)) // 2)
    for text, size, ink in lines:
        fitted_line(text, _LABELS_PX - 8, size).draw(draw, (_MARGIN_PX, at), ink)
        at += size + 5


def _centred(
    draw: ImageDraw.ImageDraw, text: str, left: int, top: int, width_px: int, size_px: int, ink: str
) -> None:
    line = line_of(text, size_px)
    line.draw(draw, (left + (width_px - line.width_px) / 2, top), ink)
