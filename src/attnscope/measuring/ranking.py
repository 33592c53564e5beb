"""Blocks, heads and steps, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from attnscope.errors import ParameterError, missing_extra
from attnscope.measuring.score import Score, merged

By = Literal["average_precision", "auc", "iou"]


@dataclass(frozen=True, repr=False)
class Ranking:
    """Which blocks, heads and steps point best at the true masks of words; best first, by average precision.

    Attributes:
        all: The maps of everything together: what `attnscope.heat_map` gives.
        blocks: Each block, its maps being means over steps and heads.
        heads: Each head, its maps being means over steps.
        steps: Each step, its maps being means over blocks and heads.
        chance: The mean share of the picture that the masks cover: average precision of a map that knows nothing.
    """

    all: Score
    blocks: tuple[Score, ...]
    heads: tuple[Score, ...]
    steps: tuple[Score, ...]
    chance: float

    @property
    def words(self) -> tuple[str, ...]:
        """The words, of all pictures."""
        return tuple(word for word, _ in self.all.words)

    @classmethod
    def together(cls, rankings: Sequence[Ranking]) -> Ranking:
        """One ranking of several pictures: means over all their words.

        Args:
            rankings: At least one, of one model.

        Raises:
            ParameterError: There is none.
        """
        if not rankings:
            raise ParameterError("there is no ranking to put together: give at least one")
        counts = [len(ranking.words) for ranking in rankings]
        areas = [ranking.chance * count for ranking, count in zip(rankings, counts, strict=True)]
        (every,) = merged(ranking.all for ranking in rankings)
        blocks = merged(score for ranking in rankings for score in ranking.blocks)
        heads = merged(score for ranking in rankings for score in ranking.heads)
        steps = merged(score for ranking in rankings for score in ranking.steps)
        return cls(every, blocks, heads, steps, sum(areas) / sum(counts)).by("average_precision")

    def by(self, measure: By) -> Ranking:
        """The same, best first by another measure; those that are equal stay in order.

        Args:
            measure: "average_precision", "auc" or "iou".

        Raises:
            ParameterError: There is no such measure.
        """
        if measure not in get_args(By):
            raise ParameterError(f"by {measure!r}: expected one of {', '.join(map(repr, get_args(By)))}")
        blocks, heads, steps = (
            tuple(sorted(scores, key=lambda score: (-getattr(score, measure), _place(score))))
            for scores in (self.blocks, self.heads, self.steps)
        )
        return Ranking(self.all, blocks, heads, steps, self.chance)

    def to_pandas(self) -> Any:
        """A pandas table with a row for everything together, then for each block, head and step.

        Columns: of ("all", "block", "head" or "step"), block, kind, head, step, average_precision, auc, iou.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise missing_extra("to_pandas", "pandas", "tables") from error
        groups = {"all": (self.all,), "block": self.blocks, "head": self.heads, "step": self.steps}
        return pandas.DataFrame(
            {"of": of, **score.where._asdict(), **score.mean._asdict()}
            for of, scores in groups.items()
            for score in scores
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        groups = {"blocks": self.blocks, "heads": self.heads, "steps": self.steps}
        lists = {name: [score.to_dict() for score in scores] for name, scores in groups.items()}
        return {"chance": self.chance, "all": self.all.to_dict(), **lists}

    def __repr__(self) -> str:
        best = ", ".join(
            f"{scores[0].where} ({scores[0].average_precision:.3f})"
            for scores in (self.blocks, self.heads, self.steps)
        )
        return (
            f"<Ranking by {len(self.words)} words: all {self.all.average_precision:.3f}, best {best}; "
            f"chance {self.chance:.3f}>"
        )


def _place(score: Score) -> tuple[int, str, int, int]:
    where = score.where
    return (where.block or 0, where.kind or "", where.head or 0, where.step or 0)
