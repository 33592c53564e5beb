"""Transformers are planned as they run: from the configuration alone, and as a capture sees them."""

from __future__ import annotations

import inspect
import json
from contextlib import suppress

import diffusers
import pytest

import attnscope
from attnscope.atlas.families import FAMILIES, TRANSFORMERS
from attnscope.atlas.known import HUB_MODELS, MODELS
from attnscope.atlas.source import model_facts
from attnscope.errors import ModelError, ParameterError
from attnscope.records.relations import relations
from transformer_cases import CASES, HEIGHT, WIDTH, text_tokens

pytestmark = [
    pytest.mark.filterwarnings("ignore::attnscope.recording.running.passes.IncompleteCaptureWarning"),
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),  # Mochi's positions
]
SIZE = (HEIGHT, WIDTH)
PADDED = ("sd3", "flux", "pixart")  # families whose text has as many tokens in every run
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def saved_config(model):
    return json.loads(model.to_json_string())


@every_case
def test_the_plan_is_what_a_capture_sees(case, tmp_path):
    pipe = case.make(tmp_path)
    with attnscope.capture(pipe) as trace:
        case.run(pipe)
    facts, tokens = model_facts(pipe), text_tokens(case)
    asked = {"tokens": tokens} | ({"frames": case.frames} if case.frames > 1 else {})
    assert attnscope.layers(pipe, size=SIZE, **asked) == tuple(trace.layers)
    bare = tuple(side // facts.pixels_per_latent * facts.family.pixels_per_latent for side in SIZE)
    for model in (pipe.transformer, saved_config(pipe.transformer)):  # which do not know their autoencoder
        assert attnscope.layers(model, size=bare, **asked) == tuple(trace.layers)


@pytest.mark.parametrize("case", [case for case in CASES if case.family in PADDED], ids=str)
def test_the_text_is_as_long_as_the_pipelines_own_call_makes_it(case, tmp_path):
    pipe = case.make(tmp_path / "made")
    options = {name: value for name, value in case.options.items() if name != "max_sequence_length"}
    with attnscope.capture(pipe) as trace:
        pipe("a cat", height=32, width=48, num_inference_steps=1, output_type="latent", **options)
    pipe.transformer.save_config(tmp_path / "transformer")
    pipe.vae.save_config(tmp_path / "vae")
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": type(pipe).__name__}))
    assert attnscope.layers(pipe, size=(32, 48)) == tuple(trace.layers)
    assert attnscope.layers(tmp_path, size=(32, 48)) == tuple(trace.layers)


NUMBERS = {  # public knowledge: papers, model cards, diffusers' classes
    "sdxl": (70, 140, {4096, 1024}, {77}),
    "sdxl-refiner": (44, 88, {4096, 1024, 256}, {77}),
    "sd3": (24, 24, {4096}, {77 + 256}),
    "sd3.5-medium": (24, 24 + 13, {4096}, {77 + 256, 0}),
    "sd3.5-large": (38, 38, {4096}, {77 + 256}),
    "flux": (19 + 38, 19 + 38, {4096}, {512}),
    "pixart": (28, 56, {4096}, {120}),
    "pixart-sigma": (28, 56, {4096}, {300}),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_known_models_have_their_public_numbers(name):
    blocks, attentions, places, text = NUMBERS[name]
    layers = attnscope.layers(name)
    assert (len({layer.block for layer in layers}), len(layers)) == (blocks, attentions)
    assert {layer.grid.places for layer in layers} == places
    tokens = {
        layer.keys if layer.kind == "cross" else layer.keys - layer.grid.places
        for layer in layers
        if layer.kind != "self"
    }
    assert tokens == text


def test_flux_has_24_heads_of_128_in_19_double_and_38_single_blocks():
    layers = attnscope.layers("flux")
    assert {(layer.heads, layer.head_dim, layer.branches) for layer in layers} == {(24, 128, 1)}
    assert [layer.stage for layer in layers] == ["double"] * 19 + ["single"] * 38
    assert relations(layers[0]) == ("text->text", "text->image", "image->text", "image->image")


def test_second_attentions_of_stable_diffusion_3_5_medium_are_in_its_first_13_blocks():
    second = [layer.block for layer in attnscope.layers("sd3.5-medium") if layer.kind == "self2"]
    assert second == list(range(1, 14))


def test_kontext_looks_at_a_reference_picture():
    keys = attnscope.layers("black-forest-labs/FLUX.1-Kontext-dev")[0].parts
    assert [(part.name, part.keys) for part in keys] == [("context", 512), ("own", 4096), ("reference", 4096)]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_known_name_and_hub_id_is_planned(family):
    for name, known in family.known.items():
        layers = attnscope.layers(name)
        assert layers
        for hub_id in (*known.hub, *known.others):
            assert hub_id in HUB_MODELS
            assert len(attnscope.layers(hub_id)) == len(layers)
        assert MODELS[name][0] is family


@pytest.mark.parametrize("family", TRANSFORMERS, ids=lambda family: family.id)
def test_defaults_are_those_of_diffusers_class(family):
    parameters = inspect.signature(getattr(diffusers, family.models[0]).__init__).parameters
    own = {name: parameter.default for name, parameter in parameters.items()}
    assert {name: own[name] for name in family.defaults} == dict(family.defaults)


@pytest.mark.parametrize("family", TRANSFORMERS, ids=lambda family: family.id)
def test_every_pipeline_has_rows_and_every_text_a_length(family):
    assert {part.name for part in family.texts} <= set(family.text_lengths)
    for pipeline in family.pipelines:
        assert family.calls(pipeline, guidance=False)[0] == 1
        assert set(family.calls(pipeline, guidance=True)) <= {1, 2}


def test_an_older_configuration_of_pixart_is_one_too():
    older = {**saved_pixart(), "_class_name": "Transformer2DModel", "norm_type": "ada_norm_single"}
    assert attnscope.layers(older) == attnscope.layers(saved_pixart())
    with pytest.raises(ModelError, match="is a Transformer2DModel, which no family of models takes"):
        attnscope.layers({**older, "norm_type": "ada_norm_zero"})


def saved_pixart():
    return {**MODELS["pixart"][1].config, "_class_name": "PixArtTransformer2DModel"}


def test_a_model_of_no_family_is_refused_by_name(tmp_path):
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "config.json").write_text('{"_class_name": "StableAudioDiTModel"}')
    with pytest.raises(
        ModelError, match=r"is a StableAudioDiTModel, which no family of models takes \(U-Net, "
    ):
        attnscope.layers(tmp_path)
    with torch_device("meta"):
        dit = diffusers.DiTTransformer2DModel(num_layers=1)
    with pytest.raises(ModelError, match="is a DiTTransformer2DModel, which no family"):
        attnscope.layers(dit)


def test_frames_of_a_u_net_are_its_batch():
    with pytest.raises(
        ParameterError, match="each frame of a U-Net's video is a row of its batch; give batch="
    ):
        attnscope.layers("sd1", frames=2)


def torch_device(name):
    import torch

    return torch.device(name)


BAD = {
    "num_layers=-1": {"num_layers": -1},
    "num_layers=1000000000": {"num_layers": 10**9},
    "num_layers='two'": {"num_layers": "two"},
    "num_attention_heads=0": {"num_attention_heads": 0},
    "attention_head_dim=None": {"attention_head_dim": None},
    "division": {"patch_size": 0},
    "unsupported operand": {"patch_size": None},
    "patches of 64 or more": {"patch_size": 10**9},
    "grid of 0.0x0.0": {"patch_size": 2.5},
    "sample_size=None": {"sample_size": None},
}


@pytest.mark.parametrize(("part", "change"), BAD.items(), ids=BAD)
def test_a_configuration_that_is_not_understood_is_named(part, change):
    with pytest.raises(ModelError) as caught:
        attnscope.layers({**saved_pixart(), **change})
    assert part in str(caught.value)


@pytest.mark.attack
@pytest.mark.parametrize("family", [one for one in FAMILIES if one.known], ids=lambda family: family.name)
def test_any_value_of_any_option_is_planned_or_refused(family):
    values = [
        None,
        0,
        -1,
        1,
        2,
        3,
        True,
        "x",
        [],
        [1],
        [1, 2],
        {},
        10**9,
        1.5,
        float("nan"),
        [None],
        ["a", "b"],
    ]
    first = next(iter(family.known.values()))
    whole = {**first.config, "_class_name": getattr(family, "models", ("UNet2DConditionModel",))[0]}
    for option in {**whole, "sample_size": 0, "dual_attention_layers": 0, "num_attention_heads": 0}:
        for value in values:
            with suppress(ModelError):  # and nothing else
                attnscope.layers({**whole, option: value})


def test_a_configuration_without_a_class_is_refused():
    with pytest.raises(ModelError, match=r"names neither its class \(_class_name\) nor down_block_types"):
        attnscope.layers(dict(MODELS["flux"][1].config))


@pytest.mark.parametrize("size", [(1000, 1024), (1024, 1032), (8, 8)])
def test_a_size_between_two_places_is_refused(size):
    for name in ("sd3", "flux", "pixart"):
        with pytest.raises(ParameterError, match="expected a multiple of 16 pixels"):
            attnscope.layers(name, size=size)


def test_a_model_in_the_local_cache_is_found_by_its_id(tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    model = tmp_path / "models--someone--painter"
    snapshot = model / "snapshots" / "abc"
    (snapshot / "transformer").mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    (snapshot / "transformer" / "config.json").write_text(json.dumps({**saved_pixart(), "num_layers": 3}))
    (snapshot / "model_index.json").write_text('{"_class_name": "PixArtAlphaPipeline"}')
    layers = attnscope.layers("someone/painter")
    assert (len(layers), layers[1].keys) == (6, 120)
    with pytest.raises(ModelError, match="no model 'someone/sculptor': neither a file"):
        attnscope.layers("someone/sculptor")


def test_an_unknown_id_lists_the_nearest():
    with pytest.raises(ModelError, match=r"nearest names: .*'black-forest-labs/FLUX.1-dev'"):
        attnscope.layers("black-forest-labs/FLUX-dev")
    with pytest.raises(ModelError, match=r"nearest names: 'sd1', .*'demo'\. For any other"):
        attnscope.layers("zzzzzz")
