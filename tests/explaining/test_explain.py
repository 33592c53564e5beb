"""`attnscope.explain` on traces made by hand, of a tiny model, and of the demo model."""

import json

import numpy as np
import pytest
import torch

import attnscope
from attnscope.errors import ParameterError, RepeatError, SelectionError, WordError
from attnscope.testing import made_trace
from attnscope.trace.tokens import unnamed_tokens


@pytest.fixture
def trace(pipe, seeded):
    with attnscope.capture(pipe) as trace:
        pipe("a red cat and the star", num_inference_steps=2, generator=seeded())
    return trace


def test_numbers_are_those_of_the_heat_map(trace):
    report = attnscope.explain(trace, "star").word
    heat = attnscope.heat_map(trace, "star")
    assert np.array_equal(report.heat, heat)
    assert report.landing.share == pytest.approx(float(heat.array.mean()))
    assert report.landing.peak_at == heat.peak
    assert report.spread.share == pytest.approx(report.landing.share, rel=1e-3)


def test_a_word_of_several_tokens_gets_what_they_get_together(pipe, seeded):
    with attnscope.capture(pipe) as trace:
        pipe("a yak on grass", num_inference_steps=2, generator=seeded())
    report = attnscope.explain(trace, "yak").word
    assert report.landing.share == pytest.approx(3 * float(attnscope.heat_map(trace, "yak").array.mean()))


def test_without_a_word_all_that_may_show_something_are_explained(trace):
    explanation = attnscope.explain(trace)
    assert [report.word for report in explanation.asked] == ["red", "cat", "star"]
    assert [report.word for report in explanation.words] == ["a", "red", "cat", "and", "the", "star"]
    with pytest.raises(ParameterError, match="3 words are explained"):
        explanation.word


def test_a_phrase_is_explained_beside_the_words_that_it_shares_no_token_with(trace):
    report = attnscope.explain(trace, "red cat").word
    assert [overlap.other for overlap in report.overlaps] == ["star"]


def test_on_which_word_another_lies_is_asked_by_name(trace):
    explanation = attnscope.explain(trace)
    red, cat = attnscope.heat_map(trace, "red").array, attnscope.heat_map(trace, "cat").array
    common = np.minimum(red / red.sum(), cat / cat.sum()).sum()
    assert explanation["red"].on("Cat").alike == pytest.approx(float(common), rel=1e-4)
    with pytest.raises(WordError, match="compared with 'cat', 'star', not with 'dog'"):
        explanation["red"].on("dog")
    with pytest.raises(WordError, match="words are 'a', 'red'"):
        explanation["dog"]


def test_everything_is_plain_data(trace):
    plain = attnscope.explain(trace).to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["budget"]["lost"] > 0
    assert len(plain["words"]) == 6


def test_a_model_that_nothing_was_measured_on_is_told_so(trace):
    explanation = attnscope.explain(trace, "star")
    assert not explanation.is_measured
    assert "may not suit this" in str(explanation)


def test_what_attention_cannot_prove_is_said(trace):
    assert "not what was painted there" in str(attnscope.explain(trace, "star"))


def test_a_word_that_was_cut_off_is_explained(pipe, seeded):
    with attnscope.capture(pipe) as trace:
        pipe("a cat " + "and the cat " * 30 + "on a star", num_inference_steps=1, generator=seeded())
    explanation = attnscope.explain(trace, "star")
    assert explanation.word.verdict.says == "not read"
    assert "'star' was not read." in str(explanation)
    assert "was cut off" in str(explanation)
    assert next(picture[1] for picture in explanation.pictures()) == "the picture"


def test_a_word_that_the_prompt_lacks_is_an_error(trace):
    with pytest.raises(WordError, match="no word 'dog'"):
        attnscope.explain(trace, "dog")


def test_a_trace_without_self_attention_has_no_segments():
    explanation = attnscope.explain(made_trace(kinds=("cross",)), "cat")
    assert explanation.segments is None
    assert explanation.word.segment is None
    assert "segment" not in str(explanation)


def test_segments_can_be_left_out_or_given():
    trace = made_trace(kinds=("self", "cross"))
    assert attnscope.explain(trace, "cat", segments=False).segments is None
    mine = attnscope.segment_trace(trace, thresholds=0.2)
    assert attnscope.explain(trace, "cat", segments=mine).segments is mine


def test_a_trace_of_self_attention_alone_is_refused():
    with pytest.raises(SelectionError, match="holds no cross-attention"):
        attnscope.explain(made_trace(kinds=("self",)), "cat")


def test_the_negative_prompt_has_words_of_its_own():
    explanation = attnscope.explain(made_trace(), "cat", branch="uncond")
    assert explanation.prompt == "cat"
    assert explanation.word.read.span.tokens == (1,)


