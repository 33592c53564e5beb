"""The four phases of the training as generators of steps: a progress bar can watch, a clock can stop them.

vae: the autoencoder on crops; small: the U-Net on 128-pixel scenes (16x16 latents, seven times cheaper);
full: the same U-Net on 256-pixel scenes; decoder: the autoencoder's second half again, which makes pictures
clearer and leaves the latents, and so the U-Net, as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from attnscope.demo import latent_pool, unet_training, vae_training
from attnscope.demo.architecture import LATENT_PX, PICTURE_PX
from attnscope.demo.checkpoint import PhaseRecord
from attnscope.demo.clock import WorkClock, learning_rate
from attnscope.demo.scenes import FIRST_TRAINING_SEED
from attnscope.demo.truth import Truth, draw_truths
from attnscope.errors import ParameterError

CLIP_NORM = 1.0
EMA_DECAY = 0.995
UNET_PHASES = ("small", "full")
SEEDS_A_PHASE = 10_000_000
"""Seeds for the scenes of one phase: no two phases share one."""


@dataclass(frozen=True)
class Phase:
    """Settings of one phase.

    Attributes:
        name: 'vae', 'small', 'full' or 'decoder'.
        number: Place in the order, from 0. Its scenes' seeds follow from it.
        share: Share of the time, among the phases that run.
        size_px: Side of the scenes in pixels.
        batch: Samples a step.
        scenes: Scenes drawn at once.
        uses: How many times each scene is used.
        peak_rate: The largest learning rate.
        supervised: Train with the attention losses, in the U-Net's phases.
    """

    name: str
    number: int
    share: float
    size_px: int
    batch: int
    scenes: int
    uses: int
    peak_rate: float
    supervised: bool = True

    def __post_init__(self) -> None:
        """Refuse a pool of scenes that is smaller than a batch: it would be drawn again for ever."""
        most = self.scenes if self.name in UNET_PHASES else self.scenes * self.uses
        if not 0 < self.batch <= most:
            raise ParameterError(
                f"phase {self.name}: a batch of {self.batch} out of {self.scenes} scenes, each used {self.uses} times; "
                f"expected at most {most}"
            )


PHASES = (
    Phase("vae", 0, share=0.28, size_px=PICTURE_PX, batch=8, scenes=1000, uses=18, peak_rate=1.5e-3),
    Phase("small", 1, share=0.3, size_px=PICTURE_PX // 2, batch=32, scenes=3000, uses=5, peak_rate=1e-3),
    Phase("full", 2, share=0.37, size_px=PICTURE_PX, batch=8, scenes=600, uses=4, peak_rate=6e-4),
    Phase("decoder", 3, share=0.05, size_px=PICTURE_PX, batch=8, scenes=300, uses=18, peak_rate=1e-3),
)


@dataclass
class Trainee:
    """A pipeline in training.

    Attributes:
        pipe: The pipeline.
        parameters: The parameters that are trained.
        optimizer: Their optimizer.
        mean: Their running mean (EMA).
    """

    pipe: StableDiffusionPipeline
    parameters: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    mean: list[Tensor]

    @classmethod
    def of(cls, pipe: StableDiffusionPipeline, phase: Phase) -> Trainee:
        """A pipeline whose parameters of one phase are about to be trained; the others are frozen.

        Args:
            pipe: The pipeline.
            phase: The phase.
        """
        modules = {
            "vae": [pipe.vae],
            "small": [pipe.unet, pipe.text_encoder],
            "full": [pipe.unet, pipe.text_encoder],
            "decoder": [pipe.vae.post_quant_conv, pipe.vae.decoder],
        }[phase.name]
        for part in (pipe.vae, pipe.unet, pipe.text_encoder):
            part.requires_grad_(False).eval()
        for module in modules:
            module.requires_grad_(True).train()
        parameters = [parameter for module in modules for parameter in module.parameters()]
        optimizer = torch.optim.AdamW(
            parameters, lr=phase.peak_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        return cls(pipe, parameters, optimizer, [parameter.detach().clone() for parameter in parameters])

    def update(self, loss: Tensor, rate: float, step: int) -> None:
        """Take one optimizer step, then one of the running mean.

        Args:
            loss: The batch's loss.
            rate: Learning rate.
            step: Number of the step, from 0. The running mean is quicker in the first steps.
        """
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM)
        self.optimizer.step()
        decay = min(EMA_DECAY, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.mean, list[Tensor](self.parameters), 1 - decay)

    @torch.no_grad()
    def swap_mean(self) -> None:
        """Exchange parameters and running mean; calling it again undoes it."""
        for parameter, mean in zip(self.parameters, self.mean, strict=True):
            kept = parameter.clone()
            parameter.copy_(mean)
            mean.copy_(kept)

    def state(self) -> dict[str, object]:
        """Optimizer and running mean, for a checkpoint."""
        return {"optimizer": self.optimizer.state_dict(), "mean": self.mean}

    def restore(self, state: dict[str, object]) -> None:
        """Take up what `state` gave.

        Args:
            state: Optimizer and running mean.
        """
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        means: list[Tensor] = list(state["mean"])  # type: ignore[call-overload]
        self.mean = [mean.to(p.device) for mean, p in zip(means, self.parameters, strict=True)]


Step = tuple[Tensor, dict[str, float]]
"""The loss of one batch, and what to show of it."""


def steps(
    trainee: Trainee, phase: Phase, record: PhaseRecord, clock: WorkClock, workers: int
) -> Iterator[dict[str, float]]:
    """Train until the clock is used up.

    Args:
        trainee: The pipeline in training.
        phase: The phase's settings.
        record: Is kept up to date.
        clock: Says when to stop, and gives the learning rate its pace.
        workers: Processes that draw scenes. 0: this one.

    Yields:
        The losses of a step, after it was taken.
    """
    batches = _unet_losses if phase.name in UNET_PHASES else _vae_losses
    for number, (loss, shown) in enumerate(batches(trainee.pipe, phase, record, workers)):
        if clock.progress >= 1:
            return
        if number == 0:
            clock.begin()  # after the first scenes are drawn, or the rate would be past its warm-up
        trainee.update(loss, learning_rate(phase.peak_rate, clock.progress), record.steps)
        clock.tick()
        record.steps += 1
        record.samples += phase.batch
        record.seconds = clock.used_s
        yield shown


def _draw(phase: Phase, record: PhaseRecord, workers: int) -> Iterator[Truth]:
    """The phase's next scenes, which are all new."""
    first = FIRST_TRAINING_SEED + phase.number * SEEDS_A_PHASE + record.scenes_before + record.scenes_drawn
    record.scenes_drawn += phase.scenes
    return draw_truths(range(first, first + phase.scenes), phase.size_px, LATENT_PX, workers=workers)


