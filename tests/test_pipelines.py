"""Loading: real code on small pipelines that the tests make; the hub is never asked."""

from __future__ import annotations

import warnings

import diffusers
import pytest
import torch
from safetensors.torch import save_file

import attnscope
from attnscope import pipelines
from attnscope.demo.architecture import untrained_pipeline
from attnscope.errors import ModelError, ParameterError
from ldm_layout import save_as_single_file


@pytest.fixture(scope="module")
def pipe():
    return untrained_pipeline()


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory):
    where = tmp_path_factory.mktemp("models") / "tiny"
    pipe.save_pretrained(where)
    return where


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """An address where nobody listens, and an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def same_weights(one, other) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_folder_loads_with_its_weights(pipe, folder):
    loaded = attnscope.load_pipeline(folder, device="cpu")
    assert type(loaded) is diffusers.StableDiffusionPipeline
    assert same_weights(loaded.unet, pipe.unet)
    assert same_weights(loaded.text_encoder, pipe.text_encoder)
    assert loaded.unet.dtype == torch.float32


@pytest.mark.parametrize("option", [{"dtype": "bf16"}, {"torch_dtype": torch.bfloat16}])
def test_dtype_has_an_alias_and_short_names(folder, option):
    loaded = attnscope.load_pipeline(str(folder), device="cpu", **option)
    assert {loaded.unet.dtype, loaded.vae.dtype, loaded.text_encoder.dtype} == {torch.bfloat16}


def test_other_arguments_reach_diffusers(folder, pipe):
    scheduler = diffusers.EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    assert attnscope.load_pipeline(folder, scheduler=scheduler).scheduler is scheduler


def test_a_single_file_in_the_original_layout_loads_with_its_weights(pipe, folder, tmp_path):
    file = save_as_single_file(pipe, tmp_path / "tiny.safetensors")
    loaded = attnscope.load_pipeline(file, device="cpu", config=str(folder))
    assert type(loaded) is diffusers.StableDiffusionPipeline
    assert same_weights(loaded.unet, pipe.unet)
    assert same_weights(loaded.vae, pipe.vae)
    assert same_weights(loaded.text_encoder, pipe.text_encoder)


def test_a_single_file_without_network_says_what_to_do(pipe, tmp_path):
    file = save_as_single_file(pipe, tmp_path / "tiny.safetensors")
    with pytest.raises(ModelError, match=r"tiny\.safetensors can't be loaded.*config=FOLDER"):
        attnscope.load_pipeline(file)


def test_a_lora_file_is_named_as_such(tmp_path):
    save_file({"lora_unet_down.alpha": torch.zeros(1)}, tmp_path / "style.safetensors")
    with pytest.raises(
        ModelError, match=r"not a whole Stable Diffusion v1, v2 or XL.*'lora_unet_down\.alpha'\. .* A LoRA"
    ):
        attnscope.load_pipeline(tmp_path / "style.safetensors")


def test_a_file_that_is_no_safetensors_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"no header here")
    with pytest.raises(ModelError, match="is not a safetensors file"):
        attnscope.load_pipeline(tmp_path / "model.safetensors")


@pytest.mark.parametrize("suffix", ["ckpt", "pt", "bin"])
def test_pickles_are_refused(tmp_path, suffix):
    (tmp_path / f"model.{suffix}").write_bytes(b"x")
    with pytest.raises(
        ModelError, match=r"is a pickle, which can run any program.*use the model's \.safetensors"
    ):
        attnscope.load_pipeline(tmp_path / f"model.{suffix}")


def test_a_folder_that_is_no_pipeline_says_which_to_give(folder):
    with pytest.raises(
        ModelError, match=r"no model_index\.json.*give the folder above unet/ or transformer/"
    ):
        attnscope.load_pipeline(folder / "unet")


def test_a_folder_with_a_missing_part_is_one_error(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "broken")
    (tmp_path / "broken" / "unet" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"broken.unet holds no config.json: copy the whole model"):
        attnscope.load_pipeline(tmp_path / "broken")


DEAD = [
    "runwayml/stable-diffusion-v1-5",
    "stabilityai/stable-diffusion-2",
    "stabilityai/stable-diffusion-2-base",
    "stabilityai/stable-diffusion-2-1",
    "stabilityai/stable-diffusion-2-1-base",
]


@pytest.mark.parametrize("dead", DEAD)
def test_dead_ids_load_their_mirrors_with_a_warning(dead, monkeypatch, pipe, folder):
    asked = []
    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", lambda name, **kwargs: folder)
    monkeypatch.setattr(
        diffusers.DiffusionPipeline, "from_pretrained", lambda name, **kwargs: asked.append(name) or pipe
    )
    with pytest.warns(
        pipelines.VanishedModelWarning, match=f"{dead} is gone from the hub; loading its mirror"
    ):
        attnscope.load_pipeline(dead)
    assert asked == [pipelines.MIRRORS[dead]]
    assert asked[0].split("/")[0] in ("stable-diffusion-v1-5", "sd2-community")


def test_a_local_folder_named_like_a_dead_id_is_loaded_as_it_is(pipe, tmp_path, monkeypatch):
    pipe.save_pretrained(tmp_path / "runwayml" / "stable-diffusion-v1-5")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = attnscope.load_pipeline("runwayml/stable-diffusion-v1-5")
    assert same_weights(loaded.unet, pipe.unet)


def test_without_network_one_error_says_what_to_do():
    with pytest.raises(ModelError) as caught:
        attnscope.load_pipeline("some-owner/some-model")
    message = str(caught.value)
    assert message.startswith(
        "the model 'some-owner/some-model' can't be loaded: it is not in the local cache, and"
    )
    assert all(word in message for word in ('"demo"', "HF_HOME", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_TOKEN"))


def test_a_model_in_the_cache_loads_without_network(folder, tmp_path):
    import shutil

    from huggingface_hub import constants

    stored = tmp_path / "cache" / "models--owner--tiny"
    assert str(tmp_path / "cache") == constants.HF_HUB_CACHE
    shutil.copytree(folder, stored / "snapshots" / "abc")
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text("abc")
    loaded = attnscope.load_pipeline("owner/tiny", cache_dir=str(tmp_path / "cache"))
    assert loaded.unet.config.block_out_channels == [32, 64, 96, 96]


@pytest.mark.parametrize("name", ["./nothing", "nothing.safetensors", "/nowhere/at/all"])
def test_a_path_that_is_not_there(name):
    with pytest.raises(ModelError, match="no such file or folder"):
        attnscope.load_pipeline(name)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ModelError, match=r"no model 'sd9'.*one of 'sd"):
        attnscope.load_pipeline("sd9")


def test_a_wrong_dtype_or_device_lists_what_can_be_used(folder):
    with pytest.raises(ParameterError, match=r"dtype 'int3': expected one of bf16"):
        attnscope.load_pipeline(folder, dtype="int3")
    with pytest.raises(ParameterError, match="device 'abacus' can't be used"):
        attnscope.load_pipeline(folder, device="abacus")
