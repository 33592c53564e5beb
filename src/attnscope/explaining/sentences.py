"""An explanation in plain sentences with numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnscope.explaining import texts
from attnscope.explaining.effect import Effect
from attnscope.explaining.landing import InSegments, Landing, Overlap
from attnscope.explaining.report import WordReport
from attnscope.explaining.shares import Budget, Spread
from attnscope.explaining.wording import Joined, Listed, Quoted, Sentence, percent

_MOST_OVERLAPS = 3
_TOO_LITTLE = 0.0005
"""A smaller share of the budget is not told of."""


def word_sentences(report: WordReport, is_measured: bool) -> list[Sentence]:
    """What became of a word.

    Args:
        report: Of the word.
        is_measured: Whether verdicts were measured on its model.
    """
    return list(_sentences(report, is_measured))


def _sentences(report: WordReport, is_measured: bool) -> Iterator[Sentence]:
    yield texts.VERDICTS[report.verdict.says](word=Quoted(report.word))
    yield from report.verdict.why
    if report.verdict.says in ("drawn", "not drawn") and not is_measured:
        yield texts.GUESS()
    yield from _tokens(report)
    if report.landing is None or report.spread is None:
        return
    yield _share(report, report.landing)
    if report.landing.share > 0:
        yield _largest(report, report.landing)
        yield from _over_the_run(report.spread)
    if not report.read.is_function:
        yield from _overlaps(report.overlaps)
    yield from _segment(report.word, report.segment)
    for effect in report.effects:
        yield _effect(effect)


def _tokens(report: WordReport) -> Iterator[Sentence]:
    pieces, is_told = report.read.pieces, any(reason.holds(texts.APART) for reason in report.verdict.why)
    if len(pieces) > 1 and not is_told:
        yield texts.TAKEN_APART(count=str(len(pieces)), pieces=Listed(pieces))


def _share(report: WordReport, landing: Landing) -> Sentence:
    if report.read.is_function or not report.overlaps:
        return texts.GETS(share=percent(landing.share))
    return texts.RANKED(
        share=percent(landing.share), rank=str(landing.rank), count=str(len(report.overlaps) + 1)
    )


def _largest(report: WordReport, landing: Landing) -> Sentence:
    row, column = landing.peak_at
    return texts.LARGEST(
        where=texts.PLACES[landing.where](),
        peak=percent(landing.peak),
        each=texts.EACH_TOKEN() if len(report.read.span.tokens) > 1 else "",
        row=str(row),
        column=str(column),
        area=percent(landing.area, whole=True),
    )


def _over_the_run(spread: Spread) -> Iterator[Sentence]:
    steps, blocks = list(spread.by_step.items()), spread.by_block
    strongest = max(blocks, key=lambda block: blocks[block])
    block, head = max(spread.by_head, key=lambda place: spread.by_head[place])
    where = {
        "block": str(strongest),
        "share": percent(blocks[strongest]),
        "head": str(head),
        "its_block": str(block),
        "of_head": percent(spread.by_head[block, head]),
    }
    if len(steps) == 1:
        yield texts.LOOKED_UP(**where)
        return
    (first, before), (last, after) = steps[0], steps[-1]
    run = {"before": percent(before), "first": str(first), "after": percent(after), "last": str(last)}
    yield texts.OVER_STEPS(**run, **where)


def _overlaps(overlaps: Sequence[Overlap]) -> Iterator[Sentence]:
    together = sorted((one for one in overlaps if one.lies_together), key=lambda one: -one.alike)
    apart = [one for one in overlaps if not one.lies_together]
    for one in together[:_MOST_OVERLAPS]:
        common, own, chance = (percent(share, whole=True) for share in (one.alike, one.lies_on, one.chance))
        yield texts.LIES_ON(other=Quoted(one.other), common=common, own=own, chance=chance)
    if apart:
        yield texts.LIES_APART(
            others=Quoted(*(one.other for one in apart)),
            limit="" if len(apart) == 1 else texts.AT_MOST(),
            most=percent(max(one.alike for one in apart), whole=True),
        )


def _segment(word: str, segment: InSegments | None) -> Iterator[Sentence]:
    if segment is None:
        return
    if segment.best_word is None:
        named = texts.NOTHING_STANDS_OUT()
    elif segment.best_word == word:
        named = texts.IT_STANDS_OUT()
    else:
        named = texts.STANDS_OUT(word=Quoted(segment.best_word))
    yield texts.IN_SEGMENT(
        segment=str(segment.segment),
        iou=f"{segment.iou:.2f}",
        inside=percent(segment.inside, whole=True),
        area=percent(segment.area, whole=True),
        named=named,
    )


def _effect(effect: Effect) -> Sentence:
    most: Sentence | str = ""
    if effect.by_segment:
        number = max(effect.by_segment, key=lambda at: effect.by_segment[at])
        most = texts.MOST_IN_SEGMENT(segment=str(number), change=f"{effect.by_segment[number]:.1f}")
    where: Sentence | str = ""
    if effect.on_the_word is not None and effect.elsewhere is not None:
        where = texts.ON_IT_AND_ELSEWHERE(
            on_the_word=f"{effect.on_the_word:.1f}", elsewhere=f"{effect.elsewhere:.1f}"
        )
    return texts.EFFECT(edit=effect.edit, mean=f"{effect.mean:.1f}", where=where, most=most)


def run_sentences(budget: Budget, edits: Sequence[str], repeated: float | None = None) -> list[Sentence]:
    """What is said of the whole run.

    Args:
        budget: What its attention went to.
        edits: What was changed of it.
        repeated: How much the run made again differs from the picture, None if it was not made again.
    """
    shares = {name: percent(getattr(budget, name)) for name in ("words", "lost", "start", "end", "padding")}
    rest = [
        text(share=percent(share))
        for share, text in (
            (budget.other_text, texts.TO_PUNCTUATION),
            (budget.elsewhere, texts.TAKEN_AWAY if edits else texts.ELSEWHERE),
        )
        if share > _TOO_LITTLE
    ]
    said = [texts.BUDGET(**shares, rest=Joined(rest))]
    if edits:
        said.append(texts.EDITED(edits=Listed(edits)))
    if repeated:
        said.append(texts.REPEATED(difference=f"{repeated:.2f}"))
    return said


def limits(is_measured: bool) -> list[Sentence]:
    """What attention can't prove.

    Args:
        is_measured: Whether verdicts were measured on the model.
    """
    return [texts.LIMITS(), texts.MEASURED() if is_measured else texts.NOT_MEASURED()]
