"""The measuring of explanations: its prompts, and its counts."""

from collections import Counter

import pytest

from attnscope.explaining.measure import IN_ITS_PLACE, UNKNOWN, prompts
from attnscope.explaining.reliability import WAYS, Judged, Reliability, table


def test_prompts_leave_out_one_thing_in_the_way_that_they_say():
    asked = prompts(20)
    assert Counter(one.way for one in asked) == {way: 2 * many for way, many in WAYS.items()}
    for one in asked:
        caption = one.scene.caption
        if one.way == "as asked":
            assert (one.prompt, one.read, one.left_out) == (caption, caption, None)
        elif one.way == "unknown word":
            assert one.left_out in UNKNOWN
            assert one.prompt == one.read != caption
        else:
            assert one.prompt == caption
            assert one.left_out in one.scene.colours
        if one.way == "other embedding":
            assert one.read.split().count(IN_ITS_PLACE) == caption.split().count(IN_ITS_PLACE) + 1
            assert len(one.read.split()) == len(caption.split())


def test_the_same_prompts_come_again():
    assert [one.prompt for one in prompts(10)] == [one.prompt for one in prompts(10)]
    assert [one.prompt for one in prompts(10)] != [one.prompt for one in prompts(10, first_seed=90_000)]


def word(prompt, name, is_there, says, *, left_out=False):
    return Judged("edit", hash(prompt), prompt, name, "thing", is_there, left_out, says, "drawn")


WORDS = [
    word("one", "star", False, "not drawn", left_out=True),
    word("one", "house", True, "drawn"),
    word("two", "star", True, "not drawn"),
    word("two", "house", True, "unclear"),
    word("three", "star", False, "drawn", left_out=True),
    word("three", "house", False, "not drawn"),
    word("four", "house", True, "drawn"),
]


def test_counts_are_those_counted_by_hand():
    counted = Reliability.of(WORDS)
    assert (counted.accused, counted.rightly, counted.absent, counted.there) == (3, 2, 3, 4)
    assert (counted.left_out, counted.left_out_found, counted.unclear) == (2, 1, 1)
    assert (counted.obedient, counted.obedient_accused) == (2, 1)


def test_the_table_has_a_column_for_each_way():
    assert [column.header for column in table(WORDS).columns] == ["measure", "all", *WAYS]


@pytest.mark.thorough
@pytest.mark.slow
def test_words_of_the_demo_model_are_judged():
    from attnscope.demo.recognition import Recogniser
    from attnscope.explaining import measure
    from attnscope.pipelines import load_pipeline

    pipe = load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    asked = [one for one in prompts(10) if one.way in ("edit", "other embedding", "unknown word")][::2]
    words = list(measure.judged(pipe, Recogniser().eval(), asked))
    assert {word.prompt for word in words} == {one.prompt for one in asked}
    left_out = [word for word in words if word.left_out]
    assert [word.says for word in left_out] == ["not drawn"] * len(asked)
