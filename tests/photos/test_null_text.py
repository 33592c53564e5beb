"""Null-text optimisation: guidance leads back to the photo, by the numbers of its paper's program."""

import copy

import pytest
import torch
from diffusers import DDIMScheduler

from attnscope import invert_photo
from attnscope.photos import null_text
from attnscope.photos.inversion import ddim_making
from photo_cases import photo_of, sdxl, with_scheduler

PROMPT = "a red cat on a star"


@pytest.fixture
def two_inner_steps(monkeypatch):
    """The random model of the tests needs no more, and nothing is close enough to stop before."""
    monkeypatch.setattr(null_text, "INNER_STEPS", 2)
    monkeypatch.setattr("attnscope.photos.inversion.INNER_STEPS", 2)
    monkeypatch.setattr(null_text, "CLOSE", -1.0)


def by_backward(pipe, latents, prompt, steps, scale):
    """The paper's algorithm 1 with the autograd of whole losses, on a copy of the model."""
    unet, scheduler = copy.deepcopy(pipe.unet), copy.deepcopy(pipe.scheduler)
    scheduler.set_timesteps(steps)
    cond, null = pipe.encode_prompt(prompt, "cpu", 1, True)
    latent, found = latents[-1:], []

    def next_latent(without, with_prompt, timestep):
        guided = without + scale * (with_prompt - without)
        return scheduler.step(guided, timestep, latent).prev_sample

    for number, timestep in enumerate(scheduler.timesteps):
        null = null.detach().clone().requires_grad_()
        adam = torch.optim.Adam([null], lr=0.01 * (1 - number / 100))
        with torch.no_grad():
            with_prompt = unet(latent, timestep, cond).sample
        for _ in range(2):
            adam.zero_grad()
            to = latents[steps - number - 1][None]
            torch.nn.functional.mse_loss(
                next_latent(unet(latent, timestep, null).sample, with_prompt, timestep), to
            ).backward()
            adam.step()
        found.append(null.detach())
        with torch.no_grad():
            latent = next_latent(unet(latent, timestep, null).sample, with_prompt, timestep)
    return torch.cat(found)


def test_embeddings_are_those_of_whole_losses(pipe, two_inner_steps):
    with with_scheduler(pipe, DDIMScheduler, steps_offset=1):
        found = invert_photo(
            pipe, photo_of(64, 64), PROMPT, num_inference_steps=3, null_text=True, guidance_scale=3
        )
        expected = by_backward(pipe, found.latents, PROMPT, 3, 3)
    moved = (expected - pipe.encode_prompt(PROMPT, "cpu", 1, True)[1]).abs().max()
    assert moved > 0.01
    assert (
        found.null_embeddings - expected
    ).abs().max() < 0.02 * moved  # Adam divides small gradients by themselves


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_guidance_leads_nearer_to_the_photo(pipe, kind):
    pipe = sdxl(pipe) if kind == "sdxl" else pipe
    found = invert_photo(pipe, photo_of(64, 64), PROMPT, num_inference_steps=2, null_text=True)
    assert (found.guidance_scale, len(found.null_embeddings)) == (7.5, 2)
    assert "null text for guidance 7.5" in repr(found)

    def far(inversion):
        return (
            (inversion.made_again(ddim_making(pipe, 2), guidance_scale=7.5)[-1] - found.latents[0])
            .square()
            .mean()
        )

    bare = type(found)(found.prompt, found.latents, found.timesteps, found.photo)
    assert far(found) < 0.9 * far(bare)


def test_it_stops_where_the_latent_is_close_enough(pipe, monkeypatch):
    monkeypatch.setattr(null_text, "CLOSE", 1e9)
    adam, steps = torch.optim.Adam, []
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: steps.append(adam))
    told = []
    invert_photo(
        pipe, photo_of(64, 64), PROMPT, num_inference_steps=2, null_text=True,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert len(steps) == 2  # one in each step
    assert told[-1] == (22, 22)
