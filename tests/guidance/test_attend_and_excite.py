"""Attend-and-Excite as diffusers' own pipeline computes it: first loss, gradient, and the whole run."""

import sys
import warnings
from copy import deepcopy

import pytest
import torch

import attnscope
from attnscope import guidance
from attnscope.errors import CaptureError, ModelError, ParameterError, WordError
from capture_cases import PROMPT, leftovers

CAT, STAR = 3, 6


@pytest.fixture
def theirs(pipe):
    """Diffusers' pipeline with the same parts; its processors are its own."""
    from diffusers import StableDiffusionAttendAndExcitePipeline

    parts = {
        name: deepcopy(getattr(pipe, name))
        for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = StableDiffusionAttendAndExcitePipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(autouse=True)
def nothing_is_left(pipe):
    yield
    assert leftovers(pipe) == []


def noise_of(pipe, side=16):
    return torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(2))


def first_loss_and_gradient(theirs, latent, timestep, indices, resolution):
    module = sys.modules[type(theirs).__module__]  # its place differs between versions
    theirs.attention_store = module.AttentionStore(resolution)
    theirs.register_attention_control()
    embeddings = theirs.encode_prompt(PROMPT, "cpu", 1, False)[0]
    seen = latent.clone().requires_grad_(True)
    theirs.unet(seen, timestep, encoder_hidden_states=embeddings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = theirs._compute_loss(theirs._aggregate_and_get_max_attention_per_token(indices))
    return loss.detach(), torch.autograd.grad(loss, [seen])[0]


@pytest.mark.thorough
@pytest.mark.parametrize("side", [16, 64])
def test_the_first_loss_and_gradient_are_those_of_diffusers(pipe, theirs, side):
    latent, timestep = noise_of(pipe, side), torch.tensor(981)
    resolution = (side // 4, side // 4)
    expected, gradient = first_loss_and_gradient(theirs, latent, timestep, [CAT, STAR], resolution)
    loss, ours = guidance.loss_and_gradient(
        pipe, lambda trace: guidance.neglect(trace, ["cat", "star"]), latent, timestep, prompt=PROMPT
    )
    assert abs(float(loss - expected)) < 3e-6
    assert (ours - gradient).abs().max() < min(3e-5, 1e-3 * float(gradient.abs().max()))
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("targets", [{}, {0: 0.05}], ids=["once a step", "until it is strong"])
def test_a_run_is_that_of_diffusers(pipe, theirs, targets):
    how = {
        "num_inference_steps": 3,
        "guidance_scale": 7.5,
        "output_type": "latent",
        "height": 128,
        "width": 128,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs(
            PROMPT, token_indices=[CAT, STAR], latents=noise_of(pipe), max_iter_to_alter=2, thresholds=targets,
            scale_factor=20, attn_res=(4, 4), **how,
        ).images  # fmt: skip
    made = guidance.attend_and_excite(
        pipe, ["cat", "star"], prompt=PROMPT, latents=noise_of(pipe), max_steps=2, targets=targets, **how
    )
    plain = pipe(PROMPT, latents=noise_of(pipe), **how).images
    assert (made.images - expected).abs().max() < 1e-3
    assert (made.images - plain).abs().max() > 1e-2
    assert sorted(made.losses[0]) == [0, 1]
    assert (len(made.losses[0][0]) > 1) == bool(targets)


def test_pictures_of_several_prompts_are_guided_one_by_one(pipe):
    how = {"num_inference_steps": 2, "output_type": "latent", "max_steps": 1}
    noises = torch.cat([noise_of(pipe), noise_of(pipe).flip(-1)])
    prompts = [PROMPT, "the grass and a star"]
    both = guidance.attend_and_excite(pipe, [["cat"], ["grass"]], prompt=prompts, latents=noises, **how)
    for at, (prompt, word) in enumerate(zip(prompts, ("cat", "grass"), strict=True)):
        one = guidance.attend_and_excite(pipe, [word], prompt=prompt, latents=noises[at : at + 1], **how)
        assert torch.allclose(both.images[at], one.images[0], atol=1e-4)
        assert both.losses[at][0] == pytest.approx(one.losses[0][0], abs=1e-5)


def test_a_loss_of_ones_own_and_a_capture_around_it(pipe):
    """The trace has the pipeline's own calls, and nothing of the guidance."""

    def largest(trace):
        return -attnscope.heat_map(trace, "cat").tensor.max()

    how = {"prompt": PROMPT, "num_inference_steps": 2, "output_type": "latent", "latents": noise_of(pipe)}
    with attnscope.capture(pipe) as trace:
        made = guidance.guide(pipe, largest, **how)
    assert [len(seen) for seen in made.losses[0].values()] == [1, 1]
    assert [call.step for call in trace.calls] == [0, 1]
    assert attnscope.heat_map(trace, "cat").array.shape == (16, 16)
    assert torch.equal(made.images, guidance.guide(pipe, largest, **how).images)


# Captures with a graph


def call(pipe, latent, **options):
    embeddings = pipe.encode_prompt(PROMPT, "cpu", 1, False)[0].detach()
    with attnscope.capture(pipe.unet, branches=("cond",), grad=True, **options) as trace:
        pipe.unet(latent, 500, encoder_hidden_states=embeddings)
    return trace


@pytest.mark.parametrize("mean", ["head", ("head", "query"), ()], ids=str)
def test_probabilities_have_the_gradient_of_attention_written_out(pipe, mean):
    latent = noise_of(pipe).requires_grad_(True)
    trace = call(pipe, latent)
    p = trace.probabilities(block=3, kind="cross", mean=mean, token=[CAT, STAR])
    (ours,) = torch.autograd.grad(p.square().sum(), [latent], retain_graph=True)
    record = trace.record(block=3, kind="cross")
    written = torch.softmax(record.query @ record.key.mT * record.scale, -1)[..., [CAT, STAR]]
    for axis in (2, 1) if "query" in mean else (1,) if mean else ():
        written = written.mean(axis)
    (expected,) = torch.autograd.grad(written.square().sum(), [latent])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-8)


def test_a_heat_map_has_a_gradient(pipe):
    latent = noise_of(pipe).requires_grad_(True)
    trace = call(pipe, latent)
    heat = attnscope.heat_map(trace, CAT)
    heat.tensor.sum().backward()
    assert latent.grad.abs().max() > 0
    assert torch.allclose(heat.tensor.detach().float(), torch.from_numpy(heat.array))
    with torch.no_grad():
        assert attnscope.heat_map(trace, CAT).tensor is None


def test_a_trace_with_a_graph_is_saved_without_it(pipe, tmp_path):
    trace = call(pipe, noise_of(pipe).requires_grad_(True))
    again = attnscope.load_trace(trace.save(tmp_path / "trace"))
    ours = trace.probabilities(block=3, kind="self").detach()
    assert torch.equal(again.probabilities(block=3, kind="self"), ours)


def test_a_run_without_gradients_is_refused(pipe):
    with (
        pytest.raises(CaptureError, match=r"pipelines run under torch.no_grad\(\)"),
        attnscope.capture(pipe, grad=True),
    ):
        pipe(PROMPT, num_inference_steps=1)
    pipe.unet.requires_grad_(False)
    try:
        with pytest.raises(CaptureError, match="call the model with a latent or embeddings that require one"):
            call(pipe, noise_of(pipe))
    finally:
        pipe.unet.requires_grad_(True)


@pytest.mark.parametrize("options", [{"folder": "x"}, {"budget": "1GB"}, {"where": "somewhere"}])
def test_a_graph_goes_into_no_file(pipe, options):
    with pytest.raises(ParameterError, match="grad=True keeps a graph"):
        attnscope.capture(pipe, grad=True, **options)


# Errors


def test_calls_that_make_no_sense(pipe):
    with pytest.raises(WordError, match="no word 'dog'"):
        guidance.attend_and_excite(pipe, ["dog"], prompt=PROMPT, num_inference_steps=1)
    with pytest.raises(ParameterError, match="expected a list of words"):
        guidance.attend_and_excite(pipe, [], prompt=PROMPT)
    with pytest.raises(ParameterError, match="expected a list of words"):
        guidance.attend_and_excite(pipe, ["cat"], prompt=[PROMPT, PROMPT])
    with pytest.raises(ParameterError, match="expected a scalar"):
        guidance.guide(pipe, lambda trace: 3.0, prompt=PROMPT, num_inference_steps=1)
    with pytest.raises(ParameterError, match="without a gradient"):
        guidance.guide(pipe, lambda trace: torch.zeros(()), prompt=PROMPT, num_inference_steps=1)
    with pytest.raises(ParameterError, match="numbers from 0"):
        guidance.guide(pipe, lambda trace: 0, prompt=PROMPT, num_inference_steps=1, steps=[1])
    with pytest.raises(ParameterError, match="repeat the prompt for more"):
        guidance.guide(pipe, lambda trace: 0, prompt=PROMPT, num_images_per_prompt=2)
    with pytest.raises(ModelError, match="can't be guided"):
        guidance.guide(pipe.unet, lambda trace: 0, prompt=PROMPT, num_inference_steps=1)
