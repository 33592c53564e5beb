"""What is looked at: which attention (View), and which part of the picture (Box)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from attnscope.errors import ParameterError, SelectionError, describe_numbers
from attnscope.records import Grid
from attnscope.trace.trace import Trace


@dataclass(frozen=True)
class View:
    """Which attention to look at: block, head and step (None is the mean over all of them), branch and image."""

    block: int | None = None
    head: int | None = None
    step: int | None = None
    branch: str = "cond"
    image: int = 0


@dataclass(frozen=True)
class Box:
    """A part of the picture, in shares of its height and width, 0..1. A single place has no extent."""

    top: float
    left: float
    bottom: float
    right: float

    def __post_init__(self) -> None:
        sides = (self.top, self.left, self.bottom, self.right)
        if not all(0 <= side <= 1 for side in sides) or self.top > self.bottom or self.left > self.right:
            raise ParameterError(
                f"the box (top, left, bottom, right) is {sides}; expected shares of the picture, 0 to 1, top before "
                "bottom and left before right"
            )

    @classmethod
    def of_place(cls, y: float, x: float) -> Box:
        """The box of a single place.

        Args:
            y: Share of the height, 0..1.
            x: Share of the width, 0..1.
        """
        return cls(y, x, y, x)

    def cells(self, grid: Grid) -> list[int]:
        """Flat numbers of the grid's cells that the box touches, at least one.

        Args:
            grid: Grid of a layer.
        """
        rows, columns = (
            range(_cell(low, count), _cell_up_to(high, low, count) + 1)
            for low, high, count in (
                (self.top, self.bottom, grid.height),
                (self.left, self.right, grid.width),
            )
        )
        return [row * grid.width + column for row in rows for column in columns]


NEARLY = 1e-5
"""In cells: shares that come from a link, or from a product such as 7/25 * 25, are slightly off."""


def _cell(share: float, count: int) -> int:
    return min(int(share * count + NEARLY), count - 1)


def _cell_up_to(high: float, low: float, count: int) -> int:
    """The last cell of a box; a box that ends on a line between cells does not touch the next one."""
    return max(min(math.ceil(high * count - NEARLY) - 1, count - 1), _cell(low, count))


def check_choice(trace: Trace, step: int | None, branch: str, image: int) -> None:
    """Raise SelectionError if the trace lacks the step, the branch or the image.

    Args:
        trace: Any trace.
        step: Step number, None for all.
        branch: Guidance branch.
        image: Which picture of the batch.
    """
    steps = [kept.index for kept in trace.steps]
    if not 0 <= image < trace.images:
        raise SelectionError(f"image {image}: this trace has images 0 to {trace.images - 1}")
    if branch not in trace.branches:
        raise SelectionError(f"branch {branch!r}: this trace has {', '.join(trace.branches)}")
    if step is not None and step not in steps:
        raise SelectionError(f"step {step}: this trace has steps {describe_numbers(steps)}")
