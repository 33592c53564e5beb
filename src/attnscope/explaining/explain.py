"""Why does the picture show a word, or not? What attention says, and what changing it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from attnscope.explaining.effect import Repetition
from attnscope.explaining.landing import Landing, in_segments, landings, overlap
from attnscope.explaining.reading import ReadWord, Vocabulary, asked_word, known_words, read_words
from attnscope.explaining.report import WordReport
from attnscope.explaining.result import Explanation
from attnscope.explaining.shares import TokenShares
from attnscope.explaining.usual import Usual
from attnscope.explaining.verdict import Case, Verdict, judge
from attnscope.heatmap.heat_map import Word, heat_maps
from attnscope.heatmap.result import HeatMap
from attnscope.records import PLACE_KINDS
from attnscope.segmentation.result import Segmentation
from attnscope.segmentation.segment import segment_trace
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.selection import pick_name, pick_number
from attnscope.trace.texts import ReadText, read_text
from attnscope.trace.trace import Trace


def explain(
    trace: TraceSource,
    word: Word | None = None,
    *,
    pipe: Any = None,
    options: Mapping[str, Any] | None = None,
    occurrence: int = 0,
    image: int = 0,
    branch: str = "cond",
    segments: Segmentation | bool = True,
) -> Explanation:
    """What attention says of a word: whether it was drawn, where, on what it lies, and why one can think so.

    The verdict compares the largest share of attention that the word gets at any place with what this model gives it
    where it is drawn. That is known of the demo model's words. For other models it is compared with the other words of
    the text, and the explanation says that this is a guess.

    Args:
        trace: From `attnscope.capture` or `attnscope.load_trace`, or the folder of one.
        word: A word or phrase of the text, a token number, or a span from `trace.span`. Default: every word that may
            show something.
        pipe: The pipeline that made the picture. Then the run is repeated from its seed without the word, and with
            attention to it doubled, and what that changes is told. The pipeline is left as it was.
        options: Further arguments of the pipeline's call that the run had and a trace does not hold, such as eta.
        occurrence: Which one of several such words, from 0; -1 is the last.
        image: Which picture of the batch, from 0.
        branch: Guidance branch, whose own text has the word.
        segments: The picture's segments, to compare with; by default those of the trace's self-attention, if it has
            any; False for none.

    Returns:
        Numbers for every word of the text, and sentences about those asked for: `print(explain(trace, "red"))`.

    Raises:
        WordError: The text does not hold the word, or its words are unknown.
        SelectionError: The trace holds no attention to the text, or no such branch or image.
        RepeatError: A pipeline is given, and the run can't be repeated with it.

    Cost: two heat maps of all words, and segments where there is self-attention. With a pipeline its run, and two more
    for each word that is asked for.

    >>> import attnscope, torch
    >>> pipe = attnscope.load_pipeline("demo")
    >>> with attnscope.capture(pipe) as trace:
    ...     result = pipe("a red elephant", num_inference_steps=2, generator=torch.Generator().manual_seed(0))
    >>> attnscope.explain(trace, "elephant").word.verdict.says
    'not drawn'
    """
    trace = as_trace(trace)
    pick_number("image", image, range(trace.images))
    pick_name("branch", branch, trace.branches)
    read = read_text(trace.run, branch, image)
    vocabulary = Vocabulary(trace, pipe)
    words = (
        read_words(read, vocabulary)
        if word is None or isinstance(word, str)
        else known_words(read, vocabulary)
    )
    asked = (
        [each for each in words if not each.is_function]
        if word is None
        else [asked_word(read, word, occurrence, vocabulary)]
    )
    every = words + [each for each in asked if each not in words]
    every = sorted(every, key=lambda each: (each.span.start_char, each.span.end_char))
    usual = Usual.of(vocabulary, trace)
    evidence = _Evidence(trace, read, every, branch, image, segments)
    reports = _reports(evidence, usual, tuple(trace.run.edits))
    repetition = None if pipe is None else Repetition(trace, pipe, image, options)
    if repetition is not None:
        reports = _with_effects(evidence, reports, asked, repetition)
    return Explanation(
        read.text or "",
        trace.run.model,
        tuple(reports),
        tuple(reports[every.index(each)] for each in asked),
        evidence.shares.budget(read.tokens, [token for each in words for token in each.span.tokens]),
        tuple(step.index for step in trace.steps),
        tuple(trace.run.edits),
        usual.is_measured,
        evidence.segments,
        trace.picture_of(image),
        None if repetition is None else repetition.differs,
    )


class _Evidence:
    """What a trace says of every word, computed once."""

    def __init__(
        self,
        trace: Trace,
        read: ReadText,
        words: Sequence[ReadWord],
        branch: str,
        image: int,
        segments: Segmentation | bool,
    ) -> None:
        self.text = read.text or ""
        self.words = words
        self.shares = TokenShares.of(trace, branch, image)
        self.seen = [at for at, word in enumerate(words) if word.span.tokens]
        spans = [words[at].span for at in self.seen]
        maps = heat_maps(trace, spans, branch=branch, image=image) if spans else []
        self.maps: dict[int, HeatMap] = dict(zip(self.seen, maps, strict=True))
        self.segments = _segments(trace, branch, image, segments)
        places = [[self.seen.index(other) for other in self.rivals(at)] for at in self.seen]
        before = [[self.seen.index(other) for other in self._modifiers(at)] for at in self.seen]
        counts = [len(span.tokens) for span in spans]
        self.landings: dict[int, Landing] = dict(
            zip(self.seen, landings(maps, counts, places, before), strict=True)
        )

    def rivals(self, at: int) -> list[int]:
        """The other words that may show something and share no token with a word."""
        own = set(self.words[at].span.tokens)
        return [
            other
            for other in self.seen
            if self.words[other].is_content and own.isdisjoint(self.words[other].span.tokens)
        ]

    def _modifiers(self, at: int) -> list[int]:
        """The words that stand right before one, such as red before house."""
        before, heads = [], {other: self.head_of(other) for other in self.rivals(at)}
        while (found := next((other for other, head in heads.items() if head == at), None)) is not None:
            before.append(found)
            at = found
        return before

    def name_of(self, at: int) -> str:
        """A word, with its number where the text has it before: 'blue (2)'."""
        word = self.words[at].word
        before = sum(each.word.casefold() == word.casefold() for each in self.words[:at])
        return f"{word} ({before + 1})" if before else word

    def head_of(self, at: int) -> int | None:
        """The word that one stands right before, with only white space between: house after red."""
        end = self.words[at].span.end_char
        for other in self.rivals(at):
            start = self.words[other].span.start_char
            if start > end and self.text[end:start].isspace():
                return other
        return None


def _segments(trace: Trace, branch: str, image: int, segments: Segmentation | bool) -> Segmentation | None:
    if isinstance(segments, Segmentation):
        return segments
    has_places = any(trace.layers.of_kind(kind) for kind in PLACE_KINDS)
    return segment_trace(trace, branch=branch, image=image) if segments and has_places else None


def _reports(evidence: _Evidence, usual: Usual, edits: tuple[str, ...]) -> list[WordReport]:
    """A report of each word; a word that stands before another is judged after that one."""
    verdicts: dict[int, Verdict] = {}
    for at in reversed(range(len(evidence.words))):
        verdicts[at] = judge(_case(evidence, at, verdicts, usual, edits))
    return [_report(evidence, at, verdicts[at]) for at in range(len(evidence.words))]


def _case(
    evidence: _Evidence, at: int, verdicts: dict[int, Verdict], usual: Usual, edits: tuple[str, ...]
) -> Case:
    read, landing = evidence.words[at], evidence.landings.get(at)
    if landing is None:
        return Case(read, None, usual, edits=edits)
    head = evidence.head_of(at)
    peaks = [(evidence.landings[other].peak, evidence.words[other].word) for other in evidence.rivals(at)]
    peak, strongest = max(peaks, default=(0.0, None))
    return Case(
        read,
        landing,
        usual,
        None if head is None else (evidence.words[head].word, verdicts[head]),
        None if head is None else overlap(evidence.maps[at], evidence.maps[head]),
        None if strongest is None else (strongest, peak),
        edits,
    )


def _report(evidence: _Evidence, at: int, verdict: Verdict) -> WordReport:
    read, landing = evidence.words[at], evidence.landings.get(at)
    if landing is None:
        return WordReport(read, verdict)
    heat, rivals = evidence.maps[at], evidence.rivals(at)
    overlaps = tuple(overlap(heat, evidence.maps[other], evidence.name_of(other)) for other in rivals)
    named = {
        evidence.words[other].word: evidence.maps[other]
        for other in evidence.seen
        if evidence.words[other].is_content
    }
    labels = None if evidence.segments is None else evidence.segments.labels
    return WordReport(
        read,
        verdict,
        landing,
        evidence.shares.spread(read.span.tokens),
        overlaps,
        None if labels is None else in_segments(heat, labels, named),
        (),
        heat,
    )


def _with_effects(
    evidence: _Evidence, reports: list[WordReport], asked: Sequence[ReadWord], repetition: Repetition
) -> list[WordReport]:
    labels = None if evidence.segments is None else evidence.segments.labels
    made = list(reports)
    for at, report in enumerate(reports):
        if report.read in asked and report.heat is not None:
            effects = repetition.effects(report.heat, report.read.span.tokens, labels)
            made[at] = replace(report, effects=effects)
    return made
