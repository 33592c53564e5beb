"""The scale that all words share: the maxima of their maps, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnscope.errors import ParameterError, SelectionError, WordError
from attnscope.places import (
    View,
    block_words_maxima,
    head_words_maxima,
    word_block_maps,
    word_head_maps,
    word_map,
    words_maximum,
)
from attnscope.testing.made_traces import made_trace


@pytest.fixture(scope="module")
def trace():
    return made_trace(grids=((8, 12), (4, 6)), steps=3, heads=2, images=2)


VIEWS = [View(), View(block=1), View(block=2, head=1, step=0), View(step=2, branch="uncond", image=1)]


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_it_is_the_largest_value_of_all_words(trace, view):
    words = [word.tokens for word in trace.words(view.image, view.branch)]
    assert words
    expected = max(word_map(trace, view, tokens).max() for tokens in words)
    assert words_maximum(trace, view) == pytest.approx(float(expected), rel=1e-6)


def test_start_and_padding_do_not_count(trace):
    start = word_map(trace, View(), [0])
    assert words_maximum(trace, View()) != pytest.approx(float(start.max()))


def test_every_block_has_its_own(trace):
    words = [word.tokens for word in trace.words()]
    of_words = [dict(word_block_maps(trace, View(step=1), tokens)) for tokens in words]
    found = dict(block_words_maxima(trace, View(block=2, step=1)))
    together = pytest.approx(words_maximum(trace, View(step=1)), rel=1e-6)
    assert found == {None: together} | {
        block: pytest.approx(max(float(maps[block].max()) for maps in of_words), rel=1e-6) for block in (1, 2)
    }


@pytest.mark.parametrize("step", [None, 1])
def test_every_head_has_its_own_on_the_block_s_grid(trace, step):
    view = View(block=2, step=step)
    words = [word.tokens for word in trace.words()]
    of_words = [dict(word_head_maps(trace, view, tokens)) for tokens in words]
    found = dict(head_words_maxima(trace, replace(view, head=1)))
    assert found == {
        head: pytest.approx(max(float(maps[head].max()) for maps in of_words), rel=1e-6) for head in (0, 1)
    }


def test_what_is_not_there_is_said(trace):
    with pytest.raises(ParameterError, match="choose block="):
        list(head_words_maxima(trace, View()))
    with pytest.raises(SelectionError):
        words_maximum(trace, View(block=9))
    with pytest.raises(WordError, match="reads no words"):
        wordless = made_trace(steps=1)
        wordless.run.prompts = [""]
        words_maximum(wordless, View())
