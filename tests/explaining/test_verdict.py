"""What the evidence says, case by case."""

from dataclasses import replace

import pytest

from attnscope.explaining.landing import Landing, Overlap
from attnscope.explaining.reading import ReadWord, Vocabulary
from attnscope.explaining.usual import Strength, Usual
from attnscope.explaining.verdict import Case, Verdict, judge
from attnscope.records import TokenSpan
from attnscope.testing.made_traces import made_trace

STAR = ReadWord(TokenSpan("star", 6, 10, (3,)), ("star",), "", True, False)
DEMO = Usual({"star": Strength(0.2, 0.02), "red": Strength(0.08, 0.01)}, is_known=True, is_measured=True)
OTHER = Usual()


def landing(peak, leads=0.2, share=None):
    return Landing(peak / 10 if share is None else share, 1, peak, (0, 0), "top left", 0.1, 0.3, leads)


def case(peak=0.2, usual=DEMO, **more):
    return Case(STAR, landing(peak), usual, **{"strongest": ("house", 0.35), **more})


@pytest.mark.parametrize(
    ("share", "peak", "says"),
    [
        (0.1, 0.1, "not drawn"),
        (0.49, 0.69, "not drawn"),
        (0.51, 0.1, "unclear"),
        (0.1, 0.71, "unclear"),
        (0.64, 0.84, "unclear"),
        (0.66, 0.1, "drawn"),
        (0.1, 0.86, "drawn"),
        (1.6, 1.6, "drawn"),
    ],
)
def test_a_known_word_is_compared_with_what_it_usually_gets(share, peak, says):
    verdict = judge(Case(STAR, landing(0.2 * peak, share=0.02 * share), DEMO, strongest=("house", 0.35)))
    assert verdict.says == says
    assert verdict.is_measured
    assert "usually gives it 2.0 % and 20.0 %" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("peak", "leads", "says"),
    [
        (0.03, 0.3, "not drawn"),
        (0.05, 0.0, "not drawn"),
        (0.05, 0.03, "unclear"),
        (0.05, 0.2, "drawn"),
        (0.12, 0.0, "unclear"),
        (0.3, 0.0, "drawn"),
    ],
)
def test_a_word_of_another_model_is_compared_with_the_others(peak, leads, says):
    verdict = judge(Case(replace(STAR, known=None), landing(peak, leads), OTHER, strongest=("house", 0.35)))
    assert verdict.says == says
    assert not verdict.is_measured


def test_a_word_alone_of_another_model_is_not_judged():
    assert judge(case(usual=OTHER, strongest=None)).says == "unclear"


def test_a_word_that_the_model_was_never_taught_was_not_drawn():
    yak = replace(STAR, span=TokenSpan("yak", 6, 9, (3, 4, 5)), pieces=("y", "a", "k"), known=False)
    verdict = judge(Case(yak, landing(0.5), DEMO))
    assert verdict.says == "not drawn"
    assert "3 pieces (y, a, k)" in verdict.reasons[0]


def test_a_word_that_was_cut_off_was_not_read():
    verdict = judge(Case(replace(STAR, lost="was cut off"), None, DEMO))
    assert verdict.says == "not read"
    assert "was cut off" in verdict.reasons[0]


def test_a_word_that_means_nothing_visible_is_not_accused():
    assert judge(Case(replace(STAR, is_function=True), landing(0.0), DEMO)).says == "shows nothing"


def test_attention_that_an_edit_took_away_is_named():
    verdict = judge(case(0.0, edits=("Ablate('star')",)))
    assert verdict.says == "not drawn"
    assert "Ablate('star')" in verdict.reasons[0]


def on(alike):
    return Overlap("house", alike, 0.1, alike)


@pytest.mark.parametrize(
    ("of_head", "alike", "says"),
    [
        ("drawn", 0.9, "drawn"),
        ("drawn", 0.2, "unclear"),
        ("unclear", 0.9, "unclear"),
        ("not drawn", 0.9, "unclear"),
    ],
)
def test_a_word_right_before_another_shows_on_that_one(of_head, alike, says):
    verdict = judge(case(0.02, head=("house", Verdict(of_head, ())), on_head=on(alike)))
    assert verdict.says == says
    assert "'house'" in verdict.reasons[0]


def test_of_a_picture_that_was_only_read_no_word_is_called_drawn():
    read = replace(DEMO, is_read=True, is_measured=False)
    verdict = judge(case(0.3, usual=read))
    assert verdict.says == "unclear"
    assert "only read" in verdict.reasons[-1]
    assert judge(case(0.01, usual=read)).says == "not drawn"


def test_an_even_map_is_no_drawn_thing():
    even = replace(landing(0.3), area=1.0)
    verdict = judge(Case(replace(STAR, known=None), even, OTHER, strongest=("house", 0.35)))
    assert (verdict.says, "fills 100 %" in verdict.reasons[0]) == ("unclear", True)


@pytest.mark.parametrize(
    ("pipeline", "steps", "is_read"),
    [
        ("StableDiffusionXLPipeline", 1, False),  # a distilled model's
        ("StableDiffusionDiffEditPipeline", 1, True),
        ("StableDiffusionDiffEditPipeline", 20, False),
        ("PhotoPipeline", 50, True),
        (None, None, True),
    ],
)
def test_a_picture_is_only_read_where_none_is_made(pipeline, steps, is_read):
    trace = made_trace()
    trace.run.pipeline, trace.run.planned_steps = pipeline, steps
    usual = Usual.of(Vocabulary(trace), trace)
    assert (usual.is_read, usual.is_measured) == (is_read, False)


def test_what_is_usual_for_a_phrase_is_made_of_its_words():
    assert DEMO.strength_of("Red star") == pytest.approx((0.14, 0.03))
    assert DEMO.strength_of("yak") is None
