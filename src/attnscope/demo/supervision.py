"""What do the attention losses add? Two short trainings of equal length, one with them, one without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from rich.console import Console
from rich.progress import track

from attnscope.demo.architecture import untrained_pipeline
from attnscope.demo.checkpoint import PhaseRecord
from attnscope.demo.clock import StepClock
from attnscope.demo.phases import PHASES, Trainee, steps

SMALL = next(phase for phase in PHASES if phase.name == "small")


def trained_both_ways(
    vae: AutoencoderKL, count: int, console: Console
) -> Iterator[tuple[str, StableDiffusionPipeline]]:
    """Train the network of one seed on the same scenes twice in the phase "small": with attention losses, and without.

    Args:
        vae: The autoencoder, which is not trained.
        count: Steps of each training.
        console: Where progress is shown.

    Yields:
        (name, pipeline) of each training.

    Cost: about 1.2 s a step on two cores, twice.
    """
    for name, supervised in (("with attention losses", True), ("without attention losses", False)):
        pipe = untrained_pipeline().to(vae.device)
        pipe.vae = vae
        phase = replace(SMALL, supervised=supervised, scenes=SMALL.batch * -(-count // SMALL.uses))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            trainee = Trainee.of(pipe, phase)
            training = steps(trainee, phase, PhaseRecord(), StepClock(count), workers=2)
            for _ in track(training, name, count, console=console):
                pass
        trainee.swap_mean()
        pipe.unet.requires_grad_(False).eval()
        pipe.text_encoder.requires_grad_(False).eval()
        yield name, pipe
