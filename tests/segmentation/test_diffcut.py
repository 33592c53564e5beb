"""method="diffcut": segments by features of photos and of traces, and what is said where there are none."""

import json

import numpy as np
import pytest
import torch

import attnscope
from attnscope.demo.scenes import scene
from attnscope.demo.scoring import matched_iou
from attnscope.diffseg import segment_map
from attnscope.errors import KeywordError, ModelError, NumbersError, ParameterError, SelectionError
from attnscope.evaluation.kept import read_evidence, save_evidence
from attnscope.ncut import feature_cut
from attnscope.photos.latents import noised, photo_latent, photo_tensor
from attnscope.photos.photo_pipeline import PhotoPipeline
from attnscope.pictures.reading import decoded_picture
from attnscope.segmentation.features import features_of, usual_module
from attnscope.segmentation.methods.diffcut import DiffCutRecipe
from attnscope.testing.transformers import tiny_transformer

LAST = "down_blocks.2.attentions.1.transformer_blocks.0.attn1"
FINE = "down_blocks.0.attentions.1.transformer_blocks.0.attn1"


@pytest.fixture(scope="module")
def demo():
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def drawn():
    return scene(40003)


@pytest.fixture(scope="module")
def cut(demo, drawn):
    return attnscope.segment(drawn.pil_image, demo, method="diffcut")


@pytest.fixture(scope="module")
def trace(demo):
    with attnscope.capture(demo, outputs=[LAST], kind="self") as trace:
        demo("a red house on grass", num_inference_steps=2, generator=torch.Generator().manual_seed(0))
    return trace


def by_a_plain_hook(pipe, picture, path, timestep, seed):
    """The output of a module in a pass of our own, without any capture."""
    latent = photo_latent(pipe, photo_tensor(decoded_picture(picture), (256, 256), smooth=True))
    seen = []
    handle = pipe.unet.get_submodule(path).register_forward_hook(lambda *args: seen.append(args[2].clone()))
    try:
        PhotoPipeline(pipe)("", noised(pipe, latent, timestep, seed), torch.tensor([timestep]))
    finally:
        handle.remove()
    (output,) = seen
    return output[0]


def test_features_are_the_output_of_the_last_self_attention_on_the_way_down(demo, drawn, cut):
    assert usual_module(demo) == LAST
    expected = by_a_plain_hook(demo, drawn.pil_image, LAST, 50, 42)
    assert torch.equal(cut.evidence.features, expected.reshape(8, 8, -1))
    assert cut.origin["features"] == {"module": LAST, "timestep": 50, "noise_seed": 42}
    assert (cut.origin["timestep"], cut.origin["noise_seed"]) == (50, 42)


def test_segments_are_those_of_the_function(drawn, cut):
    maps = feature_cut(cut.evidence.features)
    torch.testing.assert_close(cut.merged, maps)
    labels = segment_map(maps, drawn.segments.shape).numpy()
    assert np.array_equal(cut.labels, labels)
    assert cut.recipe == DiffCutRecipe()
    assert json.loads(json.dumps(cut.to_dict()))["recipe"]["method"] == "diffcut"
    assert matched_iou(cut.labels, drawn.segments) > 0.5


def test_other_methods_work_on_the_same_evidence_and_back(cut):
    assert cut.again(method="diffseg").again(method="diffcut") == cut
    assert cut.again(method="ncut").recipe.method == "ncut"
    assert len(cut.again(limit=0.9, most=2)) == 2
    assert cut.again(fit=True).recipe.fit


def test_features_beside_another_method_are_diffcuts_own_and_change_nothing_else(demo, drawn, cut):
    plain = attnscope.segment(drawn.pil_image, demo)
    both = attnscope.segment(drawn.pil_image, demo, features=LAST)
    assert both == plain
    assert torch.equal(both.aggregated, plain.aggregated)
    assert both.again(method="diffcut") == cut
    with pytest.raises(ParameterError, match="none were kept here: segment the photo with method='diffcut'"):
        plain.again(method="diffcut")


def test_timestep_noise_and_module_may_be_chosen(demo, drawn):
    choice = {"timestep": 200, "noise_seed": 7, "features": FINE}
    segmented = attnscope.segment(drawn.pil_image, demo, method="diffcut", **choice)
    expected = by_a_plain_hook(demo, drawn.pil_image, FINE, 200, 7)
    assert torch.equal(segmented.evidence.features.flatten(0, 1), expected)
    assert segmented.evidence.features.shape[:2] == (32, 32)


def test_names_come_from_words(demo, drawn):
    segmented = attnscope.segment(drawn.pil_image, demo, method="diffcut", labels=drawn.parts)
    assert set(filter(None, segmented.names)) <= set(drawn.parts)
    assert any(segmented.names)


def test_a_trace_is_cut_by_what_was_captured(trace):
    segmented = attnscope.segment(trace, method="diffcut")
    expected = trace.output(LAST, branch="cond", image=0, mean="step").reshape(8, 8, -1)
    assert torch.equal(segmented.evidence.features, expected)
    assert segmented.origin["features"] == LAST
    last = attnscope.segment(trace, method="diffcut", steps=[1])
    assert torch.equal(
        last.evidence.features.flatten(0, 1), trace.output(LAST, step=1, branch="cond", image=0)
    )


