"""Whether a word was drawn, as far as attention shows, and why one can think so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from attnscope.explaining import texts
from attnscope.explaining.landing import Landing, Overlap
from attnscope.explaining.reading import ReadWord
from attnscope.explaining.usual import Strength, Usual
from attnscope.explaining.wording import Language, Listed, Quoted, Sentence, Text, percent

Says = Literal["drawn", "not drawn", "unclear", "not read", "shows nothing"]

NONE_AT_ALL = 1e-6
"""A share below this is none: an edit has taken the attention away."""
WEAK_SHARE, WEAK_PEAK = 0.5, 0.7
"""A word whose share and peak are both below these parts of what is usual was not drawn: chosen on 104 pictures."""
LIKE_SHARE, LIKE_PEAK = 0.65, 0.85
"""A word with either of them at least this part of what is usual was drawn."""
FAR_BEHIND, BEHIND, ABREAST = 0.1, 0.3, 0.5
"""The same for models without known peaks: shares of the largest peak among the text's words."""
EVERYWHERE = 0.95
"""A map that fills more of the picture than this is even, for models without known peaks."""
LEADS_NOWHERE, LEADS = 0.02, 0.05
"""Parts of the picture where a word leads, for models without known peaks."""


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of a word.

    Attributes:
        says: 'drawn', 'not drawn' or 'unclear'; 'not read' if the model did not get it; 'shows nothing' of words such
            as "the".
        why: The reasons, the strongest first.
        is_measured: Whether the rule was measured on this model, so that its reliability is known.
    """

    says: Says
    why: tuple[Sentence, ...]
    is_measured: bool = False

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons in English."""
        return self.reasons_in("en")

    def reasons_in(self, language: Language) -> tuple[str, ...]:
        """The reasons in a language.

        Args:
            language: "en" or "ja".
        """
        return tuple(sentence.in_language(language) for sentence in self.why)

    def to_dict(self, language: Language = "en") -> dict[str, Any]:
        """Plain values for JSON.

        Args:
            language: Of the reasons.
        """
        return {
            "says": self.says,
            "reasons": list(self.reasons_in(language)),
            "is_measured": self.is_measured,
        }


@dataclass(frozen=True)
class Case:
    """What a word is judged by.

    Attributes:
        read: How the model got it.
        landing: Where it landed, None if it was not read.
        head: The word that it stands right before, as red in "red house", with that one's verdict; None without one.
        on_head: How its map lies on that one's.
        strongest: The word of the text with the largest peak among the others, and that peak.
        usual: What is known of the model's words.
        edits: What was changed of the run's attention.
    """

    read: ReadWord
    landing: Landing | None
    usual: Usual
    head: tuple[str, Verdict] | None = None
    on_head: Overlap | None = None
    strongest: tuple[str, float] | None = None
    edits: tuple[str, ...] = ()


def judge(case: Case) -> Verdict:
    """What the evidence says of a word.

    Args:
        case: The word.
    """
    verdict = _judged(case)
    if verdict.says == "drawn" and case.usual.is_read:
        return replace(verdict, says="unclear", why=(*verdict.why, texts.ONLY_READ()))
    return verdict


def _judged(case: Case) -> Verdict:
    read, landing = case.read, case.landing
    if landing is None:
        return Verdict("not read", (texts.NEVER_SEEN(lost=_lost(read.lost)),), True)
    if read.is_function:
        return Verdict("shows nothing", (texts.NAMES_NOTHING(),), True)
    if read.known is False:
        return Verdict("not drawn", (_never_taught(case), *_weak(case)), case.usual.is_measured)
    if landing.peak < NONE_AT_ALL:
        return Verdict("not drawn", (_no_attention(case),), case.usual.is_measured)
    if case.head is not None:
        return _of_modifier(case, *case.head)
    usual = case.usual.strength_of(read.word)
    return _beside_the_others(case) if usual is None else _beside_its_usual(case, landing, usual)


def _lost(lost: str) -> Sentence | str:
    return texts.LOST[lost]() if lost in texts.LOST else lost


def _of_modifier(case: Case, head: str, of_head: Verdict) -> Verdict:
    """A word right before another, such as red before house, shows on that one's place or nowhere."""
    on_head, known, name = case.on_head, case.usual.is_measured, Quoted(head)
    if of_head.says == "not drawn":
        return Verdict("unclear", (texts.OF_ONE_NOT_DRAWN(head=name),), known)
    if on_head is None:
        return Verdict("unclear", (texts.OF_ONE_UNJUDGED(head=name),), known)
    part, chance = percent(on_head.lies_on, whole=True), percent(on_head.chance, whole=True)
    lies: Text = texts.LIES_THERE if on_head.lies_together else texts.LIES_ELSEWHERE
    says: Says = "drawn" if on_head.lies_together and of_head.says == "drawn" else "unclear"
    return Verdict(says, (lies(head=name, part=part, chance=chance),), known)


def _beside_its_usual(case: Case, landing: Landing, usual: Strength) -> Verdict:
    told = texts.BESIDE_USUAL(
        share=percent(landing.share),
        peak=percent(landing.peak),
        word=Quoted(case.read.word),
        usual_share=percent(usual.share),
        usual_peak=percent(usual.peak),
    )
    share, peak = landing.share / usual.share, landing.peak / usual.peak
    if share < WEAK_SHARE and peak < WEAK_PEAK:
        return Verdict("not drawn", (told, *_weak(case)), case.usual.is_measured)
    is_like = share >= LIKE_SHARE or peak >= LIKE_PEAK
    return Verdict("drawn" if is_like else "unclear", (told,), case.usual.is_measured)


def _beside_the_others(case: Case) -> Verdict:
    landing, strongest = case.landing, case.strongest
    assert landing is not None
    if strongest is None:
        return Verdict("unclear", (texts.NONE_TO_COMPARE(peak=percent(landing.peak)),))
    if landing.area > EVERYWHERE:
        return Verdict("unclear", (texts.EVEN(area=percent(landing.area, whole=True)),))
    other, peak = strongest
    told = texts.BESIDE_OTHERS(
        peak=percent(landing.peak),
        other=Quoted(other),
        other_peak=percent(peak),
        leads=percent(landing.leads, whole=True),
    )
    is_beaten = landing.peak < BEHIND * peak and landing.leads < LEADS_NOWHERE
    if is_beaten or landing.peak < FAR_BEHIND * peak:
        return Verdict("not drawn", (told,))
    is_strong = landing.peak >= ABREAST * peak or landing.leads >= LEADS
    return Verdict("drawn" if is_strong else "unclear", (told,))


def _never_taught(case: Case) -> Sentence:
    pieces = case.read.pieces
    if not case.usual.is_known:
        return texts.NO_TOKEN()
    apart = texts.APART(count=str(len(pieces)), pieces=Listed(pieces)) if len(pieces) > 1 else ""
    return texts.NEVER_TAUGHT(apart=apart)


def _no_attention(case: Case) -> Sentence:
    return texts.NO_ATTENTION(edited=texts.WAS_EDITED(edits=Listed(case.edits)) if case.edits else "")


def _weak(case: Case) -> tuple[Sentence, ...]:
    """How it stands beside the word that is looked up most strongly."""
    landing, strongest = case.landing, case.strongest
    if landing is None or strongest is None or landing.peak >= BEHIND * strongest[1]:
        return ()
    who = texts.A_TOKEN_OF_IT if len(case.read.pieces) > 1 else texts.IT
    other, peak = strongest
    return (texts.WEAK(who=who(), peak=percent(landing.peak), other=Quoted(other), other_peak=percent(peak)),)
