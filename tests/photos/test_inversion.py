"""DDIM inversion: its latents are those of other programs, and they lead back to the photo."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMInverseScheduler,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionDiffEditPipeline,
)
from PIL import Image

import attnscope
from attnscope import invert_photo
from attnscope.demo.scenes import scene
from attnscope.errors import ImageError, ModelError, ParameterError
from attnscope.photos.inversion import ddim_making
from attnscope.testing.transformers import tiny_pixart, tiny_sd3
from photo_cases import everything_of, photo_of, sdxl, with_scheduler

PROMPT = "a red cat on a star"


def by_formula(pipe, latent, prompt, steps):
    """Song et al. 2021, equation 12 in reverse, in float64; noise is predicted at the timestep that a step leads to."""
    config, kept = pipe.scheduler.config, pipe.scheduler.alphas_cumprod.double()
    gap = config["num_train_timesteps"] // steps
    text = pipe.encode_prompt(prompt, "cpu", 1, False)[0]
    latents = [latent.double()]
    for timestep in range(config["steps_offset"], gap * steps + config["steps_offset"], gap):
        z, to = latents[-1], kept[timestep]
        before = kept[timestep - gap] if timestep >= gap else kept[0]
        with torch.no_grad():
            said = pipe.unet(z.float(), timestep, encoder_hidden_states=text).sample.double()
        noise = said
        if config["prediction_type"] == "v_prediction":
            noise = before.sqrt() * said + (1 - before).sqrt() * z
        clean = (z - (1 - before).sqrt() * noise) / before.sqrt()
        latents.append(to.sqrt() * clean + (1 - to).sqrt() * noise)
    return torch.cat(latents)


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("steps", [1, 6])
def test_every_latent_is_the_papers(pipe, predicts, steps):
    with with_scheduler(pipe, DDIMScheduler, prediction_type=predicts, set_alpha_to_one=False):
        inversion = invert_photo(pipe, photo_of(96, 64), PROMPT, num_inference_steps=steps)
        expected = by_formula(pipe, inversion.latents[:1], PROMPT, steps)
    assert inversion.latents.shape == expected.shape == (steps + 1, 4, 24, 16)
    assert (inversion.latents - expected).abs().max() < 2e-5 * expected.abs().max()  # float32


@pytest.mark.filterwarnings("ignore")  # diffusers calls it old
@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_every_latent_is_that_of_diffusers_own_inversion(pipe, predicts, spacing):
    with with_scheduler(pipe, DDIMScheduler, prediction_type=predicts, timestep_spacing=spacing):
        inversion = invert_photo(pipe, photo_of(64, 64), PROMPT, num_inference_steps=6)
        parts = {name: part for name, part in pipe.components.items() if name != "image_encoder"}
        rising = DDIMInverseScheduler.from_config(pipe.scheduler.config)
        theirs = StableDiffusionDiffEditPipeline(
            **parts, inverse_scheduler=rising, requires_safety_checker=False
        )
        theirs.set_progress_bar_config(disable=True)
        found = theirs.invert(
            PROMPT, inversion.latents[:1], num_inference_steps=6, inpaint_strength=1.0, guidance_scale=1.0
        ).latents[0]
    assert torch.equal(found.flip(0), inversion.latents[1:])


def test_timesteps_are_ddims_whatever_the_pipelines_scheduler(pipe):
    for scheduler, changes in (
        (DDIMScheduler, {}),
        (EulerDiscreteScheduler, {"timestep_spacing": "linspace", "steps_offset": 1}),
    ):
        with with_scheduler(pipe, scheduler, **changes):
            found = invert_photo(pipe, photo_of(64, 64), PROMPT, num_inference_steps=4)
        assert found.timesteps == (1, 251, 501, 751)


def test_xl_is_told_what_its_pipeline_tells_it(pipe):
    xl = sdxl(pipe)
    inversion = invert_photo(xl, photo_of(64, 96), PROMPT, num_inference_steps=3)
    step = DDIMInverseScheduler.from_config(xl.scheduler.config, clip_sample=False)
    xl.scheduler = step
    latents = [inversion.latents[:1]]

    def note(pipe, step, timestep, given):
        latents.append(given["latents"])
        return {}

    xl(
        PROMPT, height=128, width=192, latents=inversion.latents[:1], num_inference_steps=3, guidance_scale=1.0,
        output_type="latent", callback_on_step_end=note,
    )  # fmt: skip
    assert (inversion.latents - torch.cat(latents)).abs().max() < 1e-5 * inversion.latents.abs().max()


def quiet(done, total):
    """Nothing is drawn."""


def psnr(image, other):
    """In dB."""
    difference = np.asarray(image, np.float64) - np.asarray(other, np.float64)
    return 10 * np.log10(255**2 / np.mean(difference**2))


@pytest.mark.thorough
@pytest.mark.slow
def test_the_noise_gives_the_photo_back_and_guidance_does_not():
    demo = attnscope.load_pipeline("demo", device="cpu")
    photo = scene(3)
    inversion = invert_photo(demo, photo.pil_image, photo.caption, progress=quiet)
    encoded = demo.vae.decode(inversion.latents[:1] / demo.vae.config.scaling_factor).sample
    (best,) = demo.image_processor.postprocess(encoded.detach())
    assert psnr(best, photo.pil_image) > 30  # what the VAE keeps of it
    assert psnr(inversion.picture(demo, progress=quiet), best) > 30
    assert psnr(inversion.picture(demo, guidance_scale=7.5, progress=quiet), best) < 24


def test_the_noise_goes_into_the_pipeline_itself(pipe):
    with with_scheduler(pipe, DDIMScheduler, steps_offset=1):
        inversion = invert_photo(pipe, photo_of(128, 128), PROMPT, num_inference_steps=5)
        options = {"latents": inversion.noise, "num_inference_steps": 5, "output_type": "latent"}
        own = pipe(PROMPT, guidance_scale=3.0, **options).images
        expected = inversion.made_again(ddim_making(pipe, 5), guidance_scale=3.0)[-1]
        assert (own - expected).abs().max() < 1e-4 * expected.abs().max()
        picture = inversion.picture(pipe, guidance_scale=3.0)
        (shown,) = pipe(PROMPT, guidance_scale=3.0, **options | {"output_type": "pil"}).images
    assert np.abs(np.asarray(picture, int) - np.asarray(shown, int)).max() <= 1


def test_another_prompt_can_be_made_of_the_noise(pipe):
    inversion = invert_photo(pipe, photo_of(64, 64), PROMPT, num_inference_steps=3)
    assert inversion.photo.size == (128, 128)
    same, other = inversion.picture(pipe), inversion.picture(pipe, prompt="a blue house")
    assert same.size == (128, 128)
    assert not np.array_equal(same, other)
    assert repr(inversion) == f"<Inversion of a photo of {PROMPT!r}, 3 steps>"


@pytest.mark.parametrize("null_text", [False, True])
def test_the_pipeline_is_left_as_it_was_also_after_an_exception(pipe, null_text):
    before = everything_of(pipe)
    options = {"num_inference_steps": 1, "null_text": null_text}
    first = invert_photo(pipe, photo_of(64, 64), PROMPT, **options)
    assert everything_of(pipe) == before

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        invert_photo(pipe, photo_of(64, 64), PROMPT, progress=stop, **options)
    assert everything_of(pipe) == before
    with torch.inference_mode():
        again = invert_photo(pipe, photo_of(64, 64), PROMPT, **options)
    assert torch.equal(first.latents, again.latents)
    if null_text:
        assert torch.equal(first.null_embeddings, again.null_embeddings)


@pytest.mark.parametrize(("null_text", "parts"), [(False, 1), (True, 11)])
def test_progress_is_told_to_the_end(pipe, null_text, parts):
    told = []
    invert_photo(
        pipe, photo_of(64, 64), "", num_inference_steps=1, null_text=null_text,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert told == [(done, parts) for done in range(1, parts + 1)]


def test_progress_is_the_pipelines_own_bar_unless_somebody_counts(pipe, capsys):
    pipe.set_progress_bar_config(disable=False)
    try:
        invert_photo(pipe, photo_of(64, 64), "", num_inference_steps=3)
    finally:
        pipe.set_progress_bar_config(disable=True)
    assert "3/3" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_latents_of_a_half_precision_model_are_float32(pipe, dtype):
    expected = invert_photo(pipe, photo_of(64, 64), PROMPT, num_inference_steps=1)
    try:
        pipe.to(dtype)
        found = invert_photo(pipe, photo_of(64, 64), PROMPT, num_inference_steps=1, null_text=True)
        assert found.picture(pipe).size == (128, 128)
    finally:
        pipe.to(torch.float32)
    assert found.latents.dtype == found.null_embeddings.dtype == torch.float32
    assert found.null_embeddings.isfinite().all()
    assert (found.latents - expected.latents).abs().mean() < 0.1 * expected.latents.abs().mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps is 0; expected a number from 1 to 999"),
        ({"num_inference_steps": 1000}, "num_inference_steps is 1000"),
        ({"num_inference_steps": 2.5}, "num_inference_steps is 2.5"),
        ({"num_inference_steps": True}, "num_inference_steps is True"),
        ({"num_inference_steps": 101, "null_text": True}, "null_text takes at most 100"),
        ({"null_text": True, "guidance_scale": 1}, "guidance_scale is 1; expected a number other than 1"),
        ({"null_text": True, "guidance_scale": float("nan")}, "guidance_scale is nan"),
        ({"null_text": True, "guidance_scale": "7"}, "guidance_scale is '7'"),
    ],
)
def test_wrong_numbers_are_explained(pipe, options, message):
    with pytest.raises(ParameterError, match=message):
        invert_photo(pipe, photo_of(64, 64), PROMPT, **options)


def test_wrong_prompts_and_photos_are_explained(pipe, tmp_path):
    with pytest.raises(ParameterError, match="expected one text"):
        invert_photo(pipe, photo_of(64, 64), [PROMPT])
    with pytest.raises(ImageError, match="no such file"):
        invert_photo(pipe, tmp_path / "none.jpg", PROMPT)
    long = Image.new("RGB", (20, 20_000))
    with pytest.raises(ImageError, match="crop=True"):
        invert_photo(pipe, long, PROMPT)
    assert invert_photo(pipe, long, PROMPT, crop=True, num_inference_steps=1).photo.size == (128, 128)


def test_models_that_ddim_cannot_follow_are_refused_with_the_cause(tmp_path):
    sd3, pixart = tiny_sd3(tmp_path / "sd3"), tiny_pixart(tmp_path / "pixart")
    with pytest.raises(ModelError, match="flow matching.*without invert and null_text"):
        invert_photo(sd3, photo_of(64, 64), PROMPT)
    with pytest.raises(ModelError, match="inversion needs a U-Net"):
        invert_photo(pixart, photo_of(64, 64), PROMPT)
    for refused in (sd3, pixart):
        assert len(attnscope.read_photo(refused, photo_of(64, 64), PROMPT).steps) == 1


def test_a_unet_of_flow_matching_is_refused(pipe):
    with with_scheduler(pipe, DDIMScheduler, prediction_type="flow_prediction"):
        with pytest.raises(ModelError, match="flow matching"):
            invert_photo(pipe, photo_of(64, 64), PROMPT)
