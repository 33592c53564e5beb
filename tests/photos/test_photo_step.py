"""A photo seen by a transformer: what its own pipeline tells the model, with the photo's latent in place of noise."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image

import attnscope
from attnscope import segment
from attnscope.errors import ModelError, ParameterError
from attnscope.photos.latents import noised, photo_latent, photo_tensor
from attnscope.photos.one_pass import photo_trace
from attnscope.segmentation.evidence import aggregated_attention
from attnscope.testing.transformers import tiny_flux, tiny_pixart, tiny_sd3
from transformer_cases import CASES, seen_attention

TEXT, AT = "a red cat", 300


@pytest.fixture(scope="module")
def pipes(tmp_path_factory):
    return {
        make.__name__: make(tmp_path_factory.mktemp("files")) for make in (tiny_sd3, tiny_flux, tiny_pixart)
    }


@pytest.fixture
def halves():
    image = Image.new("RGB", (96, 64), "darkgreen")
    image.paste("orange", (0, 0, 40, 64))
    return image


def sd3_call(pipe, latent):
    text, _, pooled, _ = pipe.encode_prompt(TEXT, None, None, do_classifier_free_guidance=False)
    pipe.transformer(
        hidden_states=latent,
        timestep=torch.tensor([float(AT)]),
        encoder_hidden_states=text,
        pooled_projections=pooled,
    )


def flux_call(pipe, latent):
    text, pooled, text_ids = pipe.encode_prompt(TEXT, None)
    _, channels, height, width = latent.shape
    tokens = (
        latent.view(1, channels, height // 2, 2, width // 2, 2)
        .permute(0, 2, 4, 1, 3, 5)
        .flatten(3)
        .flatten(1, 2)
    )
    rows, columns = torch.meshgrid(torch.arange(height // 2), torch.arange(width // 2), indexing="ij")
    ids = torch.stack([torch.zeros_like(rows), rows, columns], -1).reshape(-1, 3)
    pipe.transformer(
        hidden_states=tokens, timestep=torch.tensor([AT / 1000]), guidance=None, pooled_projections=pooled,
        encoder_hidden_states=text, txt_ids=text_ids, img_ids=ids,
    )  # fmt: skip


def pixart_call(pipe, latent):
    text, mask, *_ = pipe.encode_prompt(TEXT, do_classifier_free_guidance=False, max_sequence_length=120)
    pipe.transformer(
        latent, encoder_hidden_states=text, encoder_attention_mask=mask, timestep=torch.tensor([AT]),
        added_cond_kwargs={"resolution": None, "aspect_ratio": None},
    )  # fmt: skip


CALLS = {"tiny_sd3": sd3_call, "tiny_flux": flux_call, "tiny_pixart": pixart_call}
every = pytest.mark.parametrize("name", CALLS)


@every
def test_every_layer_computes_what_the_model_called_by_hand_computes(name, pipes, halves):
    pipe = pipes[name]
    latent = photo_latent(pipe, photo_tensor(halves, (64, 96)))
    with torch.no_grad(), seen_attention(pipe.transformer) as truth:
        CALLS[name](pipe, latent)
    trace = photo_trace(pipe, latent, TEXT, timestep=AT, kind=None)
    assert trace.prompt() == TEXT
    assert trace.branches == ("cond",)
    assert [step.timestep for step in trace.steps] == [AT]
    assert truth.keys() == {layer.path for layer in trace.layers}
    for layer in trace.layers:
        (expected,) = truth[layer.path]
        torch.testing.assert_close(
            trace.probabilities(layer=layer).flatten(0, 2).double(),
            expected,
            rtol=0,
            atol=3e-6,  # of 560 keys
        )


@every
def test_the_aggregate_is_the_mean_of_image_to_image_scaled_to_sum_1(name, pipes, halves):
    trace = photo_trace(
        pipes[name], photo_latent(pipes[name], photo_tensor(halves, (64, 96))), "", timestep=AT, kind=None
    )
    aggregated = aggregated_attention(trace)
    layers = [layer for layer in trace.layers if layer.kind in ("self", "joint", "self2")]
    parts = [
        trace.probabilities(
            layer=layer, relation="image->image", mean=("head", "step"), image=0, branch="cond"
        )
        for layer in layers
    ]
    mean = torch.stack(parts).mean(0)
    expected = mean / mean.sum(-1, keepdim=True)
    torch.testing.assert_close(aggregated.reshape(expected.shape), expected, rtol=0, atol=1e-6)


@every
def test_a_photo_gets_segments_and_the_pipeline_is_left_as_it_was(name, pipes, halves):
    pipe = pipes[name]
    if name == "tiny_flux":
        pytest.skip("it sees every photo at 1024 pixels, which takes seconds here; the slow test has it")
    check_segments(pipe, halves)


@pytest.mark.thorough
@pytest.mark.slow
def test_flux_sees_a_photo_at_its_own_size(pipes, halves):
    check_segments(pipes["tiny_flux"], halves)


def check_segments(pipe, halves):
    state = torch.random.get_rng_state()
    before = (copy.deepcopy(vars(pipe.scheduler)), dict(pipe.config), set(vars(pipe)))
    found = segment(halves, pipe, labels="cat, star")
    assert found.labels.shape == (64, 96)
    assert set(found.names) <= {"cat", "star", None}
    again = segment(halves, pipe, labels="cat, star")
    assert np.array_equal(found.labels, again.labels)
    assert torch.equal(torch.random.get_rng_state(), state)
    scheduler, config, attributes = before
    assert vars(pipe.scheduler).keys() == scheduler.keys()
    assert torch.equal(pipe.scheduler.timesteps, scheduler["timesteps"])
    assert (dict(pipe.config), set(vars(pipe))) == (config, attributes)
    assert not pipe.transformer._forward_pre_hooks
    assert "set_timesteps" not in vars(pipe.scheduler)


def test_noise_is_that_of_the_models_own_training(pipes, halves):
    for name, pipe in pipes.items():
        latent = photo_latent(pipe, photo_tensor(halves, (64, 96)))
        noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(7))
        scheduler = copy.deepcopy(pipe.scheduler)
        if name == "tiny_pixart":
            expected = scheduler.add_noise(latent, noise, torch.tensor([AT]))
        else:
            scheduler.timesteps, scheduler.sigmas = torch.tensor([float(AT)]), torch.tensor([AT / 1000, 0.0])
            expected = scheduler.scale_noise(latent, scheduler.timesteps, noise)
        torch.testing.assert_close(noised(pipe, latent, AT, 7), expected, rtol=0, atol=1e-6)


def test_words_have_the_tokens_of_every_encoder(pipes, halves):
    pipe = pipes["tiny_sd3"]
    found = segment(halves, pipe, labels=["cat", "star"], prompt="a red cat and the star")
    trace = photo_trace(
        pipe, photo_latent(pipe, photo_tensor(halves, (128, 128))), TEXT, timestep=AT, kind="cross"
    )
    assert trace.span("cat").tokens == (3, 79)
    assert found.evidence.words == ("cat", "star")


def test_a_timestep_outside_the_training_is_refused(pipes, halves):
    with pytest.raises(ParameterError, match=r"timestep is 1000; this model was trained on 0\.\.999"):
        segment(halves, pipes["tiny_sd3"], timestep=1000)


def test_what_can_not_be_shown_a_photo_is_refused_with_what_works_instead(pipes, halves):
    fill = type("FluxFillPipeline", (), {"__call__": lambda self, prompt, image: None})()
    for name, part in pipes["tiny_flux"].components.items():
        setattr(fill, name, part)
    fill.encode_prompt = pipes["tiny_flux"].encode_prompt
    with pytest.raises(ModelError, match="it asks for more than a prompt: generate a picture"):
        segment(halves, fill)


@pytest.mark.parametrize("case", [case for case in CASES if case.frames > 1], ids=str)
def test_a_pipeline_that_makes_videos_is_refused(case, halves, tmp_path):
    with pytest.raises(
        ModelError, match=f"a {case.name} can't read a photo, since it makes videos: generate a picture"
    ):
        segment(halves, case.make(tmp_path))


@every
def test_the_authors_token_numbers_are_refused_where_they_mean_others(name, pipes, halves):
    pipe = pipes[name]
    with attnscope.capture(pipe) as trace:
        pipe(TEXT, num_inference_steps=1, height=64, width=96, output_type="np", **EXACT.get(name, {}))
    with pytest.raises(
        ParameterError, match="for Stable Diffusion v1; this is a .*: name segments with preset='paper'"
    ):
        segment(trace, labels="cat", preset="reference")
    assert "cat" in segment(trace, labels="cat", preset="paper", weak=0).names
    assert segment(trace, preset="reference").labels.shape == (64, 96)


EXACT = {"tiny_pixart": {"use_resolution_binning": False, "clean_caption": False}}


def test_the_remedy_of_a_refusal_works(pipes):
    pipe = pipes["tiny_sd3"]
    with attnscope.capture(pipe) as trace:
        pipe(TEXT, num_inference_steps=1, height=64, width=96, output_type="np")
    assert segment(trace).labels.shape == (64, 96)
