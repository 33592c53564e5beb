"""How large a training batch pays on a GPU: it must fit, and samples must go by faster."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from attnscope.demo import latent_pool, unet_training, vae_training
from attnscope.demo.architecture import LATENT_PX
from attnscope.demo.phases import UNET_PHASES, Phase, Trainee
from attnscope.demo.scenes import FIRST_TRAINING_SEED
from attnscope.demo.truth import draw_truths

LEAST_GAIN = 1.1
"""A doubled batch pays if samples a second grow at least by this factor."""
MOST_MEMORY = 0.4
"""Share of the card's memory: a batch that takes more is not doubled."""
MOST_SAMPLES = 2048
TRIED_SCENES = 64
TIMED_STEPS = 3
BATCHES_A_POOL = 16
"""Batches for which scenes are drawn at once: starting the processes that draw takes a second or two."""
MOST_SCENES = 4096
"""The most scenes drawn at once, so that training does not wait long: some 2 s on 16 cores."""


def filling(pipe: StableDiffusionPipeline, phase: Phase, *, most: int = MOST_SAMPLES) -> Phase:
    """The phase with the largest batch that pays on this GPU, and scenes to match.

    The learning rate stays: a step with less noise is safe, a longer one may not be. Weights and random numbers
    are left as they are.

    Args:
        pipe: The pipeline, on its device.
        phase: The phase with the batch to begin with.
        most: The largest batch to try, in samples.

    Raises:
        torch.cuda.OutOfMemoryError: Not even the phase's own batch fits.

    Cost: about a second for each doubling.
    """
    best, fastest, batch = phase.batch, 0.0, phase.batch
    with torch.random.fork_rng(devices=[pipe.device] if pipe.device.type == "cuda" else []):
        loss_of = _losses(pipe, phase)
        trainee = Trainee.of(pipe, phase)
        while batch <= most:
            _begin_memory(pipe.device)
            try:
                rate = batch / _seconds_of_a_step(partial(loss_of, batch), trainee)
            except torch.cuda.OutOfMemoryError:
                if not fastest:
                    raise
                break
            if rate < LEAST_GAIN * fastest:
                break
            best, fastest, batch = batch, rate, 2 * batch
            if _share_of_memory(pipe.device) > MOST_MEMORY:
                break
        trainee.optimizer.zero_grad(set_to_none=True)
        _begin_memory(pipe.device)
    if phase.name not in UNET_PHASES:  # crops of a few pictures will do
        return replace(phase, batch=best, scenes=max(phase.scenes, -(-best // phase.uses)))
    return replace(phase, batch=best, scenes=max(phase.scenes, min(BATCHES_A_POOL * best, MOST_SCENES)))


def _losses(pipe: StableDiffusionPipeline, phase: Phase) -> Callable[[int], Tensor]:
    """The phase's loss for a batch of any size, from a few scenes used again and again."""
    seeds = range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + TRIED_SCENES)
    truths = draw_truths(seeds, phase.size_px, LATENT_PX, workers=0)
    if phase.name not in UNET_PHASES:
        pictures = vae_training.gather(truths)
        of_crops = vae_training.vae_loss if phase.name == "vae" else vae_training.decoder_loss
        return lambda batch: of_crops(pipe.vae, *vae_training.crops(pictures, batch, pipe.vae.device))
    pool = latent_pool.fill(truths, pipe.vae, pipe.tokenizer)
    ids = latent_pool.CaptionIds.of(pipe.tokenizer, pipe.unet.device)

    def of_scenes(batch: int) -> Tensor:
        chosen = pool[torch.randint(len(pool), (batch,))].to(pipe.unet.device)
        return unet_training.losses(pipe, chosen, ids, supervised=phase.supervised).total

    return of_scenes


def _seconds_of_a_step(loss: Callable[[], Tensor], trainee: Trainee) -> float:
    """Of a forward and a backward pass, after one to warm up. Weights do not move."""
    seconds = []
    for _ in range(1 + TIMED_STEPS):
        began = time.perf_counter()
        loss().backward()
        trainee.optimizer.zero_grad(set_to_none=True)
        if trainee.pipe.device.type == "cuda":
            torch.cuda.synchronize(trainee.pipe.device)
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def _begin_memory(device: torch.device) -> None:
    """Give back the memory of earlier tries, and count from here."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _share_of_memory(device: torch.device) -> float:
    """The largest share of a GPU's memory that the last try took, 0 without a GPU."""
    if device.type != "cuda":
        return 0.0
    return torch.cuda.max_memory_allocated(device) / torch.cuda.get_device_properties(device).total_memory