def test_a_trace_of_outputs_alone_lacks_the_attention_that_every_evidence_has(demo):
    with attnscope.capture(demo, outputs=[LAST], qk=False) as alone:
        demo("a house", num_inference_steps=1, output_type="latent")
    with pytest.raises(SelectionError, match="only outputs of modules: capture without qk=False"):
        attnscope.segment(alone, method="diffcut")
    maps = feature_cut(features_of(alone, LAST))
    assert segment_map(maps, (64, 64)).shape == (64, 64)


def test_a_saved_trace_gives_the_same(trace, tmp_path):
    folder = trace.save(tmp_path / "run.trace")
    assert attnscope.segment(folder, method="diffcut") == attnscope.segment(trace, method="diffcut")
    beside = attnscope.segment(folder, features=LAST)
    assert beside.again(method="diffcut") == attnscope.segment(trace, method="diffcut")


def test_traces_that_do_not_say_which_features_are_refused_with_the_remedy(demo, trace):
    with attnscope.capture(
        demo, outputs=[LAST, FINE, "time_embedding", "down_blocks.1"], kind="self"
    ) as several:
        demo("a house", num_inference_steps=1, output_type="latent")
    with pytest.raises(SelectionError, match="outputs of 4 modules: choose the features with features="):
        attnscope.segment(several, method="diffcut")
    with pytest.raises(
        SelectionError, match=r"output of time_embedding has shape \(128,\), which are not places"
    ):
        attnscope.segment(several, method="diffcut", features="time_embedding")
    pictures = attnscope.segment(several, method="diffcut", features="down_blocks.1")
    assert pictures.evidence.features.shape[:2] == several.output("down_blocks.1").shape[-2:]
    with pytest.raises(SelectionError, match="output 'mid_block': this trace has"):
        attnscope.segment(trace, method="diffcut", features="mid_block")
    with attnscope.capture(demo, kind="self") as without:
        demo("a house", num_inference_steps=1, output_type="latent")
    with pytest.raises(SelectionError, match="no output of any module: capture the run with outputs="):
        attnscope.segment(without, method="diffcut")


def test_the_grid_of_tokens_follows_from_the_latent_where_no_layer_tells(demo):
    path = "down_blocks.1.attentions.0.transformer_blocks.0.ff"
    with attnscope.capture(demo, outputs=[path], blocks=[16], kind="self") as trace:
        demo("a house", num_inference_steps=1, height=128, width=192, output_type="latent")
    assert features_of(trace, path).shape[:2] == (8, 12)


def test_numbers_that_give_no_features_are_one_error(trace, tmp_path):
    broken = attnscope.load_trace(trace.save(tmp_path / "run.trace"))
    broken.records.output = lambda call, path: torch.full((2, 64, 96), float("nan"))
    with pytest.raises(NumbersError, match="NaN or infinite numbers: the run overflowed"):
        features_of(broken, LAST)


def test_a_transformer_needs_the_name_of_a_module(tmp_path):
    pytest.importorskip("diffusers", minversion="0.42", reason="transformers are tried with diffusers 0.42")
    pipe = tiny_transformer("sd3", tmp_path)
    with pytest.raises(ModelError, match="none: name the module whose output to take, features="):
        attnscope.segment(scene(3).pil_image, pipe, method="diffcut")
    path = next(path for path, _ in pipe.transformer.named_modules() if path.endswith("attn"))
    segmented = attnscope.segment(scene(3).pil_image, pipe, method="diffcut", features=path)
    assert segmented.evidence.features.shape[:2] == segmented.aggregated.shape[:2]


def test_choices_of_other_methods_are_refused(demo, drawn):
    with pytest.raises(KeywordError, match="a diffcut recipe has no 'power'"):
        attnscope.segment(drawn.pil_image, demo, method="diffcut", power=2)
    with pytest.raises(ParameterError, match="weak is -1"):
        DiffCutRecipe(weak=-1)


def test_it_is_compared_by_its_own_pass(demo, drawn, cut, trace):
    compared = attnscope.compare(drawn.pil_image, demo, methods=["ncut", "diffcut"], truth=drawn.segments)
    assert compared["diffcut"] == cut
    assert compared["ncut"] == attnscope.segment(drawn.pil_image, demo, method="ncut")
    of_trace = attnscope.compare(trace, methods=["diffcut"])
    assert of_trace["diffcut"] == attnscope.segment(trace, method="diffcut")


def test_kept_evidence_has_features(cut, tmp_path):
    save_evidence(cut.evidence, tmp_path / "a.npz", "key")
    again = read_evidence(tmp_path / "a.npz", "key")
    assert torch.equal(again.features, cut.evidence.features)


def test_an_evaluation_keeps_the_passes_of_methods_apart(tmp_path):
    common = {"output": tmp_path, "protocol": "per-image", "resamples": 0, "keep": True}
    plain = attnscope.evaluation.evaluate("scenes:2", **common)
    by_features = attnscope.evaluation.evaluate("scenes:2", method="diffcut", **common)
    cuts = attnscope.evaluation.evaluate("scenes:2", method="ncut", **common)
    assert len(list((tmp_path / "attention").iterdir())) == 2  # one of diffseg and ncut, one of diffcut
    assert {result.pictures for result in (plain, by_features, cuts)} == {2}
