"""A drawing of a model: which of its blocks hold attention, at what scale, and what attends to what.

marks.py    colours, letters and lines
u_shape.py  a U-Net as a U
column.py   a transformer as the column that it is

The drawing is SVG text made from the atlas, so it is right for every model that the atlas understands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attnscope.atlas.diagram.column import column
from attnscope.atlas.diagram.marks import SCALE_TINTS
from attnscope.atlas.diagram.u_shape import staircase, u_shape
from attnscope.atlas.families import UNET
from attnscope.atlas.source import model_facts
from attnscope.atlas.table import layers, sections

__all__ = ["SCALE_TINTS", "diagram", "staircase"]


def diagram(
    model: Any,
    *,
    size: tuple[int, int] | None = None,
    name: str | None = None,
    tokens: int | None = None,
    frames: int | None = None,
) -> str:
    """A model as an SVG drawing: a U-Net as a U of its residual units, a transformer as a column of its blocks.

    Args:
        model: As for `attnscope.layers`.
        size: Picture (height, width) in pixels. Default: the model's native size.
        name: Heading. Default: the model's name.
        tokens: Text tokens per prompt. Default: the model's own number.
        frames: As for `attnscope.layers`.

    Returns:
        The text of an SVG file.

    Raises:
        ModelError: The atlas does not understand the model's attention.
        ParameterError: The model can't make pictures of this size.

    >>> diagram("sd1").startswith("<svg")
    True
    """
    facts = model_facts(model)
    heading = name or (Path(model).name if isinstance(model, (str, Path)) else type(model).__name__)
    attention = layers(model, size=size, tokens=tokens, frames=frames)
    if facts.family is UNET:
        return u_shape(heading, sections(model, size=size), attention)
    return column(heading, facts.family.name, size or facts.native_size, attention)
