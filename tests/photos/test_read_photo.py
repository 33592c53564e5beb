"""A photo read with a prompt is a trace like that of a picture that was made."""

import warnings

import numpy as np
import pytest
import torch
from diffusers import PNDMScheduler, StableDiffusionImg2ImgPipeline
from PIL import Image

import attnscope
from attnscope import heat_map, load_trace, read_photo, segment_trace
from attnscope.errors import CaptureError, ImageError, KeywordError, ModelError, ParameterError, WordError
from attnscope.photos.latents import noised, photo_latent, photo_tensor
from attnscope.pictures import strips
from attnscope.records.reduced import Reduced
from attnscope.testing.transformers import tiny_flux, tiny_sd3
from photo_cases import everything_of, photo_of, sdxl, with_scheduler

PROMPT = "a red cat on a star"


@pytest.fixture
def photo():
    """Higher than wide."""
    return photo_of(96, 64)


def test_a_trace_of_one_pass_knows_words_photo_and_timestep(pipe, photo, tmp_path):
    trace = read_photo(pipe, photo, PROMPT, timestep=120)
    assert trace.prompt() == PROMPT
    assert [word.word for word in trace.words()] == PROMPT.split()
    assert [step.timestep for step in trace.steps] == [120]
    assert (trace.run.planned_steps, trace.run.image_size_hw, len(trace.layers)) == (1, (96, 64), 32)
    assert np.array_equal(trace.picture, photo)
    assert trace.picture is not photo
    loaded = load_trace(trace.save(tmp_path / "photo.trace"))
    assert np.array_equal(loaded.picture, photo)
    heat = heat_map(loaded, "red cat")
    assert heat == heat_map(trace, "red cat")
    assert heat.overlay().size == photo.size
    assert segment_trace(loaded, labels="cat,star", thresholds=0.5).labels.shape == (96, 64)
    assert attnscope.places.word_map(loaded, attnscope.places.View(), [2]).shape == (24, 16)


def test_probabilities_are_those_of_the_model_on_the_noised_latent(pipe, photo):
    """The oracle: a capture of the bare U-Net, called by hand."""
    trace = read_photo(pipe, photo, PROMPT, timestep=250, noise_seed=5)
    pixels = photo_tensor(photo, (192, 128))
    latent = noised(pipe, photo_latent(pipe, pixels), 250, 5)
    text = pipe.encode_prompt(PROMPT, "cpu", 1, False)[0]
    with attnscope.capture(pipe.unet, branches=("cond",)) as by_hand, torch.no_grad():
        pipe.unet(latent, 250, encoder_hidden_states=text)
    for layer in by_hand.layers:
        assert torch.equal(trace.probabilities(layer=layer), by_hand.probabilities(layer=layer))


def test_noise_is_chosen_by_its_seed(pipe, photo):
    one, same, other, none = (
        read_photo(pipe, photo, PROMPT, noise_seed=seed, blocks=3).probabilities(block=3, kind="self")
        for seed in (1, 1, 2, None)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one, none)


def test_steps_of_an_inversion_are_steps_of_the_trace(pipe, photo):
    trace = read_photo(pipe, photo, PROMPT, invert=True, num_inference_steps=4)
    assert [step.timestep for step in trace.steps] == [1, 251, 501, 751]
    assert (trace.run.planned_steps, trace.run.scheduler) == (4, "DDIMInverseScheduler")
    assert heat_map(trace, "cat") != heat_map(trace, "cat", steps=3)
    latents = attnscope.invert_photo(pipe, photo, PROMPT, num_inference_steps=4).latents
    text = pipe.encode_prompt(PROMPT, "cpu", 1, False)[0]
    with attnscope.capture(pipe.unet, branches=("cond",), blocks=5) as by_hand, torch.no_grad():
        pipe.unet(latents[2:3], 501, encoder_hidden_states=text)
    expected = by_hand.probabilities(block=5, kind="cross")
    found = trace.probabilities(block=5, kind="cross", step=2)
    assert (found - expected).abs().max() < 1e-6  # float32


def test_null_text_reads_the_steps_that_make_the_photo_again(pipe, photo):
    trace = read_photo(
        pipe, photo, PROMPT, null_text=True, num_inference_steps=1, guidance_scale=3, kind="cross"
    )
    assert [step.timestep for step in trace.steps] == [1]
    assert trace.branches == ("uncond", "cond")
    assert (trace.run.guidance_scale, trace.run.negative_prompts) == (3, [""])
    assert np.array_equal(trace.picture, photo)
    assert heat_map(trace, "cat") != heat_map(trace, "<start>", branch="uncond")


def image_to_image(pipe):
    """Of the same parts."""
    return StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)


@pytest.mark.parametrize("made", [sdxl, image_to_image])
def test_other_pipelines_with_unets_read_photos(pipe, photo, made):
    reads = made(pipe)
    reads.set_progress_bar_config(disable=True)
    trace = read_photo(reads, photo, PROMPT, blocks=[1])
    assert [word.word for word in trace.words()] == PROMPT.split()
    assert len(read_photo(reads, photo, PROMPT, invert=True, num_inference_steps=2, blocks=[1]).steps) == 2


@pytest.mark.parametrize("made", [tiny_sd3, tiny_flux])
def test_transformers_read_photos_in_one_pass(made, photo, tmp_path):
    pipe = made(tmp_path / "model")
    trace = read_photo(pipe, photo, "a red cat", timestep=200, noise_seed=0, folder=tmp_path / "photo.trace")
    assert np.array_equal(load_trace(tmp_path / "photo.trace").picture, photo)
    assert [step.timestep for step in trace.steps] == [200]
    assert heat_map(trace, "cat").overlay().size == photo.size