def test_the_second_picture_of_a_batch_has_numbers_of_its_own():
    trace = made_trace(images=2)
    first, second = (attnscope.explain(trace, "cat", image=image).word.landing for image in (0, 1))
    assert first.share != second.share
    with pytest.raises(SelectionError):
        attnscope.explain(trace, "cat", image=2)


def test_the_second_of_two_equal_words_has_a_number(pipe, seeded):
    with attnscope.capture(pipe, kind="cross") as trace:
        pipe("a cat and a star and a cat", num_inference_steps=1, generator=seeded())
    explanation = attnscope.explain(trace, "star")
    assert [overlap.other for overlap in explanation.word.overlaps] == ["cat", "cat (2)"]
    first, second = explanation.word.on("cat"), explanation.word.on("cat (2)")
    assert first.alike != second.alike
    assert attnscope.explain(trace, "cat", occurrence=1).word.read.span.tokens == (8,)


def test_a_photo_that_was_read_has_no_word_that_is_called_drawn(pipe):
    from attnscope.demo.scenes import scene

    trace = attnscope.read_photo(pipe, scene(3, size_px=128).pil_image, "a cat on grass and a star")
    explanation = attnscope.explain(trace)
    assert not explanation.is_measured
    assert {report.verdict.says for report in explanation.asked} <= {"unclear", "not drawn"}
    with pytest.raises(RepeatError, match="but of a photo or of the model alone"):
        attnscope.explain(trace, "cat", pipe=pipe)


def test_tokens_without_names_are_explained_by_number():
    trace = made_trace()
    trace.run.prompts, trace.run.tokens = [], [unnamed_tokens(5)]
    with pytest.raises(WordError, match="use token numbers, 0 to 4"):
        attnscope.explain(trace, "cat")
    report = attnscope.explain(trace, 3).word
    assert report.landing.share == pytest.approx(float(attnscope.heat_map(trace, 3).array.mean()))
    with pytest.raises(WordError, match="token 9: the text has tokens 0 to 4"):
        attnscope.explain(trace, 9)


def test_a_span_is_explained_as_it_is():
    trace = made_trace()
    span = trace.span("cat")
    assert attnscope.explain(trace, span).word.read.span == span


def test_start_and_padding_tokens_show_nothing():
    assert attnscope.explain(made_trace(), "<start>").word.verdict.says == "shows nothing"


def test_a_trace_on_disk_says_the_same(tmp_path):
    trace = made_trace()
    trace.save(tmp_path / "t.trace")
    assert str(attnscope.explain(tmp_path / "t.trace", "cat")) == str(attnscope.explain(trace, "cat"))


def test_it_draws_itself(trace):
    import matplotlib.pyplot as plt

    explanation = attnscope.explain(trace, "star")
    axes = explanation.plot()
    assert axes.size == len(explanation.pictures()) == 3
    plt.close("all")
    with pytest.raises(ParameterError, match="2 axes for 3 pictures"):
        explanation.plot(plt.subplots(1, 2)[1])
    plt.close("all")


@pytest.mark.slow
def test_the_demo_model_did_not_draw_the_elephant_but_the_house():
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    said = {}
    for prompt in ("a red elephant on the moon", "a red house on grass under the sky"):
        with attnscope.capture(pipe, kind="cross") as trace:
            pipe(
                prompt, num_inference_steps=10, guidance_scale=3.0, generator=torch.Generator().manual_seed(0)
            )
        said[prompt] = attnscope.explain(trace)
    moon, house = said.values()
    assert moon["elephant"].verdict.says == "not drawn"
    assert moon.is_measured
    assert "'elephant' was not drawn" in str(moon)
    assert "never taught" in str(moon)
    assert house.not_drawn == ()
    assert {report.word: report.verdict.says for report in house.asked} == dict.fromkeys(
        ("red", "house", "grass", "sky"), "drawn"
    )
    assert house["red"].on("house").lies_together
    assert not house["red"].on("grass").lies_together


@pytest.mark.thorough
@pytest.mark.slow
def test_a_word_that_an_edit_took_away_is_accused_and_the_others_are_not():
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    with attnscope.capture(pipe, kind="cross") as trace, attnscope.edit(pipe, attnscope.Ablate("sun")):
        pipe(
            "a green tree and a sun over grass under the sky",
            num_inference_steps=10,
            guidance_scale=3.0,
            generator=torch.Generator().manual_seed(0),
        )
    explanation = attnscope.explain(trace)
    assert explanation.not_drawn == ("sun",)
    assert "Ablate('sun')" in str(explanation)
