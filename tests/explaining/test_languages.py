"""Explanations in Japanese say what the English ones say, with the same numbers."""

import re
from dataclasses import replace
from typing import get_args

import pytest
import torch

import attnscope
from attnscope.errors import ParameterError
from attnscope.explaining import texts
from attnscope.explaining.landing import EVEN_THIRDS, InSegments, Landing, Overlap, place_in_words
from attnscope.explaining.reading import ReadWord
from attnscope.explaining.report import WordReport
from attnscope.explaining.sentences import limits, run_sentences, word_sentences
from attnscope.explaining.shares import Budget, Spread
from attnscope.explaining.usual import Strength, Usual
from attnscope.explaining.verdict import Case, Says, Verdict, judge
from attnscope.explaining.wording import Text, fields
from attnscope.records import TokenSpan
from attnscope.testing import made_trace
from attnscope.trace import reading

JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def every_text():
    for name, value in vars(texts).items():
        several = (
            value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
        )
        yield from (
            pytest.param(text, id=f"{name} {text.en[:20]}") for text in several if isinstance(text, Text)
        )


def numbers(text):
    """Every number of a text; those of both languages may stand in another order."""
    return sorted(re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", text))


def assert_alike(sentences):
    assert sentences
    for sentence in sentences:
        english, japanese = sentence.in_language("en"), sentence.in_language("ja")
        assert numbers(english) == numbers(japanese), (english, japanese)
        assert JAPANESE.search(japanese)
        assert not JAPANESE.search(english)
        assert "{" not in english + japanese


def test_there_are_texts():
    assert len(list(every_text())) > 60


@pytest.mark.parametrize("text", list(every_text()))
def test_every_text_is_there_in_both_languages_with_the_same_values_and_numbers(text):
    assert JAPANESE.search(text.ja)
    assert not JAPANESE.search(text.en)
    assert fields(text.en) == fields(text.ja)
    assert_alike([text(**{name: f"{at}.5 %" for at, name in enumerate(sorted(fields(text.en)), start=1)})])


def test_a_text_that_lacks_a_value_in_one_language_can_not_be_written():
    with pytest.raises(ParameterError, match="expected the same in both"):
        Text("It gets {share}.", "この語は{peak}を受け取ります。")
    with pytest.raises(ParameterError, match=r"takes \['share'\]; got \['shares'\]"):
        texts.GETS(shares="4 %")


def test_every_verdict_place_and_loss_has_its_words():
    assert set(texts.VERDICTS) == set(texts.SAYS) == set(get_args(Says))
    rows, columns = (len(thirds) for thirds in EVEN_THIRDS)
    places = {place_in_words((row, column), (3, 3)) for row in range(rows) for column in range(columns)}
    assert places == set(texts.PLACES) == set(texts.WHERE)
    assert set(texts.LOST) == {reading.CUT, reading.PARTLY_CUT, reading.LEFT_OUT}


STAR = ReadWord(TokenSpan("star", 6, 10, (3,)), ("star",), "", True, False)
YAK = replace(STAR, span=TokenSpan("yak", 6, 9, (3, 4, 5)), pieces=("y", "a", "k"), known=False)
DEMO = Usual({"star": Strength(0.2, 0.02)}, is_known=True, is_measured=True)
ON_HOUSE, OFF_HOUSE = Overlap("house", 0.9, 0.1, 0.9), Overlap("blue (2)", 0.2, 0.1, 0.2)


def landing(peak, leads=0.2, where="top left"):
    return Landing(peak / 10, 2, peak, (7, 11), where, 0.13, 0.3, leads)


CASES = {
    "usual": Case(STAR, landing(0.2), DEMO, strongest=("house", 0.35)),
    "weak": Case(STAR, landing(0.05), DEMO, strongest=("house", 0.35)),
    "only read": Case(STAR, landing(0.3), replace(DEMO, is_read=True), strongest=("house", 0.35)),
    "other model": Case(replace(STAR, known=None), landing(0.3), Usual(), strongest=("house", 0.35)),
    "even": Case(
        replace(STAR, known=None), replace(landing(0.3), area=1.0), Usual(), strongest=("house", 0.35)
    ),
    "alone": Case(replace(STAR, known=None), landing(0.3), Usual()),
    "never taught": Case(YAK, landing(0.01), DEMO, strongest=("house", 0.35)),
    "no token": Case(YAK, landing(0.01), Usual(), strongest=("house", 0.35)),
    "cut off": Case(replace(STAR, lost=reading.CUT), None, DEMO),
    "partly": Case(replace(STAR, lost=reading.PARTLY_CUT), None, DEMO),
    "left out": Case(replace(STAR, lost=reading.LEFT_OUT), None, DEMO),
    "function": Case(replace(STAR, is_function=True), landing(0.1), DEMO),
    "none": Case(STAR, landing(0.0), DEMO),
    "edited": Case(STAR, landing(0.0), DEMO, edits=("Ablate('star')", "Reweight('moon', 2)")),
    "on its head": Case(STAR, landing(0.1), DEMO, ("house", Verdict("drawn", ())), ON_HOUSE),
    "beside its head": Case(STAR, landing(0.1), DEMO, ("house", Verdict("drawn", ())), OFF_HOUSE),
    "of a head not drawn": Case(STAR, landing(0.1), DEMO, ("house", Verdict("not drawn", ()))),
    "of a head unjudged": Case(STAR, landing(0.1), DEMO, ("house", Verdict("drawn", ()))),
}


@pytest.mark.parametrize("name", CASES)
def test_reasons_are_alike(name):
    verdict = judge(CASES[name])
    assert_alike(verdict.why)
    assert verdict.to_dict()["reasons"] == [str(sentence) for sentence in verdict.why]
    assert verdict.to_dict("ja")["reasons"] == [sentence.in_language("ja") for sentence in verdict.why]


def test_every_reason_is_tried_above():
    tried = [sentence for case in CASES.values() for sentence in judge(case).why]
    reasons = vars(texts)
    since, until = list(reasons).index("ONLY_READ"), list(reasons).index("TAKEN_APART")
    wanted = [text for name, text in list(reasons.items())[since:until] if isinstance(text, Text)]
    assert [text.en for text in wanted if not any(sentence.holds(text) for sentence in tried)] == []


SPREAD = Spread(0.02, {0: 0.063, 19: 0.01}, {7: 0.062, 3: 0.01}, {(7, 3): 0.228, (3, 0): 0.1})
SEGMENT = InSegments(0, 0.12, 0.69, 0.46, "moon")
REPORTS = {
    "all": WordReport(YAK, judge(CASES["never taught"]), landing(0.1), SPREAD, (ON_HOUSE, OFF_HOUSE), SEGMENT),
    "one step": WordReport(
        STAR, judge(CASES["usual"]), landing(0.1, where="in the middle"), replace(SPREAD, by_step={0: 0.02})
    ),
    "two apart": WordReport(
        replace(YAK, known=True), judge(CASES["usual"]), landing(0.1), SPREAD, (OFF_HOUSE, OFF_HOUSE),
        replace(SEGMENT, best_word="yak"),
    ),
    "none there": WordReport(STAR, judge(CASES["usual"]), landing(0.0), SPREAD, (), replace(SEGMENT, best_word=None)),
    "not read": WordReport(STAR, judge(CASES["cut off"])),
}  # fmt: skip


@pytest.mark.parametrize("is_measured", [True, False])
@pytest.mark.parametrize("name", REPORTS)
def test_what_is_told_of_a_word_is_alike(name, is_measured):
    assert_alike(word_sentences(REPORTS[name], is_measured))


def test_what_is_told_of_a_run_is_alike():
    budget = Budget(0.117, 0.01, 0.033, 0.002, 0.8, 0.038)
    assert_alike(run_sentences(budget, ["Ablate('star')"], 0.25))
    assert_alike(run_sentences(replace(budget, other_text=0, elsewhere=0), []))
    assert_alike(run_sentences(budget, []))
    assert_alike(limits(True) + limits(False))


def test_a_whole_explanation_is_alike():
    explanation = attnscope.explain(made_trace(kinds=("self", "cross")))
    english, japanese = explanation.sentences(), explanation.sentences(language="ja")
    assert len(english) == len(japanese) > 10
    for one, other in zip(english, japanese, strict=True):
        assert numbers(one) == numbers(other), (one, other)
        assert JAPANESE.search(other)
    assert explanation.to_dict("ja")["sentences"] == japanese
    assert explanation.text() == str(explanation)
    assert explanation.to_dict("ja")["words"][0]["landing"] == explanation.to_dict()["words"][0]["landing"]
    with pytest.raises(ParameterError, match="language is 'de'; expected one of en, ja"):
        explanation.sentences("de")


def test_an_explanation_can_be_told_of_another_word():
    trace = made_trace(kinds=("self", "cross"))
    all_words = attnscope.explain(trace)
    assert all_words.about(all_words["cat"]).text("ja") == attnscope.explain(trace, "cat").text("ja")


@pytest.mark.slow
def test_what_an_edit_did_is_alike():
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    with attnscope.capture(pipe) as trace:
        pipe("a red house", num_inference_steps=2, generator=torch.Generator().manual_seed(0))
    explanation = attnscope.explain(trace, "house", pipe=pipe)
    told = word_sentences(explanation.word, explanation.is_measured)
    assert sum(sentence.text is texts.EFFECT for sentence in told) == 2
    assert all(sentence.holds(texts.MOST_IN_SEGMENT) for sentence in told if sentence.text is texts.EFFECT)
    assert_alike(told)
