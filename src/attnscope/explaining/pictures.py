"""An explanation as pictures: the word's map, what it lies on, its steps and blocks, what an edit changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from attnscope.errors import ParameterError
from attnscope.explaining.effect import Effect
from attnscope.explaining.report import WordReport
from attnscope.explaining.wording import percent
from attnscope.pictures.axes import new_row, write_title
from attnscope.pictures.heat_colours import blend_heat, heat_picture

if TYPE_CHECKING:
    from PIL.Image import Image

    from attnscope.segmentation.result import Segmentation

Shown = tuple["Image", str, str]
"""A picture, its caption and a note."""
LEAST_LEVELS = 32.0
"""A difference of so many levels of 255 has the brightest colour, if none is larger."""


def pictures_of(
    asked: Sequence[WordReport], picture: Image | None, segments: Segmentation | None
) -> list[Shown]:
    """What there is to see.

    Args:
        asked: The words that are told of.
        picture: The picture, None if it is unknown.
        segments: Its segments, None if there are none.
    """
    shown: list[Shown] = [] if picture is None else [(picture, "the picture", "")]
    for report in asked:
        shown += _of_word(report, picture)
    if segments is not None and segments.has_picture:
        shown.append((segments.overlay(), f"{len(segments)} segments", "from self-attention"))
    return shown


def _of_word(report: WordReport, picture: Image | None) -> Iterator[Shown]:
    if report.heat is None or report.landing is None:
        return
    note = f"{report.verdict.says}; peak {percent(report.landing.peak)}"
    yield (
        (report.heat.overlay() if picture is not None else heat_picture(report.heat.array)),
        report.word,
        note,
    )
    for effect in report.effects:
        yield effect.picture, effect.caption, f"{effect.mean:.1f} of 255 levels changed"
        yield _difference(effect), "what that changed", f"{effect.on_the_word:.1f} levels on the word's place"


def _difference(effect: Effect) -> Image:
    top = max(float(effect.difference.max()), LEAST_LEVELS)
    return blend_heat(effect.picture, effect.difference / top, opacity=0.9)


def plotted(shown: Sequence[Shown], axes: Any) -> Any:
    """Pictures side by side on matplotlib axes.

    Args:
        shown: The pictures.
        axes: Axes for each of them; None for a new figure.

    Returns:
        The axes.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ParameterError: There are too few axes, or nothing to draw.
    """
    if not shown:
        raise ParameterError(
            "there is nothing to draw: the trace holds no picture, and the word was not read"
        )
    axes = new_row(len(shown)) if axes is None else axes
    given = np.ravel(axes)
    if len(given) < len(shown):
        raise ParameterError(f"{len(given)} axes for {len(shown)} pictures; give one for each, or none")
    for ax, (picture, caption, note) in zip(given, shown, strict=False):
        ax.imshow(picture)
        write_title(ax, f"{caption}: {note}" if note else caption)
        ax.set_axis_off()
    return axes