def _vae_losses(
    pipe: StableDiffusionPipeline, phase: Phase, record: PhaseRecord, workers: int
) -> Iterator[Step]:
    loss_of = vae_training.vae_loss if phase.name == "vae" else vae_training.decoder_loss
    while True:
        pool = vae_training.gather(_draw(phase, record, workers))
        for _ in range(phase.uses * phase.scenes // phase.batch):
            pixels, weight = vae_training.crops(pool, phase.batch, pipe.vae.device)
            loss = loss_of(pipe.vae, pixels, weight)
            yield loss, {"loss": loss.item()}


def _unet_losses(
    pipe: StableDiffusionPipeline, phase: Phase, record: PhaseRecord, workers: int
) -> Iterator[Step]:
    device = pipe.unet.device
    ids = latent_pool.CaptionIds.of(pipe.tokenizer, device)
    while True:
        pool = latent_pool.fill(_draw(phase, record, workers), pipe.vae, pipe.tokenizer)
        for batch in pool.batches(phase.batch, phase.uses):
            losses = unet_training.losses(pipe, batch.to(device), ids, supervised=phase.supervised)
            parts = {
                "denoising": losses.denoising,
                "self": losses.self_attention,
                "cross": losses.cross_attention,
            }
            yield losses.total, {name: value.item() for name, value in parts.items()}
