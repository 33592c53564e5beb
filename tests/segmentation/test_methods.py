"""Methods beside DiffSeg at its given thresholds, on the same attention."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import attnscope
from attnscope.demo.scenes import scene
from attnscope.demo.scoring import matched_iou
from attnscope.diffseg.automatic import automatic_threshold
from attnscope.errors import KeywordError, ParameterError
from attnscope.ncut import normalized_cut
from attnscope.segmentation import result
from attnscope.segmentation.edges import edge_image
from attnscope.segmentation.features import usual_module
from attnscope.segmentation.methods import METHODS, recipe_for
from attnscope.segmentation.methods.ncut import NcutRecipe
from attnscope.segmentation.methods.words import WordsRecipe
from attnscope.segmentation.picture_edges import fit_to_picture

WORDS = ("house", "sun", "sky", "grass")


@pytest.fixture(scope="module")
def pipe():
    return attnscope.load_pipeline("demo")


@pytest.fixture(scope="module")
def drawn():
    return scene(3)


@pytest.fixture(scope="module")
def found(pipe, drawn):
    return attnscope.segment(drawn.pil_image, pipe, labels=drawn.parts, features=usual_module(pipe))


def test_an_automatic_threshold_is_said_and_used(pipe, drawn, found):
    automatic = attnscope.segment(drawn.pil_image, pipe, thresholds="auto", labels=drawn.parts)
    tau = automatic_threshold(automatic.evidence.merger())
    assert automatic.recipe.thresholds == (tau,) * 3
    assert automatic.recipe.threshold_source == "auto"
    assert automatic == found.again("auto") == found.again(tau)
    assert automatic.again(unite=False).recipe.thresholds == (tau,) * 3
    assert (
        found.again("auto", passes=2).recipe.thresholds[1:]
        == found.again("auto", passes=2).recipe.thresholds[:1]
    )
    assert json.loads(json.dumps(automatic.to_dict()))["recipe"]["threshold_source"] == "auto"


def test_every_method_works_on_a_photo_and_on_the_same_attention(pipe, drawn, found):
    for method in METHODS:
        segmented = attnscope.segment(drawn.pil_image, pipe, method=method, labels=drawn.parts)
        assert segmented.recipe.method == method == segmented.to_dict()["recipe"]["method"]
        if method != "diffcut":  # whose words are of another timestep, too
            assert segmented == found.again(method=method)
        assert segmented.labels.shape == drawn.segments.shape
        assert segmented.labels.max() + 1 == len(segmented) == len(segmented.names)
        assert str(segmented.recipe) in repr(segmented)
        assert matched_iou(segmented.labels, drawn.segments) > 0.5


def test_normalised_cuts_are_those_of_the_function(found):
    cut = found.again(method="ncut", limit=0.3)
    maps = normalized_cut(found.aggregated, limit=0.3)
    torch.testing.assert_close(cut.merged, maps)
    assert cut.again(limit=0.9, most=2).recipe == NcutRecipe(limit=0.9, most=2)
    assert len(found.again(method="ncut", limit=0.9, most=2, unite=False)) == 2


def test_another_method_keeps_what_is_not_its_own(found):
    apart = found.again(unite=False, fit=True).again(method="ncut")
    assert apart.recipe == NcutRecipe(unite=False, fit=True)
    assert apart.again(method="words").recipe == WordsRecipe(fit=True)


def test_words_become_segments_and_the_rest_has_no_name(pipe, drawn):
    things = [word for word in drawn.parts if word not in ("sky", "grass")][:1]
    segmented = attnscope.segment(drawn.pil_image, pipe, method="words", labels=things)
    assert set(segmented.names) == {None, things[0]}
    everywhere = segmented.again(background=0.0)
    assert everywhere.mask(things[0]).sum() > segmented.mask(things[0]).sum()


def test_words_need_labels(pipe, drawn):
    with pytest.raises(ParameterError, match="give them with labels="):
        attnscope.segment(drawn.pil_image, pipe, method="words")


def test_a_recipe_is_taken_as_it_is(pipe, drawn, found):
    recipe = NcutRecipe(most=3)
    assert attnscope.segment(drawn.pil_image, pipe, method=recipe, labels=drawn.parts).recipe is recipe


def test_traces_take_all_methods(pipe):
    with attnscope.capture(pipe, outputs=usual_module(pipe)) as trace:
        pipe("a red house on grass", num_inference_steps=2, output_type="latent")
    for method in METHODS:
        segmented = attnscope.segment(trace, method=method, labels=["house", "grass"])
        assert segmented.recipe.method == method
    assert attnscope.segment_trace(trace, thresholds="auto").recipe.threshold_source == "auto"


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"method": "cuts"}, ParameterError, "method is 'cuts'; expected one of"),
        ({"method": "ncut", "thresholds": 0.5}, KeywordError, "a ncut recipe has no 'thresholds'"),
        ({"method": "ncut", "preset": "reference"}, KeywordError, "a ncut recipe has no 'preset'"),
        ({"method": "words", "unite": False}, KeywordError, "a words recipe has no 'unite'"),
        ({"method": "ncut", "powr": 2}, KeywordError, "the nearest: 'power'"),
        ({"method": "diffseg", "power": 2}, KeywordError, "a diffseg recipe has no 'power'"),
        ({"promt": "a cat"}, KeywordError, "no 'promt'; the nearest: 'prompt'"),
        ({"method": "ncut", "time_step": 3}, KeywordError, "the nearest: 'timestep'"),
        ({"thresholds": "automatic"}, ParameterError, "or 'auto'"),
        ({"method": NcutRecipe(), "power": 2}, ParameterError, "power can't be given beside a recipe"),
        ({"method": "ncut", "weak": -1}, ParameterError, "weak is -1"),
    ],
)
def test_choices_that_a_method_does_not_have_are_refused(pipe, drawn, choices, error, message):
    with pytest.raises(error, match=message):
        attnscope.segment(drawn.pil_image, pipe, **choices)


def test_defaults_of_diffseg_are_no_choice():
    assert recipe_for("ncut", None, thresholds=None, passes=3, preset="paper", anchors=16) == NcutRecipe()


@pytest.mark.parametrize("method", METHODS)
def test_segments_are_drawn_to_the_pictures_edges(found, drawn, method):
    coarse = found.again(method=method)
    fitted = coarse.again(fit=True)
    assert fitted.recipe.fit
    assert (fitted.labels != coarse.labels).any()
    if method == "ncut":  # whose maps say how sure they are
        assert matched_iou(fitted.labels, drawn.segments) > matched_iou(coarse.labels, drawn.segments)
    assert fitted.merged.shape[1:] == coarse.merged.shape[1:]


def test_large_pictures_are_fitted_at_a_smaller_size(found, monkeypatch):
    seen = []
    monkeypatch.setattr(result, "MOST_FITTED_PX", 64 * 64)
    monkeypatch.setattr(
        result,
        "fit_to_picture",
        lambda maps, picture: seen.append(picture.size) or fit_to_picture(maps, picture),
    )
    assert found.again(fit=True).labels.shape == found.labels.shape
    assert seen == [(64, 64)]


def test_a_trace_without_a_picture_has_nothing_to_fit_to(pipe):
    with attnscope.capture(pipe) as trace:
        pipe("a red house on grass", num_inference_steps=1, output_type="latent")
    with pytest.raises(ParameterError, match="needs the picture"):
        attnscope.segment(trace, fit=True)


def test_edges_are_there_and_saved(found, tmp_path):
    assert found.edges.shape == found.aggregated.shape[:2]
    image = edge_image(found.edges, found.labels.shape)
    assert image.size == found.labels.shape[::-1]
    assert np.asarray(image).max() == 255
    paths = found.save(tmp_path / "scene", edges=True)
    assert [path.name for path in paths][-2:] == ["scene.edges.png", "scene.json"]
    with Image.open(paths[-2]) as saved:
        assert np.array_equal(np.asarray(saved), np.asarray(image))


@pytest.mark.thorough
@pytest.mark.slow
def test_an_automatic_threshold_is_as_good_as_the_best_fixed_one(pipe):
    fixed, automatic = [], []
    for seed in range(12):
        drawn = scene(seed)
        segmented = attnscope.segment(drawn.pil_image, pipe)
        fixed.append(matched_iou(segmented.labels, drawn.segments))
        automatic.append(matched_iou(segmented.again("auto").labels, drawn.segments))
    assert np.mean(automatic) >= np.mean(fixed) - 0.01
