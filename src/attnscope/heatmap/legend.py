"""A heat map's picture with its colours and their numbers under it."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from attnscope.heatmap.head_picture import percent
from attnscope.pictures.heat_colours import heat_colours
from attnscope.pictures.lettering import fitted_line, line_of
from attnscope.pictures.sizes import resized, size_hw

PAPER, INK, SOFT = "#14161c", "#ffffff", "#aab4c0"
MARKS = (0.0, 0.5, 1.0)
"""Parts of the largest value that stand under the colours."""
_LEAST_PX, _MOST_PX, _LEAST_WIDTH_PX = 320, 1024, 240
_MARGIN_PX, _WORD_PX, _NOTE_PX, _RAMP_PX = 12, 20, 13, 14
_BAND_PX = 104


def legend_under(shown: Image.Image, word: str, largest: float, unit: str, note: str) -> Image.Image:
    """A picture of a map, and under it the word, the colours from 0 to the map's largest value, and what that is.

    Args:
        shown: The map in its colours. It is scaled to between 320 and 1024 pixels along its longer side.
        word: The word.
        largest: The map's largest value, which has the brightest colour.
        unit: What the values are.
        note: What else is to be said, '' for nothing.
    """
    size = _shown_size(shown)
    height, width = size[0], max(size[1], _LEAST_WIDTH_PX)
    page = Image.new("RGB", (width, height + _BAND_PX), PAPER)
    page.paste(resized(shown.convert("RGB"), size), ((width - size[1]) // 2, 0))
    draw, inside = ImageDraw.Draw(page), width - 2 * _MARGIN_PX
    fitted_line(word, inside, _WORD_PX).draw(draw, (_MARGIN_PX, height + 8), INK)
    top = height + _WORD_PX + 18
    ramp = heat_colours(np.broadcast_to(np.linspace(0, 1, inside), (_RAMP_PX, inside)))
    page.paste(Image.fromarray(ramp), (_MARGIN_PX, top))
    for mark in MARKS:
        line = line_of(_value(mark * largest, unit), _NOTE_PX)
        line.draw(draw, (_MARGIN_PX + mark * (inside - line.width_px), top + _RAMP_PX + 4), INK)
    about = unit + (f" · {note}" if note else "")
    fitted_line(about, inside, _NOTE_PX).draw(draw, (_MARGIN_PX, top + _RAMP_PX + _NOTE_PX + 10), SOFT)
    return page


def _shown_size(shown: Image.Image) -> tuple[int, int]:
    """(height, width) at which a picture can be seen and sent."""
    height, width = size_hw(shown)
    scale = min(max(1.0, _LEAST_PX / max(height, width)), _MOST_PX / max(height, width))
    return max(round(height * scale), 1), max(round(width * scale), 1)


def _value(value: float, unit: str) -> str:
    return percent(value) if unit.startswith("share") else f"{value:.3g}"
