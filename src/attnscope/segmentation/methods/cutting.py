"""The choices that cuts of attention and of features share."""

from __future__ import annotations

from dataclasses import dataclass

from attnscope.ncut.affinity import SHARPNESS
from attnscope.ncut.recursion import MOST_SEGMENTS
from attnscope.segmentation.recipe import WEAK, check_weak


@dataclass(frozen=True)
class CutChoices:
    """How a picture is cut, see `attnscope.ncut.cut_recursively`.

    Attributes:
        sharpness: Exponent of the likeness; more part places that are less unlike.
        limit: Cuts of this NCut or more are not made; None: the widest gap between the picture's own cuts.
        most: No more segments than this.
        fit: Draw segments to the picture's own edges.
        unite: Segments of one word are one segment.
        weak: The least score of a segment's name, see `attnscope.segment`.
    """

    sharpness: float = SHARPNESS
    limit: float | None = None
    most: int = MOST_SEGMENTS
    fit: bool = False
    unite: bool = True
    weak: float = WEAK

    def __post_init__(self) -> None:
        """The other numbers are checked where they are used."""
        check_weak(self.weak)

    @property
    def least_score(self) -> float:
        """Of a name."""
        return self.weak

    @property
    def limit_text(self) -> str:
        """Where cutting ends, in words."""
        return "by the widest gap" if self.limit is None else f"below {self.limit:g}"
