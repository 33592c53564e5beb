"""One step of a word as a picture with a caption."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from attnscope.heatmap.head_picture import percent
from attnscope.pictures.heat_colours import blend_heat, heat_colours
from attnscope.pictures.lettering import fitted_line, line_of

if TYPE_CHECKING:
    from attnscope.heatmap.result import HeatMap

BAND, INK, SOFT, DONE = "#14161c", "#ffffff", "#aab4c0", "#fb8b5c"
_LEAST_PX, _MOST_PX = 256, 512
_BAND_PX, _TEXT_PX, _NOTE_PX, _LINE_PX = 46, 15, 12, 3


def draw_frame(
    heat: HeatMap, under: Image.Image | None, largest: float, step: int, last: int, timestep: float | None
) -> Image.Image:
    """A map over a picture, and under it the word, the step, the map's largest value and how far the run is.

    Args:
        heat: The word's map in the step.
        under: What it lies on; None for nothing.
        largest: The value with the brightest colour, of all steps.
        step: The step's number.
        last: That of the run's last step.
        timestep: The step's timestep, None if unknown.
    """
    picture = _picture(heat, under, largest)
    frame = Image.new("RGB", (picture.width, picture.height + _BAND_PX), BAND)
    frame.paste(picture)
    draw = ImageDraw.Draw(frame)
    top, width = picture.height + 6, picture.width - 16
    at = f"step {step}" + ("" if timestep is None else f", t {timestep:g}")
    right = line_of(at, _NOTE_PX)
    right.draw(draw, (8 + width - right.width_px, top + 2), INK)
    fitted_line(heat.word, width - right.width_px - 10, _TEXT_PX).draw(draw, (8, top), INK)
    about = f"peak {percent(float(heat.array.max()))}; brightest is {percent(largest)}"
    fitted_line(about, width, _NOTE_PX).draw(draw, (8, top + _TEXT_PX + 5), SOFT)
    done = round(frame.width * (step + 1) / (last + 1))
    draw.rectangle((0, frame.height - _LINE_PX, done - 1, frame.height - 1), fill=DONE)
    return frame


def _picture(heat: HeatMap, under: Image.Image | None, largest: float) -> Image.Image:
    """The map over a picture of a size that can be seen and sent."""
    height, width = heat.array.shape if under is None else (under.height, under.width)
    scale = max(1.0, _LEAST_PX / max(height, width)) * min(1.0, _MOST_PX / max(height, width))
    to = max(round(height * scale), 1), max(round(width * scale), 1)
    values = heat.resized(to) / max(largest, 1e-30)
    if under is None:
        return Image.fromarray(heat_colours(np.clip(values, 0, 1)))
    return blend_heat(under.convert("RGB").resize(to[::-1], Image.Resampling.LANCZOS), values, opacity=0.75)
