"""How often verdicts are right, counted over judged words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich.table import Table

Way = Literal["as asked", "unknown word", "edit", "other embedding"]
WAYS: Mapping[Way, int] = {"as asked": 4, "unknown word": 2, "edit": 2, "other embedding": 2}
"""Of ten prompts, how many are made in each way."""


@dataclass(frozen=True)
class Judged:
    """One word of one picture.

    Attributes:
        way: How a thing was left out of the picture.
        seed: The picture's own.
        prompt: The prompt.
        word: The word.
        kind: 'thing' or 'stuff'.
        is_there: Whether the picture shows it: the recogniser says so of things; stuff is always drawn.
        left_out: Whether it was left out on purpose.
        says: The verdict.
        blind: The verdict by the rule for models whose words are unknown.
    """

    way: Way
    seed: int
    prompt: str
    word: str
    kind: str
    is_there: bool
    left_out: bool
    says: str
    blind: str


@dataclass(frozen=True)
class Reliability:
    """How often the verdict 'not drawn' is right.

    Attributes:
        accused: Words of which it says 'not drawn'.
        rightly: Those of them that the picture does not show.
        absent: Words that the picture does not show.
        left_out: Words that were left out on purpose, and that the picture does not show.
        left_out_found: Those of them that are accused.
        there: Words that the picture shows.
        unclear: Words of which it says that attention does not tell.
        obedient: Pictures that show every thing that was asked for.
        obedient_accused: Those of them with a word that is accused.
    """

    accused: int
    rightly: int
    absent: int
    left_out: int
    left_out_found: int
    there: int
    unclear: int
    obedient: int
    obedient_accused: int

    @classmethod
    def of(cls, words: Sequence[Judged]) -> Reliability:
        """Counts of judged words.

        Args:
            words: The words.
        """
        accused = [word for word in words if word.says == "not drawn"]
        absent = [word for word in words if not word.is_there]
        left_out = [word for word in absent if word.left_out]
        pictures: dict[int, list[Judged]] = {}
        for word in words:
            pictures.setdefault(word.seed, []).append(word)
        obedient = [of for of in pictures.values() if all(word.is_there for word in of)]
        return cls(
            len(accused),
            sum(not word.is_there for word in accused),
            len(absent),
            len(left_out),
            sum(word.says == "not drawn" for word in left_out),
            len(words) - len(absent),
            sum(word.says == "unclear" for word in words),
            len(obedient),
            sum(any(word.says == "not drawn" for word in of) for of in obedient),
        )


def table(words: Sequence[Judged]) -> Table:
    """The counts as a table, for all words and for each way.

    Args:
        words: The words.
    """
    groups = {"all": list(words)} | {way: [word for word in words if word.way == way] for way in WAYS}
    counts = {name: Reliability.of(of) for name, of in groups.items()}
    rows = Table("measure", *counts, title=f"{len({word.seed for word in words})} prompts of the demo world")
    rows.add_row("words (things and stuff)", *(str(len(of)) for of in groups.values()))
    rows.add_row(
        "precision: accused that are not there", *(f"{c.rightly} of {c.accused}" for c in counts.values())
    )
    rows.add_row(
        "recall: left out on purpose, accused",
        *(f"{c.left_out_found} of {c.left_out}" for c in counts.values()),
    )
    rows.add_row(
        "recall: all that is not there, accused", *(f"{c.rightly} of {c.absent}" for c in counts.values())
    )
    rows.add_row("shown, but accused", *(f"{c.accused - c.rightly} of {c.there}" for c in counts.values()))
    rows.add_row(
        "obedient pictures, accused", *(f"{c.obedient_accused} of {c.obedient}" for c in counts.values())
    )
    rows.add_row("unclear", *(str(c.unclear) for c in counts.values()))
    blind = [Reliability.of([replace(word, says=word.blind) for word in of]) for of in groups.values()]
    rows.add_row("the rule for other models: precision", *(f"{c.rightly} of {c.accused}" for c in blind))
    rows.add_row("the rule for other models: recall", *(f"{c.rightly} of {c.absent}" for c in blind))
    return rows
