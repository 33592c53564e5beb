"""One step of a word as a picture with a caption."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from attnscope.heatmap.head_picture import percent
from attnscope.pictures.heat_colours import blend_heat, heat_colours
from attnscope.pictures.lettering import fitted_line, line_of
from attnscope.pictures.sizes import resized, size_hw

if TYPE_CHECKING:
    from attnscope.heatmap.result import HeatMap

BAND, INK, SOFT, DONE = "#14161c", "#ffffff", "#aab4c0", "#fb8b5c"
_LEAST_PX, _MOST_PX = 256, 512
_BAND_PX, _TEXT_PX, _NOTE_PX, _LINE_PX, _GAP_PX = 46, 15, 12, 3, 4


def draw_frame(
    heat: HeatMap, preview: Image.Image | None, largest: float, step: int, last: int, timestep: float | None
) -> Image.Image:
    """A map over a picture, and under it the word, the step, the map's largest value and how far the run is.

    Args:
        heat: The word's map in the step.
        preview: The picture as it is in the step, which is shown beside the map, too; None for the finished one.
        largest: The value with the brightest colour, of all steps.
        step: The step's number.
        last: That of the run's last step.
        timestep: The step's timestep, None if unknown.
    """
    size = _size(heat, preview)
    picture = heat.picture if preview is None else preview
    under = None if picture is None else resized(picture.convert("RGB"), size)
    panels = [_panel(heat, under, size, largest)]
    if preview is not None and under is not None:
        panels.insert(0, under)
    height, width = size
    frame = Image.new("RGB", (len(panels) * (width + _GAP_PX) - _GAP_PX, height + _BAND_PX), BAND)
    for at, panel in enumerate(panels):
        frame.paste(panel, (at * (width + _GAP_PX), 0))
    _write(frame, height, heat, largest, step, timestep)
    done = round(frame.width * (step + 1) / (last + 1))
    ImageDraw.Draw(frame).rectangle((0, frame.height - _LINE_PX, done - 1, frame.height - 1), fill=DONE)
    return frame


def _write(
    frame: Image.Image, top: int, heat: HeatMap, largest: float, step: int, timestep: float | None
) -> None:
    draw, width = ImageDraw.Draw(frame), frame.width - 16
    at = f"step {step}" + ("" if timestep is None or isnan(timestep) else f", t {timestep:g}")
    right = line_of(at, _NOTE_PX)
    right.draw(draw, (8 + width - right.width_px, top + 8), INK)
    fitted_line(heat.word, width - right.width_px - 10, _TEXT_PX).draw(draw, (8, top + 6), INK)
    about = f"peak {percent(float(heat.array.max()))}; brightest is {percent(largest)}"
    fitted_line(about, width, _NOTE_PX).draw(draw, (8, top + _TEXT_PX + 11), SOFT)


def _size(heat: HeatMap, preview: Image.Image | None) -> tuple[int, int]:
    """(height, width) of a panel that can be seen and sent."""
    of_run = heat.image_size_hw if heat.picture is None else size_hw(heat.picture)
    height, width = of_run or (heat.array.shape if preview is None else size_hw(preview))
    scale = max(1.0, _LEAST_PX / max(height, width)) * min(1.0, _MOST_PX / max(height, width))
    return max(round(height * scale), 1), max(round(width * scale), 1)


def _panel(heat: HeatMap, under: Image.Image | None, size: tuple[int, int], largest: float) -> Image.Image:
    values = heat.resized(size) / max(largest, 1e-30)
    if under is None:
        return Image.fromarray(heat_colours(np.clip(values, 0, 1)))
    return blend_heat(under, values, opacity=0.75)
