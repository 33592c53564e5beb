"""Whether a word was drawn, as far as attention shows, and why one can think so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from attnscope.explaining.landing import Landing, Overlap
from attnscope.explaining.reading import ReadWord
from attnscope.explaining.usual import Strength, Usual
from attnscope.explaining.wording import percent

Says = Literal["drawn", "not drawn", "unclear", "not read", "shows nothing"]

NONE_AT_ALL = 1e-6
"""A share below this is none: an edit has taken the attention away."""
WEAK_SHARE, WEAK_PEAK = 0.5, 0.7
"""A word whose share and peak are both below these parts of what is usual was not drawn: chosen on 104 pictures."""
LIKE_SHARE, LIKE_PEAK = 0.65, 0.85
"""A word with either of them at least this part of what is usual was drawn."""
FAR_BEHIND, BEHIND, ABREAST = 0.1, 0.3, 0.5
"""The same for models without known peaks: shares of the largest peak among the text's words."""
LEADS_NOWHERE, LEADS = 0.02, 0.05
"""Parts of the picture where a word leads, for models without known peaks."""
_ONLY_READ = (
    "But this picture was only read, not made: a word that is not there then often takes the place of a thing "
    "that is."
)


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of a word.

    Attributes:
        says: 'drawn', 'not drawn' or 'unclear'; 'not read' if the model did not get it; 'shows nothing' of words such
            as "the".
        reasons: Why, in sentences, the strongest first.
        is_measured: Whether the rule was measured on this model, so that its reliability is known.
    """

    says: Says
    reasons: tuple[str, ...]
    is_measured: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"says": self.says, "reasons": list(self.reasons), "is_measured": self.is_measured}


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
        return replace(verdict, says="unclear", reasons=(*verdict.reasons, _ONLY_READ))
    return verdict


def _judged(case: Case) -> Verdict:
    read, landing = case.read, case.landing
    if landing is None:
        return Verdict("not read", (f"It {read.lost}, so the model never saw it.",), True)
    if read.is_function:
        return Verdict("shows nothing", ("It stands for nothing that could be seen.",), True)
    if read.known is False:
        return Verdict("not drawn", (_never_taught(case), *_weak(case)), case.usual.is_measured)
    if landing.peak < NONE_AT_ALL:
        return Verdict("not drawn", (_no_attention(case),), case.usual.is_measured)
    if case.head is not None:
        return _of_modifier(case, *case.head)
    usual = case.usual.strength_of(read.word)
    return _beside_the_others(case) if usual is None else _beside_its_usual(case, landing, usual)


def _of_modifier(case: Case, head: str, of_head: Verdict) -> Verdict:
    """A word right before another, such as red before house, shows on that one's place or nowhere."""
    on_head, known = case.on_head, case.usual.is_measured
    if of_head.says == "not drawn":
        return Verdict("unclear", (f"It belongs to {head!r}, which was not drawn.",), known)
    if on_head is None:
        return Verdict("unclear", (f"It belongs to {head!r}, which can't be judged.",), known)
    part, chance = percent(on_head.lies_on, whole=True), percent(on_head.chance, whole=True)
    lies = f"{part} of its map lies where {head!r} is, which is {chance} of the picture"
    if not on_head.lies_together:
        return Verdict("unclear", (f"It belongs to {head!r}, but only {lies}.",), known)
    return Verdict(
        "drawn" if of_head.says == "drawn" else "unclear", (f"It belongs to {head!r}, and {lies}.",), known
    )


def _beside_its_usual(case: Case, landing: Landing, usual: Strength) -> Verdict:
    told = (
        f"It gets {percent(landing.share)} of the picture's attention, and {percent(landing.peak)} where it gets most; "
        f"where {case.read.word!r} is drawn, this model usually gives it {percent(usual.share)} and "
        f"{percent(usual.peak)}."
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
        told = f"Its largest share is {percent(landing.peak)}, and there is no other word to compare it with."
        return Verdict("unclear", (told,))
    other, peak = strongest
    told = (
        f"Its largest share at any place is {percent(landing.peak)}, that of {other!r} is {percent(peak)}; it gets "
        f"more than the other words on {percent(landing.leads, whole=True)} of the picture."
    )
    is_beaten = landing.peak < BEHIND * peak and landing.leads < LEADS_NOWHERE
    if is_beaten or landing.peak < FAR_BEHIND * peak:
        return Verdict("not drawn", (told,))
    is_strong = landing.peak >= ABREAST * peak or landing.leads >= LEADS
    return Verdict("drawn" if is_strong else "unclear", (told,))


def _never_taught(case: Case) -> str:
    pieces = case.read.pieces
    if not case.usual.is_known:
        return "The model's tokenizer has no token for it, and puts the same one in place of all that it does not know."
    taken_apart = f"; its tokenizer takes it apart into {len(pieces)} pieces ({', '.join(pieces)})"
    return f"The model was never taught it{taken_apart if len(pieces) > 1 else ''}."


def _no_attention(case: Case) -> str:
    if case.edits:
        return (
            f"No place of the picture gave it any attention: this run was edited ({', '.join(case.edits)})."
        )
    return "No place of the picture gave it any attention."


def _weak(case: Case) -> tuple[str, ...]:
    """How it stands beside the word that is looked up most strongly."""
    landing, strongest = case.landing, case.strongest
    if landing is None or strongest is None or landing.peak >= BEHIND * strongest[1]:
        return ()
    each = "A token of it" if len(case.read.pieces) > 1 else "It"
    other, peak = strongest
    return (f"{each} gets {percent(landing.peak)} at most at any place, and {other!r} {percent(peak)}.",)
