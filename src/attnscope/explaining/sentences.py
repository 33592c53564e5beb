"""An explanation in plain sentences with numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnscope.explaining.effect import Effect
from attnscope.explaining.landing import InSegments, Overlap
from attnscope.explaining.reading import ReadWord
from attnscope.explaining.report import WordReport
from attnscope.explaining.shares import Budget, Spread
from attnscope.explaining.verdict import Verdict
from attnscope.explaining.wording import listed, percent

_VERDICTS = {
    "drawn": "{word!r} was drawn, as far as attention shows.",
    "not drawn": "{word!r} was not drawn, as far as attention shows.",
    "unclear": "Whether {word!r} was drawn, attention does not say.",
    "not read": "{word!r} was not read.",
    "shows nothing": "{word!r} is a word that shows nothing by itself.",
}
_MOST_OVERLAPS = 3


def word_sentences(report: WordReport, is_measured: bool) -> list[str]:
    """What became of a word.

    Args:
        report: Of the word.
        is_measured: Whether verdicts were measured on its model.
    """
    return list(_sentences(report, is_measured))


def _sentences(report: WordReport, is_measured: bool) -> Iterator[str]:
    yield _VERDICTS[report.verdict.says].format(word=report.word)
    yield from report.verdict.reasons
    if report.verdict.says in ("drawn", "not drawn") and not is_measured:
        yield "This is a guess: its thresholds were chosen on whole runs of the demo model, and not tried on this."
    yield from _tokens(report.read, report.verdict)
    if report.landing is None or report.spread is None:
        return
    landing = report.landing
    share = f"{percent(landing.share)} of the picture's attention"
    if report.read.is_function or not report.overlaps:
        yield f"It gets {share}."
    else:
        rank = f"number {landing.rank} of {len(report.overlaps) + 1} words that may show something"
        yield f"Its share, {share}, is {rank}."
    if landing.share > 0:
        each = " a token" if len(report.read.span.tokens) > 1 else ""
        yield (
            f"Its map is largest {_at(landing.where)}, {percent(landing.peak)}{each} at row {landing.peak_at[0]}, "
            f"column {landing.peak_at[1]}, and fills {percent(landing.area, whole=True)} of the picture."
        )
        yield from _over_the_run(report.spread)
    if not report.read.is_function:
        yield from _overlaps(report.overlaps)
    yield from _segment(report.word, report.segment)
    for effect in report.effects:
        yield _effect(effect)


def _tokens(read: ReadWord, verdict: Verdict) -> Iterator[str]:
    told = " ".join(verdict.reasons)
    if len(read.pieces) > 1 and "pieces" not in told:
        yield f"The tokenizer takes it apart into {len(read.pieces)} tokens: {', '.join(read.pieces)}."


def _over_the_run(spread: Spread) -> Iterator[str]:
    steps, blocks = list(spread.by_step.items()), spread.by_block
    strongest = max(blocks, key=lambda block: blocks[block])
    block, head = max(spread.by_head, key=lambda place: spread.by_head[place])
    where = (
        f"most in block {strongest} ({percent(blocks[strongest])}), of all heads in head {head} of block {block} "
        f"({percent(spread.by_head[block, head])})"
    )
    if len(steps) == 1:
        yield f"It is looked up {where}."
        return
    (first, before), (last, after) = steps[0], steps[-1]
    yield (
        f"Over the steps its share goes from {percent(before)} (step {first}) to {percent(after)} (step {last}); it is "
        f"looked up {where}."
    )


def _overlaps(overlaps: Sequence[Overlap]) -> Iterator[str]:
    together = sorted((one for one in overlaps if one.lies_together), key=lambda one: -one.alike)
    apart = [one for one in overlaps if not one.lies_together]
    for one in together[:_MOST_OVERLAPS]:
        common, own, chance = (percent(share, whole=True) for share in (one.alike, one.lies_on, one.chance))
        yield (
            f"It lies on {one.other!r}: {common} of the two maps is common, and {own} of its own is on that word's "
            f"{chance} of the picture."
        )
    if apart:
        most = percent(max(one.alike for one in apart), whole=True)
        limit = "" if len(apart) == 1 else "at most "
        yield f"It does not lie on {listed([one.other for one in apart])}: {limit}{most} of the maps is common."


def _segment(word: str, segment: InSegments | None) -> Iterator[str]:
    if segment is None:
        return
    named = f"the word that stands out most there is {segment.best_word!r}"
    if segment.best_word is None:
        named = "no word stands out there"
    elif segment.best_word == word:
        named = "it is the word that stands out most there"
    inside, area = percent(segment.inside, whole=True), percent(segment.area, whole=True)
    yield (
        f"Of the segments number {segment.segment} fits its map best (IoU {segment.iou:.2f}, {inside} of the map on "
        f"{area} of the picture); {named}."
    )


def _effect(effect: Effect) -> str:
    changed = (
        f"the picture changes by {effect.mean:.1f} of 255 levels on average, {effect.on_the_word:.1f} where the word's "
        f"map is and {effect.elsewhere:.1f} elsewhere"
    )
    most = ""
    if effect.by_segment:
        number = max(effect.by_segment, key=lambda at: effect.by_segment[at])
        most = f"; most in segment {number} ({effect.by_segment[number]:.1f})"
    return f"With {effect.edit} {changed}{most}."


def run_sentences(budget: Budget, edits: Sequence[str], repeated: float | None = None) -> list[str]:
    """What is said of the whole run.

    Args:
        budget: What its attention went to.
        edits: What was changed of it.
        repeated: How much the run made again differs from the picture, None if it was not made again.
    """
    told = (
        f"Of the picture's attention {percent(budget.words)} go to words; start, end and padding tokens, which name "
        f"nothing, get {percent(budget.lost)} (start {percent(budget.start)}, end {percent(budget.end)}, padding "
        f"{percent(budget.padding)})"
    )
    rest = [
        f"{percent(share)} {what}"
        for share, what in (
            (budget.other_text, "go to punctuation"),
            (
                budget.elsewhere,
                "to what is no token" if not edits else "were taken away or go to what is no token",
            ),
        )
        if share > 0.0005
    ]
    said = [f"{told}{''.join(f', {part}' for part in rest)}."]
    if edits:
        said.append(f"The run's attention was edited: {', '.join(edits)}. Shares are those that were used.")
    if repeated:
        said.append(
            f"The run made again differs from the trace's picture by {repeated:.2f} of 255 levels on average."
        )
    return said


def limits(is_measured: bool) -> list[str]:
    """What attention can't prove.

    Args:
        is_measured: Whether verdicts were measured on the model.
    """
    said = [
        "Attention says where a word was looked up, not what was painted there: a thing that is badly drawn gets as "
        "much as a good one, and that a colour lies on its thing does not make it the right colour."
    ]
    if is_measured:
        said.append(
            "On 100 prompts of the demo model 63 of 66 words that were called not drawn were not in the picture, and "
            "of 72 that were not there 63 were called so (docs/explain.md)."
        )
    else:
        said.append(
            "Thresholds were chosen on whole runs of the demo model and may not suit this: look at the picture before "
            "you believe a verdict."
        )
    return said


def _at(where: str) -> str:
    return where if where.startswith("in ") else f"at the {where}"
