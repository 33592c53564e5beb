"""How well one block, head or step points at true masks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from attnscope.measuring.pointing import Pointing


class Where(NamedTuple):
    """A block, a head of one, a step, or everything (all None).

    Attributes:
        block: Number of the block.
        kind: Kind of its attention.
        head: Number of the head.
        step: Number of the step.
    """

    block: int | None = None
    kind: str | None = None
    head: int | None = None
    step: int | None = None

    def __str__(self) -> str:
        block = "" if self.block is None else f"block {self.block}"
        kind = "" if self.kind in (None, "cross") else f" {self.kind}"
        head = "" if self.head is None else f" head {self.head}"
        return f"{block}{kind}{head}" or ("all" if self.step is None else f"step {self.step}")


@dataclass(frozen=True)
class Score:
    """How well the maps of one block, head or step point at the masks of words; means over the words.

    Attributes:
        where: Which block, head or step.
        words: Each word with how well its map points. Of several pictures, the words of all of them.
    """

    where: Where
    words: tuple[tuple[str, Pointing], ...]

    @property
    def average_precision(self) -> float:
        """Mean average precision."""
        return self.mean.average_precision

    @property
    def auc(self) -> float:
        """Mean AUC."""
        return self.mean.auc

    @property
    def iou(self) -> float:
        """Mean IoU."""
        return self.mean.iou

    @property
    def mean(self) -> Pointing:
        """All three."""
        columns = zip(*(numbers for _, numbers in self.words), strict=True)
        return Pointing(*(sum(column) / len(self.words) for column in columns))

    def __repr__(self) -> str:
        mean = self.mean
        return (
            f"<Score {self.where}: AP {mean.average_precision:.3f}, AUC {mean.auc:.3f}, IoU {mean.iou:.3f}>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        words = [{"word": word, **numbers._asdict()} for word, numbers in self.words]
        return {**self.where._asdict(), **self.mean._asdict(), "words": words}


def merged(scores: Iterable[Score]) -> tuple[Score, ...]:
    """Scores of several pictures as one for each place.

    Args:
        scores: All of them.
    """
    words: dict[Where, list[tuple[str, Pointing]]] = {}
    for score in scores:
        words.setdefault(score.where, []).extend(score.words)
    return tuple(Score(where, tuple(of_where)) for where, of_where in words.items())