def test_choices_of_a_capture_are_taken(pipe, photo, tmp_path):
    trace = read_photo(pipe, photo, PROMPT, blocks=[2], kind="cross", folder=tmp_path / "x.trace")
    assert [str(layer.id) for layer in trace.layers] == [str(load_trace(tmp_path / "x.trace").layers[0].id)]
    assert np.array_equal(load_trace(tmp_path / "x.trace").picture, photo)
    with pytest.raises(KeywordError, match="no 'timestp'; the nearest: .*timestep"):
        read_photo(pipe, photo, PROMPT, timestp=3)
    with pytest.raises(KeywordError, match="no 'branches'"):
        read_photo(pipe, photo, PROMPT, branches=("cond",))
    kept = read_photo(
        pipe,
        photo,
        PROMPT,
        invert=True,
        num_inference_steps=3,
        step=slice(1, None),
        keep={"words": Reduced("cross")},
    )
    assert [step.index for step in kept.steps] == [1, 2]
    assert heat_map(kept, "cat", reduced="words").array.shape == (24, 16)


@pytest.mark.parametrize("options", [{}, {"noise_seed": 1}, {"invert": True, "num_inference_steps": 2}])
def test_the_pipeline_is_left_as_it_was(pipe, photo, options, monkeypatch):
    with with_scheduler(pipe, PNDMScheduler, skip_prk_steps=True):
        pipe.scheduler.set_timesteps(3)
        before = everything_of(pipe)
        first = read_photo(pipe, photo, PROMPT, **options)
        assert everything_of(pipe) == before
        again = read_photo(pipe, photo, PROMPT, **options)
        assert torch.equal(*(each.probabilities(block=2, kind="cross", step=0) for each in (first, again)))
        forward = type(pipe.unet.mid_block).forward

        def fail(self, *args, **kwargs):
            forward(self, *args, **kwargs)
            raise RuntimeError("out of memory")

        with monkeypatch.context() as patch:
            patch.setattr(type(pipe.unet.mid_block), "forward", fail)
            with pytest.raises(RuntimeError, match="out of memory"):
                read_photo(pipe, photo, PROMPT, **options)
        assert everything_of(pipe) == before


def test_photos_are_upright_and_may_be_grey_or_huge(pipe, tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo_of(64, 96).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert read_photo(pipe, tmp_path / "turned.jpg", PROMPT, blocks=1).run.image_size_hw == (96, 64)
    grey = read_photo(pipe, photo_of(96, 64).convert("L"), PROMPT, blocks=1)
    assert grey.picture.mode == "RGB"
    as_array = read_photo(pipe, np.asarray(photo_of(96, 64)), PROMPT, blocks=1)
    plain = read_photo(pipe, photo_of(96, 64), PROMPT, blocks=1)
    assert torch.equal(*(each.probabilities(block=1, kind="self") for each in (as_array, plain)))
    monkeypatch.setattr("attnscope.photos.seen.LARGE_PIXELS", 20_000)
    assert strips.LARGE_PIXELS == 40_000_000
    huge = read_photo(pipe, photo_of(400, 200), PROMPT, blocks=1)
    assert huge.picture.size == (100, 200)
    assert huge.run.latent_size_hw == read_photo(pipe, photo_of(100, 50), PROMPT, blocks=1).run.latent_size_hw


def test_a_prompt_may_be_empty_or_too_long(pipe, photo):
    assert read_photo(pipe, photo, "", blocks=1).words() == ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        long = read_photo(pipe, photo, " ".join(["cat"] * 90 + ["star"]), blocks=1)
    with pytest.raises(WordError, match="star"):
        heat_map(long, "star")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"timestep": 1000}, ParameterError, "timestep is 1000; .*0..999"),
        ({"timestep": "50"}, ParameterError, "timestep is '50'"),
        ({"timestep": 2.5}, ParameterError, "timestep is 2.5"),
        ({"timestep": 50, "invert": True}, ParameterError, "timestep is a choice of the one pass"),
        ({"noise_seed": 1, "null_text": True}, ParameterError, "noise_seed is a choice of the one pass"),
        ({"num_inference_steps": 5}, ParameterError, "num_inference_steps is a choice of inversion"),
        ({"guidance_scale": 5, "invert": True}, ParameterError, "guidance_scale is a choice of null_text"),
        ({"invert": True, "num_inference_steps": 0}, ParameterError, "num_inference_steps is 0"),
        ({"prompt": None}, ParameterError, "prompt is None; expected one text"),
        ({"prompt": ["a", "b"]}, ParameterError, "expected one text"),
        ({"picture": "none.png"}, ImageError, "no such file"),
        ({"picture": 5}, ImageError, "got a int"),
        ({"blocks": 99}, Exception, "99"),
    ],
)
def test_what_is_wrong_is_explained(pipe, photo, options, error, message):
    with pytest.raises(error, match=message):
        read_photo(pipe, **{"picture": photo, "prompt": PROMPT, **options})


def test_pipelines_that_cannot_take_a_photo_are_refused(pipe, photo):
    with pytest.raises(ModelError, match="has no vae.*load_pipeline"):
        read_photo(
            type("Incomplete", (), {**pipe.components, "vae": None, "encode_prompt": print})(), photo, PROMPT
        )
    with pytest.raises(ModelError):
        read_photo(photo, pipe, PROMPT)
    with attnscope.capture(pipe, blocks=1):
        with pytest.raises(CaptureError, match="captured"):
            read_photo(pipe, photo, PROMPT)
        pipe(PROMPT, num_inference_steps=1, output_type="latent")
