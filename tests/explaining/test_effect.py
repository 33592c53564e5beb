"""A run is repeated from its seed with an edit, or refused with the true cause and a remedy that works."""

from contextlib import nullcontext

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import attnscope
from attnscope.errors import RepeatError
from attnscope.explaining.effect import SAME, Repetition, difference_of, effect_of, obstacles
from attnscope.heatmap.result import HeatMap
from capture_cases import leftovers

PROMPT = "a red cat and the star"


def captured(pipe, seed=0, edits=(), **options):
    options = {"num_inference_steps": 2, "generator": torch.Generator().manual_seed(seed), **options}
    with attnscope.capture(pipe) as trace, attnscope.edit(pipe, *edits) if edits else nullcontext():
        pipe(options.pop("prompt", PROMPT), **options)
    return trace


def test_what_a_word_did_is_what_the_edit_by_hand_does(pipe):
    explanation = attnscope.explain(captured(pipe), "cat", pipe=pipe)
    without, more = explanation.word.effects
    for effect, edit in ((without, attnscope.Ablate("cat")), (more, attnscope.Reweight("cat", 2.0))):
        with attnscope.edit(pipe, edit):
            picture = pipe(PROMPT, num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[
                0
            ]
        assert np.array_equal(effect.picture, picture)
        assert effect.mean == pytest.approx(difference_of(explanation.picture, picture).mean())
        assert effect.mean > 0
    assert without.edit == "Ablate('cat')"
    assert without.caption == "without 'cat'"
    assert leftovers(pipe) == []


def test_differences_of_places_and_segments_make_up_the_whole(pipe):
    explanation = attnscope.explain(captured(pipe), "cat", pipe=pipe)
    effect, labels = explanation.word.effects[0], explanation.segments.labels
    areas = {number: float((labels == number).mean()) for number in effect.by_segment}
    assert sum(areas[n] * mean for n, mean in effect.by_segment.items()) == pytest.approx(
        effect.mean, rel=1e-5
    )
    assert effect.elsewhere is None  # with random weights the map fills the picture
    assert effect.on_the_word == pytest.approx(effect.mean)
    assert "elsewhere" not in explanation.text()


HALF = torch.tensor([[1.0, 1.0, 0.0, 0.0]] * 4)


@pytest.mark.parametrize(("heat", "expected"), [(HALF, (8.0, 2.0)), (HALF * 0, (None, 5.0))])
def test_what_changes_on_a_word_and_elsewhere(heat, expected):
    before, after = Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4), (2, 2, 2))
    after.paste((8, 8, 8), (0, 0, 2, 4))
    effect = effect_of("Ablate('cat')", before, after, HeatMap.of(heat, "cat", (4, 4), None), None)
    assert (effect.on_the_word, effect.elsewhere) == expected


def test_a_run_of_a_batch_is_repeated_as_a_batch(pipe):
    trace = captured(pipe, prompt=["a star", PROMPT], negative_prompt=["a cat", "grass"])
    with torch.random.fork_rng():
        effect = attnscope.explain(trace, "cat", image=1, pipe=pipe).word.effects[0]
    assert effect.picture.size == trace.picture_of(1).size
    assert effect.mean > 0


def test_the_pipeline_is_left_as_it_was(pipe):
    trace = captured(pipe)
    pipe.scheduler.set_timesteps(7)
    before = pipe.scheduler.timesteps.clone()
    attnscope.explain(trace, "cat", pipe=pipe)
    assert torch.equal(pipe.scheduler.timesteps, before)


def test_a_run_without_a_seed_is_refused(pipe):
    trace = captured(pipe, generator=None)
    with pytest.raises(RepeatError, match="it had no seed; run it with generator=torch.Generator"):
        attnscope.explain(trace, "cat", pipe=pipe)


def test_another_scheduler_is_refused_and_the_remedy_works(pipe):
    trace = captured(pipe)
    other = diffusers.StableDiffusionPipeline(**pipe.components)
    other.set_progress_bar_config(disable=True)
    other.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    with pytest.raises(
        RepeatError, match="DDIMScheduler and the pipeline has EulerDiscreteScheduler"
    ) as refused:
        attnscope.explain(trace, "cat", pipe=other)
    remedy = str(refused.value).split("; ")[-2]
    exec(remedy, {"pipe": other, "diffusers": diffusers})
    assert attnscope.explain(trace, "cat", pipe=other).word.effects


def test_another_class_of_pipeline_is_refused(pipe):
    other = diffusers.StableDiffusionImg2ImgPipeline(**pipe.components)
    with pytest.raises(
        RepeatError, match="of a StableDiffusionPipeline and the pipeline is a StableDiffusionImg2Img"
    ):
        Repetition(captured(pipe), other)


def test_other_weights_are_seen_by_the_picture(pipe):
    trace = captured(pipe, seed=3)
    trace.run.seed = 4
    with pytest.raises(
        RepeatError, match=r"from seed 4 its picture differs by \d+\.\d of 255 levels"
    ) as refused:
        attnscope.explain(trace, "cat", pipe=pipe)
    assert float(str(refused.value).split("differs by ")[1].split()[0]) > SAME
    assert attnscope.explain(trace, "cat").word.effects == ()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"model": "someone/else"}, "of the model 'someone/else' and the pipeline has 'a/b'"),
        ({"pictures": []}, "holds no picture to compare with"),
        ({"planned_steps": None}, "the number of its steps is unknown"),
        ({"prompts": []}, "it got embeddings"),
        ({"pipeline": None}, "not of a pipeline's call that made a picture"),
        ({"frames": 2}, "it made a video"),
    ],
)
def test_what_a_trace_does_not_hold_is_named(pipe, monkeypatch, change, cause):
    monkeypatch.setattr(type(pipe), "name_or_path", "a/b", raising=False)
    trace = captured(pipe)
    for name, value in change.items():
        setattr(trace.run, name, value)
    assert any(cause in obstacle for obstacle in obstacles(trace, pipe, 0))


def test_what_a_trace_does_not_hold_can_be_given(pipe):
    options = {"eta": 0.9, "num_inference_steps": 4}
    trace = captured(pipe, **options)
    with pytest.raises(
        RepeatError, match=r"give arguments of its call, such as eta, as options=\{'eta': 0.5\}"
    ):
        attnscope.explain(trace, "cat", pipe=pipe)
    explanation = attnscope.explain(trace, "cat", pipe=pipe, options={"eta": 0.9})
    assert explanation.repeated == 0
    assert len(explanation.word.effects) == 2


def test_what_a_pipeline_says_is_told(pipe):
    with pytest.raises(RepeatError, match="StableDiffusionPipeline says .*guidance_rescale"):
        attnscope.explain(captured(pipe), "cat", pipe=pipe, options={"guidance_rescale": "much"})


def test_a_run_that_was_edited_is_refused(pipe):
    trace = captured(pipe, edits=[attnscope.Ablate("star")])
    with pytest.raises(RepeatError, match=r"its attention was edited \(Ablate\('star'\)\)"):
        attnscope.explain(trace, "cat", pipe=pipe)


def test_a_run_that_nothing_stands_in_the_way_of_has_no_obstacle(pipe):
    assert list(obstacles(captured(pipe), pipe, 0)) == []
