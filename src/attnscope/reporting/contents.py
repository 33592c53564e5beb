"""What a report is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnscope.explaining.result import Explanation
from attnscope.measuring.result import AttentionStatistics
from attnscope.segmentation.result import Segmentation
from attnscope.trace.trace import Trace

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False, repr=False)
class Contents:
    """What one page says of one image of a trace.

    Attributes:
        trace: The trace.
        branch: Guidance branch.
        image: Number of the image in the batch.
        words: What became of its words; None where the trace does not tell.
        segments: Its segments, named by its words; None where the trace does not tell.
        statistics: How its attention behaves; None where the trace does not tell.
        gaps: What is not in the trace, or not on the page, in sentences.
    """

    trace: Trace
    branch: str
    image: int
    words: Explanation | None
    segments: Segmentation | None
    statistics: AttentionStatistics | None
    gaps: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """The text that the branch reads."""
        return self.trace.prompt(self.image, self.branch)

    @property
    def picture(self) -> Image | None:
        """The picture, None if the trace holds none."""
        return self.trace.picture_of(self.image)
