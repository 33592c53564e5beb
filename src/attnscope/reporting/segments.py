"""The segments of a report's page."""

from __future__ import annotations

from attnscope.explaining.wording import percent
from attnscope.pictures.overlays import segment_colours
from attnscope.reporting.markup import foreign, picture, section, text
from attnscope.segmentation.result import Segmentation

SIDE_PX = 512


def segments_section(segments: Segmentation) -> str:
    """The segments over the picture, and a list of them.

    Args:
        segments: The segments.
    """
    drawn = segments.overlay() if segments.has_picture else segments.label_image()
    count = len(segments)
    lead = (
        f"{_counted(count)} from the picture's attention to itself ({segments.recipe}), "
        f"and named by the word that stands out most."
    )
    rows = "".join(
        f'<li><svg class="swatch" aria-hidden="true"><rect width="100%" height="100%" '
        f'fill="{_colour(segment.id, count)}"/></svg>'
        f"{foreign(segment.label) if segment.label else 'no name'} "
        f"<b>{text(percent(segment.area / segments.labels.size, whole=True))}</b></li>"
        for segment in sorted(segments.segments, key=lambda segment: -segment.area)
    )
    shown = picture(drawn, _counted(count), SIDE_PX)
    return section("Segments", text(lead), [f'<div class="split">{shown}<ul class="list">{rows}</ul></div>'])


def _counted(count: int) -> str:
    return "1 segment" if count == 1 else f"{count} segments"


def _colour(number: int, count: int) -> str:
    red, green, blue = segment_colours(count)[number]
    return f"#{red:02x}{green:02x}{blue:02x}"
