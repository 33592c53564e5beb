"""A photo's latent is what the pipelines of a family make of it: their own encoding, noise and decoding tell."""

import copy
import math

import diffusers
import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteSchedulerOutput
from PIL import Image

import attnscope
from attnscope import segment
from attnscope.errors import ModelError
from attnscope.photos.latents import input_size, noised, photo_latent, photo_tensor
from attnscope.photos.one_pass import photo_trace
from attnscope.testing import transformers as tiny
from attnscope.testing.transformers.parts import QWEN_WORDS, WIDE, quiet, tiny_decoder, tiny_vae
from transformer_cases import CASES

TEXT, AT, SEED, SIZE = "a red cat", 300, 7, (64, 96)
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8))
SHOWN = [case for case in CASES if case.frames == 1 and case.family != "sana"]
DEEP = 31
"""Layers of the text's encoder of Flux 2, of which its pipelines read the 10th, 20th and 30th, or the 9th to 27th."""
every = pytest.mark.parametrize("case", SHOWN, ids=str)


def made(case, folder):
    """A pipeline that can be called as it is, with an autoencoder of which every number counts."""
    changes = {"joint_attention_dim": 3 * WIDE} if case.family == "flux2" else {}
    pipe = case.make(folder, **changes)
    if changes:
        pipe.text_encoder = tiny_decoder("Qwen3", WIDE, QWEN_WORDS, DEEP)
    return with_numbers(pipe)


def with_numbers(pipe):
    numbers = torch.Generator().manual_seed(1)
    channels = pipe.vae.config.get("latent_channels") or pipe.vae.config.z_dim
    if "shift_factor" in pipe.vae.config:
        pipe.vae.register_to_config(shift_factor=0.25, scaling_factor=0.75)
    else:
        pipe.vae.register_to_config(
            latents_mean=torch.rand(channels, generator=numbers).tolist(),
            latents_std=(0.5 + torch.rand(channels, generator=numbers)).tolist(),
        )
    if hasattr(pipe.vae, "bn"):
        pipe.vae.bn.running_mean.uniform_(-1, 1, generator=numbers)
        pipe.vae.bn.running_var.uniform_(0.5, 2, generator=numbers)
    return pipe


def encoded(pipe):
    """What the autoencoder gives, of the pixels of PHOTO."""
    pixels = photo_tensor(PHOTO, SIZE)
    of_frames = isinstance(pipe.vae, diffusers.AutoencoderKLQwenImage)
    with torch.no_grad():
        return pipe.vae.encode(pixels.unsqueeze(2) if of_frames else pixels).latent_dist.mode()


def shown(pipe, noise_seed=None):
    """What the model gets of PHOTO."""
    seen = []
    latent = photo_latent(pipe, photo_tensor(PHOTO, SIZE))
    if noise_seed is not None:
        latent = noised(pipe, latent, AT, noise_seed)
    hook = pipe.transformer.register_forward_hook(
        lambda module, args, kwargs, result: seen.append([*args, *kwargs.values()][0]), with_kwargs=True
    )
    photo_trace(pipe, latent, TEXT, timestep=AT, kind="self")
    hook.remove()
    (given,) = seen
    return given


@every
def test_the_pipeline_decodes_it_to_what_the_autoencoder_gave(case, tmp_path, monkeypatch):
    pipe = made(case, tmp_path)
    given, decoded = shown(pipe), []
    sample = torch.stack(given).squeeze(2) if isinstance(given, list) else given
    step = lambda *args, **kwargs: FlowMatchEulerDiscreteSchedulerOutput(prev_sample=sample)  # noqa: E731
    monkeypatch.setattr(pipe.scheduler, "step", step)
    original = pipe.vae.decode
    monkeypatch.setattr(
        pipe.vae,
        "decode",
        lambda latent, *args, **kwargs: decoded.append(latent) or original(latent, *args, **kwargs),
    )
    options = {"text_encoder_out_layers": (9, 18, 27)} if case.family == "flux2" else {}
    case.run(pipe, height=SIZE[0], width=SIZE[1], **options)
    torch.testing.assert_close(decoded[0], encoded(pipe), rtol=0, atol=1e-6)


def as_class(pipe, kind):
    return quiet(
        getattr(diffusers, kind)(**{name: part for name, part in pipe.components.items() if part is not None})
    )


def by_its_channels(pipe, generator):
    latents = pipe.prepare_latents(
        photo_tensor(PHOTO, SIZE), torch.tensor([float(AT)]), 1, pipe.vae.config.get("latent_channels") or 4, *SIZE,
        torch.float32, "cpu", generator,
    )  # fmt: skip
    return latents[0] if isinstance(latents, tuple) else latents


