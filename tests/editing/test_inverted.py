"""Prompt-to-prompt of a photo: the source is the photo made again, by the program that makes it alone."""

import warnings
from dataclasses import replace

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from PIL import Image

import attnscope
from attnscope.errors import ModelError, ParameterError
from attnscope.photos.inversion import ddim_making
from capture_cases import leftovers
from photo_cases import sdxl

SOURCE, TARGET = "a red cat", "a red star"


@pytest.fixture
def photo():
    image = Image.new("RGB", (96, 64), "darkgreen")
    image.paste("orange", (20, 0, 60, 40))
    return image


@pytest.fixture(params=["SD", "SDXL"])
def model(request, pipe):
    made = pipe if request.param == "SD" else sdxl(pipe)
    before = made.scheduler
    yield made
    assert made.scheduler is before
    assert leftovers(made) == []


def inverted(pipe, photo, **options):
    options = {"num_inference_steps": 3, "progress": lambda done, total: None, **options}
    return attnscope.invert_photo(pipe, photo, SOURCE, **options)


def edited(pipe, inversion, **options):
    return attnscope.prompt_to_prompt(
        pipe, [SOURCE, TARGET], inversion=inversion, output_type="latent", **options
    )


@pytest.mark.parametrize("null_text", [True, False])
def test_the_source_is_the_photo_made_again_and_the_target_another(model, photo, null_text):
    inversion = inverted(model, photo, null_text=null_text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = edited(model, inversion, keep_steps=True)
    alone = inversion.made_again(ddim_making(model, 3))
    assert made.images.shape == (2, *alone[-1].shape[1:])
    for step, latents in enumerate(made.steps, 1):
        assert (latents[:1] - alone[step]).abs().max() < 2e-3
    assert (made.images[1] - made.images[0]).abs().max() > 0.01


@pytest.mark.thorough
def test_without_its_null_text_the_source_is_another(model, photo):
    inversion = inverted(model, photo, null_text=True)
    alone = inversion.made_again(ddim_making(model, 3))[-1]
    empty = attnscope.prompt_to_prompt(
        model, [SOURCE, TARGET], latents=inversion.noise, num_inference_steps=3, guidance_scale=7.5,
        height=64, width=96, output_type="latent",
    ).images  # fmt: skip
    assert (empty[:1] - alone).abs().max() > 0.1


@pytest.mark.thorough
def test_words_that_may_change_and_callbacks_work_with_it(model, photo):
    inversion, seen = inverted(model, photo, null_text=True), []

    def see(pipeline, step, timestep, tensors):
        seen.append((step, sorted(tensors)))
        return tensors

    made = edited(model, inversion, blend_words=["cat", "star"], callback_on_step_end=see)
    assert (made.images[:1] - inversion.made_again(ddim_making(model, 3))[-1]).abs().max() < 2e-3
    assert seen == [(step, ["latents", "prompt_embeds"]) for step in range(3)]


@pytest.mark.thorough
def test_the_pipeline_is_as_before_after_an_exception(model, photo):
    class Stopped(Exception):
        pass

    def stop(*args):
        raise Stopped

    with pytest.raises(Stopped):
        edited(model, inverted(model, photo, null_text=True), callback_on_step_end=stop)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_inference_steps": 5}, "num_inference_steps can't be given with inversion="),
        ({"latents": torch.zeros(1, 4, 8, 8), "height": 64}, "latents and height can't be given"),
        ({"guidance_scale": 3.0}, "is for 7.5"),
        ({"negative_prompt": ["bad", "bad"]}, "negative_prompt can't be given"),
        ({"negative_prompt_embeds": torch.zeros(2, 77, 16)}, "negative_prompt_embeds can't be given"),
        ({"image": "photo.png"}, "image can't be given"),
        ({"eta": 1.0}, "eta can't be given"),
        ({"timesteps": [999, 500, 1]}, "timesteps can't be given"),
    ],
)
def test_what_the_inversion_settles_is_refused(pipe, photo, options, says):
    with pytest.raises(ParameterError, match=says):
        edited(pipe, inverted(pipe, photo, null_text=True), **options)


@pytest.mark.parametrize("wrong", ["photo.png", torch.zeros(1, 4, 8, 8)])
def test_what_is_no_inversion_is_refused(pipe, wrong):
    with pytest.raises(ParameterError, match="expected what attnscope.invert_photo"):
        edited(pipe, wrong)


def test_another_model_is_refused(pipe, photo):
    inversion = inverted(pipe, photo, null_text=True)
    with pytest.raises(ParameterError, match="not inverted with the model of this"):
        edited(pipe, replace(inversion, null_embeddings=inversion.null_embeddings[..., :8]))
    flow = type(pipe)(
        **{**pipe.components, "scheduler": FlowMatchEulerDiscreteScheduler()}, requires_safety_checker=False
    )
    with pytest.raises(ModelError, match="can't be inverted with DDIM"):
        edited(flow, inversion)


def test_without_null_text_there_may_be_a_negative_prompt_and_any_guidance(pipe, photo):
    inversion, options = inverted(pipe, photo), {"guidance_scale": 7.5}
    plain = edited(pipe, inversion, **options)
    negative = edited(pipe, inversion, negative_prompt=["bad", "bad"], **options)
    assert (plain.images - negative.images).abs().max() > 1e-3


@pytest.mark.thorough
def test_a_callback_that_names_its_own_tensors_gets_them(pipe, photo):
    seen = []

    def see(pipeline, step, timestep, tensors):
        seen.append(sorted(tensors))
        return tensors

    edited(
        pipe, inverted(pipe, photo, null_text=True), callback_on_step_end=see,
        callback_on_step_end_tensor_inputs=["negative_prompt_embeds"],
    )  # fmt: skip
    assert seen == [["latents", "negative_prompt_embeds", "prompt_embeds"]] * 3


def test_another_source_is_refused(pipe, photo):
    with pytest.raises(ParameterError, match="was inverted with 'a red cat': give that as the source"):
        attnscope.prompt_to_prompt(pipe, [TARGET, SOURCE], inversion=inverted(pipe, photo))
