"""Why a word was drawn, or not: `attnscope.explain` of a trace, made once in the background for all its words."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response

from attnscope import places
from attnscope.errors import SelectionError
from attnscope.explaining.explain import explain
from attnscope.explaining.report import WordReport
from attnscope.explaining.result import Explanation
from attnscope.explaining.texts import SAYS, WHERE
from attnscope.explaining.wording import Language
from attnscope.records import PLACE_KINDS, TEXT_KINDS
from attnscope.segmentation.evidence import evidence_of_trace
from attnscope.segmentation.methods import recipe_for
from attnscope.segmentation.result import Segmentation
from attnscope.trace.trace import Trace
from attnscope.viewer.answers import Answers
from attnscope.viewer.background import Background, Progress
from attnscope.viewer.questions import Image
from attnscope.viewer.schemas import AggregateInfo, ExplainedInfo, WordVerdict

MOST_READY, READY_BYTES = 8, 2**28
"""Explanations that are kept; each holds its segments' evidence, 64 MiB and more at a 64x64 grid."""
MOST_ASKED = 8
"""Words that are told of in one answer."""

Asked = tuple[int, str, int]
"""Number of a trace, guidance branch, image."""


def _asked(number: int, branch: Annotated[str, Query(max_length=64)] = "cond", image: Image = 0) -> Asked:
    return number, branch, image


Askeds = Annotated[Asked, Depends(_asked)]
AskedWords = Annotated[
    list[int] | None,
    Query(max_length=MOST_ASKED, description="Places of words in the text."),
]


class Explaining:
    """Answers to why a word was drawn or not.

    Args:
        answers: The viewer's.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._made: Background[Asked, Explanation] = Background(
            "attnscope-explain", most=MOST_READY, most_bytes=READY_BYTES, size_of=_bytes
        )

    def add_routes(self, app: FastAPI) -> None:
        """The work at /api/traces/NUMBER/explanation, what it says of words at /explained.

        Args:
            app: The viewer.
        """
        of_trace = "/api/traces/{number}/"
        app.get(of_trace + "explanation", response_model=AggregateInfo)(self.state)
        app.post(of_trace + "explanation", response_model=AggregateInfo)(self.start)
        app.delete(of_trace + "explanation", response_model=AggregateInfo)(self.cancel)
        app.get(of_trace + "explained", response_model=ExplainedInfo)(self.explained)

    def close(self) -> None:
        """Stop what is under way, and forget what is made."""
        self._made.close()

    def state(self, asked: Askeds) -> AggregateInfo:
        """How far the explanation of a text's words is."""
        self._answers.open(asked[0])
        return self._made.info(asked)

    def start(self, asked: Askeds) -> AggregateInfo:
        """Begin to explain the words of a text; `GET` tells how far it is."""
        number, branch, image = asked
        trace = self._answers.open(number).trace
        places.check_choice(trace, None, branch, image)
        if not any(trace.layers.of_kind(kind) for kind in TEXT_KINDS):
            raise SelectionError(
                "this trace holds no attention to the text, which tells what became of words"
            )
        open_numbers = {opened.number for opened in self._answers.shelf}
        self._made.keep_only(lambda key: key[0] in open_numbers)
        return self._made.start(asked, lambda progress: explanation_of(trace, branch, image, progress)).info

    def cancel(self, asked: Askeds) -> AggregateInfo:
        """Stop it."""
        self._answers.open(asked[0])
        self._made.cancel(asked)
        return self._made.info(asked)

    def explained(
        self,
        request: Request,
        asked: Askeds,
        word: AskedWords = None,
        lang: Literal["en", "ja"] = "en",
    ) -> Response:
        """The verdict of every word, and sentences about those asked for: those of `attnscope.explain`."""
        number, branch, image = asked
        trace = self._answers.open(number).trace

        def make() -> bytes:
            work = self._made.get(asked)
            if work is None or work.value is None:
                raise HTTPException(409, "these words are not explained yet: POST /explanation, then wait")
            numbers = _numbers(trace, branch, image, work.value)
            return _info(work.value, numbers, word or [], lang).model_dump_json().encode()

        return self._answers.answer(request, number, "application/json", make)


def explanation_of(trace: Trace, branch: str, image: int, progress: Progress) -> Explanation:
    """What `attnscope.explain` says of all words of a text.

    Args:
        trace: Of one pass.
        branch: Guidance branch.
        image: Number of the image in the batch.
        progress: Called as progress(done, total); what it raises ends the work.
    """
    has_places = any(trace.layers.of_kind(kind) for kind in PLACE_KINDS)
    segments = _segments(trace, branch, image, progress) if has_places else None
    return explain(trace, branch=branch, image=image, segments=segments or False)


def _segments(trace: Trace, branch: str, image: int, progress: Progress) -> Segmentation:
    """As `segment_trace`, which tells nobody how far it is. Words take as long as a layer or two more."""
    evidence = evidence_of_trace(
        trace, branch=branch, image=image, progress=lambda done, total: progress(done, total + 1)
    )
    return evidence.segments(recipe_for("diffseg", trace.run.model))


def _numbers(trace: Trace, branch: str, image: int, explanation: Explanation) -> list[int | None]:
    """For each word that is explained its place among those of the text that the page knows."""
    places_of = {
        (span.start_char, span.end_char, tuple(span.tokens)): at
        for at, span in enumerate(trace.words(image, branch))
    }
    spans = (report.read.span for report in explanation.words)
    return [places_of.get((span.start_char, span.end_char, tuple(span.tokens))) for span in spans]


def _info(
    explanation: Explanation, numbers: list[int | None], asked: list[int], language: Language
) -> ExplainedInfo:
    reports = {
        number: report
        for number, report in zip(numbers, explanation.words, strict=True)
        if number is not None
    }
    if bad := [word for word in asked if word not in reports]:
        raise SelectionError(f"words {bad}: this text has {len(reports)} words, counted from 0")
    *of_words, run, limits = explanation.about(*(reports[word] for word in asked)).paragraphs(language)
    words = [
        _verdict(number, report, language) for number, report in zip(numbers, explanation.words, strict=True)
    ]
    return ExplainedInfo(words=words, sentences=of_words, run=run, limits=limits)


def _verdict(number: int | None, report: WordReport, language: Language) -> WordVerdict:
    landing, says = report.landing, report.verdict.says
    return WordVerdict(
        word=number,
        text=report.word,
        says=says,
        verdict=SAYS[says]().in_language(language),
        share=None if landing is None else landing.share,
        peak=None if landing is None else landing.peak,
        leads=None if landing is None else landing.leads,
        where="" if landing is None else WHERE[landing.where]().in_language(language),
    )


def _bytes(explanation: Explanation) -> int:
    segments = explanation.segments
    return 2**20 if segments is None else segments.evidence.aggregated.nbytes + segments.labels.nbytes
