"""What became of one word of a prompt."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from attnscope.errors import WordError
from attnscope.explaining.effect import Effect
from attnscope.explaining.landing import InSegments, Landing, Overlap
from attnscope.explaining.reading import ReadWord
from attnscope.explaining.shares import Spread
from attnscope.explaining.verdict import Verdict
from attnscope.explaining.wording import Language
from attnscope.heatmap.result import HeatMap


@dataclass(frozen=True, eq=False)
class WordReport:
    """What became of one word.

    Attributes:
        read: How the model got it: tokens, pieces, whether it was cut off, whether it is known.
        verdict: Whether it was drawn, as far as attention shows, and why one can think so.
        landing: Where it landed; None if it was not read.
        spread: Its share over steps, blocks and heads; None if it was not read.
        overlaps: How it lies on each other word that may show something.
        segment: How it agrees with segments; None without segments.
        effects: What taking it away, and doubling it, changes; () without a pipeline.
        heat: Its heat map; None if it was not read.
    """

    read: ReadWord
    verdict: Verdict
    landing: Landing | None = None
    spread: Spread | None = None
    overlaps: tuple[Overlap, ...] = ()
    segment: InSegments | None = None
    effects: tuple[Effect, ...] = ()
    heat: HeatMap | None = field(default=None, repr=False)

    @property
    def word(self) -> str:
        """The word."""
        return self.read.word

    def on(self, other: str) -> Overlap:
        """How it lies on another word: does 'red' lie on 'house'?

        Args:
            other: The other word, as it stands in the prompt.

        Raises:
            WordError: There is no such overlap.
        """
        for overlap in self.overlaps:
            if overlap.other.casefold() == other.casefold():
                return overlap
        known = ", ".join(repr(overlap.other) for overlap in self.overlaps) or "no word"
        raise WordError(f"{self.word!r} is compared with {known}, not with {other!r}")

    def to_dict(self, language: Language = "en") -> dict[str, Any]:
        """Everything but the pixels, as plain values for JSON.

        Args:
            language: Of the verdict's reasons.
        """
        return {
            "word": self.word,
            "tokens": list(self.read.span.tokens),
            "pieces": list(self.read.pieces),
            "lost": self.read.lost or None,
            "known": self.read.known,
            "verdict": self.verdict.to_dict(language),
            "landing": None if self.landing is None else self.landing.to_dict(),
            "shares": None if self.spread is None else self.spread.to_dict(),
            "overlaps": [asdict(overlap) for overlap in self.overlaps],
            "segment": None if self.segment is None else asdict(self.segment),
            "effects": [effect.to_dict() for effect in self.effects],
        }