def sd3_with_picture(pipe, generator):
    return pipe.prepare_latents(
        photo_tensor(PHOTO, SIZE), torch.tensor([float(AT)]), 1, 1, torch.float32, "cpu", generator
    )


WITH_PICTURE = {
    "StableDiffusion3Pipeline": ("StableDiffusion3Img2ImgPipeline", sd3_with_picture),
    "FluxPipeline": ("FluxImg2ImgPipeline", by_its_channels),
    "ChromaPipeline": ("ChromaImg2ImgPipeline", by_its_channels),
    "QwenImagePipeline": ("QwenImageImg2ImgPipeline", by_its_channels),
    "ZImagePipeline": ("ZImageImg2ImgPipeline", by_its_channels),
}


@pytest.mark.parametrize("case", [case for case in SHOWN if case.name in WITH_PICTURE], ids=str)
def test_it_is_what_the_pipeline_that_takes_a_picture_begins_with(case, tmp_path, monkeypatch):
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    pipe = made(case, tmp_path)
    kind, begin = WITH_PICTURE[case.name]
    other = as_class(pipe, kind)
    other.scheduler = copy.deepcopy(pipe.scheduler)
    other.scheduler.timesteps, other.scheduler.sigmas = (
        torch.tensor([float(AT)]),
        torch.tensor([AT / 1000, 0.0]),
    )
    expected = begin(other, torch.Generator().manual_seed(SEED))
    given = shown(pipe, SEED)
    given = torch.stack(given).squeeze(2) if isinstance(given, list) else given
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", [case for case in SHOWN if case.family == "flux2"], ids=str)
def test_flux_2_gets_what_it_gets_of_a_reference_picture(case, tmp_path):
    pipe = made(case, tmp_path)
    expected, _ = pipe.prepare_image_latents([photo_tensor(PHOTO, SIZE)], 1, None, "cpu", torch.float32)
    torch.testing.assert_close(shown(pipe), expected, rtol=0, atol=1e-6)
    noise = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(SEED))
    noise = pipe._pack_latents(pipe._patchify_latents(noise))
    torch.testing.assert_close(shown(pipe, SEED), 0.7 * expected + 0.3 * noise, rtol=0, atol=1e-6)


def test_longcat_gets_what_its_edit_makes_of_a_picture(tmp_path):
    case = next(case for case in SHOWN if case.family == "longcat")
    pipe = made(case, tmp_path)
    encode = diffusers.LongCatImageEditPipeline._encode_vae_image
    latent = encode(pipe, photo_tensor(PHOTO, SIZE), torch.Generator())
    torch.testing.assert_close(shown(pipe), pipe._pack_latents(latent, *latent.shape), rtol=0, atol=1e-6)


@every
@pytest.mark.parametrize("places", [(3, 5), (5, 4)])
def test_a_photo_of_any_shape_has_the_places_that_it_should(case, places, tmp_path):
    pipe = made(case, tmp_path)
    size = tuple(case.place * side for side in places)
    trace = photo_trace(pipe, photo_latent(pipe, photo_tensor(PHOTO, size)), TEXT, timestep=AT, kind="self")
    assert {layer.grid for layer in trace.layers} == {places}
    assert (trace.branches, len(trace.calls)) == (("cond",), 1)
    assert trace.prompt() == TEXT


@every
def test_its_size_is_one_that_the_pipeline_takes(case, tmp_path):
    pipe = made(case, tmp_path)
    for photo_hw in [(64, 96), (97, 301), (500, 333)]:
        height, width = input_size(pipe, photo_hw, crop=False)
        assert height % case.place == width % case.place == 0
        assert abs(math.log(height * photo_hw[1] / width / photo_hw[0])) < 0.3


@pytest.mark.thorough
@pytest.mark.slow
@every
def test_every_family_gives_segments_with_names(case, tmp_path):
    pipe = made(case, tmp_path)
    found = segment(PHOTO, pipe, labels="cat, star", weak=0)
    assert found.labels.shape == SIZE
    assert set(found.names) <= {"cat", "star"}


def test_bria_sees_a_photo_at_the_size_that_its_pipeline_makes(tmp_path):
    assert input_size(tiny.tiny_bria(tmp_path), (64, 64), crop=True) == (1024, 1024)


