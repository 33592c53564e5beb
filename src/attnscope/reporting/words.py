"""The words of a report's page."""

from __future__ import annotations

from collections.abc import Iterator

from attnscope.explaining.report import WordReport
from attnscope.explaining.result import Explanation
from attnscope.explaining.wording import listed, percent
from attnscope.pictures.heat_colours import heat_picture
from attnscope.reporting.figures import bar, stacked_bar
from attnscope.reporting.markup import foreign, picture, section, text

SIDE_PX = 360
_CHIPS = {"drawn": "yes", "not drawn": "no", "unclear": "maybe", "not read": "no", "shows nothing": "none"}


def words_section(words: Explanation) -> str:
    """Cards of the words that may show something, what attention went to, a table of all words.

    Args:
        words: What became of them.
    """
    cards = "".join(_card(report) for report in words.asked)
    lead = "Where each word landed, and whether it was drawn, as far as attention shows."
    limits = words.paragraphs()[-1]
    return section(
        "Words",
        lead,
        [
            f'<div class="cards">{cards}</div>',
            f"<h3>What the picture's attention went to</h3>{_budget(words)}",
            f"<h3>All words</h3>{_table(words)}" if words.words else "",
            f'<p class="note">{" ".join(map(text, limits))}</p>',
        ],
    )


def _card(report: WordReport) -> str:
    verdict, landing = report.verdict, report.landing
    shown, said = "", ""
    if report.heat is not None and landing is not None:
        overlay = heat_picture(report.heat.array) if report.heat.picture is None else report.heat.overlay()
        shown = picture(overlay, f"where {report.word} landed", SIDE_PX)
        said = f"{percent(landing.share)} of attention, largest {percent(landing.peak)}, {landing.where}"
    sentences = " ".join(map(text, (*verdict.reasons, *_lies_on(report))))
    return (
        f'<article class="card">{shown}<div><h3>{foreign(report.word)} <span class="chip {_CHIPS[verdict.says]}">'
        f'{text(verdict.says)}</span></h3><p class="said">{text(said)}</p><p>{sentences}</p></div></article>'
    )


def _lies_on(report: WordReport) -> Iterator[str]:
    others = [overlap.other for overlap in report.overlaps if overlap.lies_together]
    if others:
        yield f"Its map lies on that of {listed(others)}."


def _budget(words: Explanation) -> str:
    budget = words.budget
    parts = {
        "words": budget.words,
        "start token": budget.start,
        "end token": budget.end,
        "padding": budget.padding,
        "everything else": budget.other_text + budget.elsewhere,
    }
    shown = {name: share for name, share in parts.items() if name != "everything else" or share > 5e-4}
    return stacked_bar(shown, {name: percent(share) for name, share in shown.items()})


def _table(words: Explanation) -> str:
    largest = max((report.landing.share for report in words.words if report.landing), default=0.0) or 1.0
    rows = "".join(_rows(words, largest))
    head = "<tr><th>Word</th><th>Share</th><th class='number'>Largest</th><th class='wide'>Where</th></tr>"
    return f'<table class="words"><thead>{head}</thead><tbody>{rows}</tbody></table>'


def _rows(words: Explanation, largest: float) -> Iterator[str]:
    for report in words.words:
        landing, soft = report.landing, " class='soft'" if report.read.is_function else ""
        if landing is None:
            says = text(report.verdict.says)
            yield f"<tr class='soft'><td>{foreign(report.word)}</td><td colspan='3'>{says}</td></tr>"
            continue
        yield (
            f"<tr{soft}><td>{foreign(report.word)}</td><td><span class='measure'>{bar(landing.share / largest)}"
            f"<b>{text(percent(landing.share))}</b></span></td><td class='number'>{text(percent(landing.peak))}</td>"
            f"<td class='wide'>{text(landing.where)}</td></tr>"
        )