def xl_with_statistics():
    from attnscope.testing.tiny_models import tiny_unet

    torch.manual_seed(0)
    return diffusers.StableDiffusionXLImg2ImgPipeline(
        vae=tiny_vae(scaling_factor=0.5, latents_mean=[0.1, -0.2, 0.3, 0.4], latents_std=[0.5, 1.5, 2.0, 0.7]),
        text_encoder=None, text_encoder_2=None, tokenizer=None, tokenizer_2=None, unet=tiny_unet(),
        scheduler=diffusers.DDIMScheduler(),
    )  # fmt: skip


def test_a_u_net_gets_the_statistics_of_its_autoencoder(monkeypatch):
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    pipe = xl_with_statistics()
    pixels = photo_tensor(PHOTO, SIZE)
    expected = pipe.prepare_latents(pixels, torch.tensor([AT]), 1, 1, torch.float32, "cpu", add_noise=False)
    torch.testing.assert_close(photo_latent(pipe, pixels), expected, rtol=0, atol=1e-6)


def test_a_small_autoencoder_in_place_of_the_models_own_is_read_too(tmp_path):
    pipe = tiny.tiny_flux(tmp_path)
    pipe.vae = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(4, 4, 4, 4), decoder_block_out_channels=(4, 4, 4, 4), latent_channels=4
    ).eval()
    with torch.no_grad():
        latent = pipe.vae.encode(photo_tensor(PHOTO, SIZE)).latents
    torch.testing.assert_close(shown(pipe), pipe._pack_latents(latent, *latent.shape), rtol=0, atol=1e-6)


def test_an_autoencoder_that_does_not_say_how_it_scales_is_refused(tmp_path):
    pipe = tiny.tiny_sd3(tmp_path)
    own, other = pipe.vae, tiny_vae()
    other.register_to_config(scaling_factor=None)
    pipe.vae = other
    with pytest.raises(
        ModelError, match="AutoencoderKL without scaling_factor .*: put the autoencoder that the"
    ):
        segment(PHOTO, pipe)
    pipe.vae = own
    assert segment(PHOTO, pipe).labels.shape == SIZE


def test_a_model_without_attention_of_the_image_to_itself_is_refused_with_what_works(tmp_path):
    pipe = tiny.tiny_sana(tmp_path)
    with pytest.raises(
        ModelError,
        match=r"can't segment pictures, .* \(linear attention .*no probabilities\): see where words",
    ):
        segment(PHOTO, pipe, labels="cat")
    trace = attnscope.read_photo(pipe, PHOTO, "a cat", crop=True, kind="cross")
    assert attnscope.heat_map(trace, "cat").array.shape == trace.run.latent_size_hw


@pytest.mark.parametrize("kind", ["StableDiffusion3Img2ImgPipeline", "FluxInpaintPipeline"])
def test_a_pipeline_that_needs_a_picture_of_its_own_is_refused_in_its_words(kind, tmp_path):
    pipe = as_class((tiny.tiny_flux if "Flux" in kind else tiny.tiny_sd3)(tmp_path), kind)
    with pytest.raises(ModelError, match="its call with a prompt alone fails .Input is in incorrect format"):
        segment(PHOTO, pipe)
    own = {"image": PHOTO, "mask_image": Image.new("L", PHOTO.size, 255)}
    with attnscope.capture(pipe) as trace:
        pipe(TEXT, num_inference_steps=2, output_type="np", height=SIZE[0], width=SIZE[1], strength=1.0,
             **{name: own[name] for name in own if name == "image" or "Inpaint" in kind})  # fmt: skip
    assert segment(trace).labels.shape == SIZE


@pytest.mark.parametrize("kind", ["FluxKontextPipeline", "StableDiffusion3PAGPipeline"])
def test_a_pipeline_that_can_go_without_its_picture_or_guidance_does(kind, tmp_path):
    pipe = as_class((tiny.tiny_flux if "Flux" in kind else tiny.tiny_sd3)(tmp_path), kind)
    trace = photo_trace(pipe, photo_latent(pipe, photo_tensor(PHOTO, SIZE)), TEXT, timestep=AT, kind="self")
    assert ({layer.grid for layer in trace.layers}, trace.branches) == ({(4, 6)}, ("cond",))


@pytest.mark.parametrize(
    "scheduler",
    [
        diffusers.EDMEulerScheduler(),
        diffusers.EulerDiscreteScheduler(timestep_type="continuous", prediction_type="v_prediction"),
    ],
)
def test_a_model_that_is_told_no_timesteps_is_refused(scheduler):
    pipe = attnscope.load_pipeline("demo")
    pipe.scheduler = scheduler
    with pytest.raises(
        ModelError, match="tells the model how much noise there is, not the timestep: generate"
    ):
        segment(PHOTO, pipe)
