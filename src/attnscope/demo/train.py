"""Train the demo model from scratch: `python -m attnscope.demo.train --minutes 90 --out MODEL`.

Four phases share the time (see phases.py). Every two minutes a checkpoint and its model folder are written; the same
command goes on from there. `--export` only writes that folder. `--start MODEL` begins
with a model's weights, for example the shipped ones, and trains the U-Net on; `--phases full` runs that phase alone.
Works on a CPU and on a GPU.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import diffusers
import torch
import transformers
from diffusers import StableDiffusionPipeline
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from attnscope.demo import attention_losses, unet_training, vae_training
from attnscope.demo.architecture import LATENT_PX, PICTURE_PX, untrained_pipeline
from attnscope.demo.card_filling import MOST_SAMPLES, filling
from attnscope.demo.checkpoint import (
    RECORD,
    PhaseRecord,
    Record,
    export_model,
    load_checkpoint,
    save_checkpoint,
)
from attnscope.demo.clock import WorkClock
from attnscope.demo.evaluate import SCENES, Order, report, table
from attnscope.demo.phases import PHASES, Phase, Trainee, steps
from attnscope.demo.scenes import FIRST_TRAINING_SEED
from attnscope.demo.truth import draw_truths

CHECKPOINT_SECONDS = 120
LOG_STEPS = 50
WHITENING_SCENES = 64
PARTS = ("vae", "unet", "text_encoder")


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        minutes: Time of all phases together.
        checkpoint: File that is written while training, and resumed from if it is there.
        out: Folder for the model.
        start: Folder of a model whose weights to begin with.
        device: Where to train, such as 'cpu' or 'cuda'.
        seed: Seed of weights and batches.
        workers: Processes that draw scenes.
        most_batch: Take batches as large as pay on this GPU, up to so many samples. 0: those in phases.py.
    """

    minutes: float
    checkpoint: Path
    out: Path
    start: Path | None = None
    device: str = "cpu"
    seed: int = 0
    workers: int = 2
    most_batch: int = 0


class Training:
    """A training under way: the pipeline, its record, and the file that both go to.

    Args:
        settings: How to train.
        phases: The phases, in order.
    """

    def __init__(self, settings: Settings, phases: Sequence[Phase] = PHASES) -> None:
        self.settings = settings
        self.phases = phases
        self.state = load_checkpoint(settings.checkpoint) if settings.checkpoint.exists() else {}
        self.record = new_record(settings)
        if self.state:
            earlier = Record.from_json(self.state["record"])
            self.record.phases, self.record.started = earlier.phases, earlier.started
            self.record.earlier = earlier.earlier
        self.pipe = self._pipeline().to(settings.device)

    def _pipeline(self) -> StableDiffusionPipeline:
        start = self.settings.start
        if start is None or self.state:
            pipe = untrained_pipeline(self.settings.seed)
        else:
            pipe = StableDiffusionPipeline.from_pretrained(start, safety_checker=None).to(torch.float32)
            before = Record.from_json((start / RECORD).read_text("utf-8"))
            self.record.go_on_from(before)
            trained_at = before.settings.get("attention_losses", {}).get("TEMPERATURE", 1.0)
            attention_losses.sharpen(pipe.unet, attention_losses.TEMPERATURE / trained_at)
        for part in PARTS if self.state else ():
            getattr(pipe, part).load_state_dict(self.state[part])
        return pipe

    def run(self, console: Console) -> None:
        """Run all phases that are not done yet, then write the model folder.

        Args:
            console: Where progress is shown.
        """
        for phase in self.phases:
            record = self.record.phases.get(phase.name) or self.record.new_phase(phase.name)
            if not record.done:
                self._run_phase(phase, record, console)
                self.export()
        self.export()

    def _run_phase(self, phase: Phase, record: PhaseRecord, console: Console) -> None:
        if self.settings.most_batch:
            phase = filling(self.pipe, phase, most=self.settings.most_batch)
            console.log(f"{phase.name}: batches of {phase.batch}")
        record.batch = phase.batch
        torch.manual_seed(self.settings.seed + record.steps)
        trainee = Trainee.of(self.pipe, phase)
        if self.state.get("phase") == phase.name:
            trainee.restore(self.state["trainee"])
        clock = WorkClock(60 * self.settings.minutes * self._share(phase), record.seconds)
        saved, recent = time.monotonic(), []
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
        ) as bar:
            task = bar.add_task(phase.name, total=1.0)
            for losses in steps(trainee, phase, record, clock, self.settings.workers):
                recent.append(losses)
                if record.steps % LOG_STEPS == 0:
                    self._note(phase, record, recent, console)
                bar.update(task, completed=clock.progress, description=f"{phase.name} step {record.steps}")
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self._save(phase, trainee)
                    self.export()
                    saved = time.monotonic()
        self._finish(phase, record, trainee)

    def _share(self, phase: Phase) -> float:
        """The phase's share of the time, which is divided among the phases that this training runs."""
        skipped = {name for name, record in self.record.phases.items() if record.done and not record.steps}
        return phase.share / sum(other.share for other in self.phases if other.name not in skipped)

    def _note(
        self, phase: Phase, record: PhaseRecord, recent: list[dict[str, float]], console: Console
    ) -> None:
        means = {name: round(mean(step[name] for step in recent), 4) for name in recent[0]}
        record.losses.append((record.steps, means))
        recent.clear()
        console.log(
            f"{phase.name} step {record.steps}, {record.samples} samples, {record.seconds:.0f} s: {means}"
        )

    def _finish(self, phase: Phase, record: PhaseRecord, trainee: Trainee) -> None:
        """Adopt the running mean of the weights; whiten the latents of a new autoencoder."""
        trainee.swap_mean()
        if phase.name == "vae":
            seeds = range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + WHITENING_SCENES)
            pool = vae_training.gather(draw_truths(seeds, PICTURE_PX, LATENT_PX, workers=0))
            vae_training.whiten(
                self.pipe.vae, vae_training.encode(self.pipe.vae, pool.pixels).to(self.pipe.device)
            )
        record.done = True
        self._save(phase, None)

    def _save(self, phase: Phase, trainee: Trainee | None) -> None:
        weights = {part: getattr(self.pipe, part).state_dict() for part in PARTS}
        progress = {"phase": phase.name, "trainee": trainee.state()} if trainee else {}
        self.state = {**weights, **progress, "record": self.record.to_json()}
        save_checkpoint(self.settings.checkpoint, self.state)

    def export(self) -> None:
        """Write the model folder. In the middle of a phase it gets the running mean of the weights."""
        phase = next((phase for phase in self.phases if phase.name == self.state.get("phase")), None)
        if phase is not None and not self.record.phases[phase.name].done:
            trainee = Trainee.of(self.pipe, phase)
            trainee.restore(self.state["trainee"])
            trainee.swap_mean()
            export_model(self.pipe, self.record, self.settings.out)
            trainee.swap_mean()
        else:
            export_model(self.pipe, self.record, self.settings.out)


def new_record(settings: Settings) -> Record:
    """What is known before the first step.

    Args:
        settings: How to train.
    """
    weights = {
        module.__name__.rsplit(".", 1)[-1]: {
            name: value for name, value in vars(module).items() if isinstance(value, float | int | tuple)
        }
        for module in (vae_training, unet_training, attention_losses)
    }
    return Record(
        seed=settings.seed,
        machine=f"{platform.machine()}, {torch.get_num_threads()} threads, {settings.device}",
        versions={
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
        },
        settings={"minutes": settings.minutes, "phases": [asdict(phase) for phase in PHASES], **weights},
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )


def parse(arguments: Sequence[str] | None = None) -> tuple[Settings, Sequence[Phase], bool, int]:
    """Read the command line.

    Args:
        arguments: Default: the command line's.

    Returns:
        The settings, the phases, whether only to export, and how many scenes to evaluate on.
    """
    parser = argparse.ArgumentParser(
        prog="python -m attnscope.demo.train", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=90, help="time for all phases together (default 90)")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write at the end")
    parser.add_argument(
        "--checkpoint", type=Path, default=Path("demo-training.pt"), help="file to resume from"
    )
    parser.add_argument("--start", type=Path, help="model folder whose weights to begin with")
    parser.add_argument(
        "--phases",
        nargs="+",
        choices=[phase.name for phase in PHASES],
        default=[phase.name for phase in PHASES],
        help="run only these, which share the time",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw scenes (default 2)")
    parser.add_argument(
        "--fill-card",
        action="store_const",
        const=MOST_SAMPLES,
        default=0,
        dest="most_batch",
        help="batches as large as pay on this GPU (default: as on two cores)",
    )
    parser.add_argument("--export", action="store_true", help="write the checkpoint's model folder and stop")
    parser.add_argument(
        "--scenes", type=int, default=SCENES, help="held-out scenes to evaluate on; 0: do not"
    )
    given = vars(parser.parse_args(arguments))
    only_export, scenes, chosen = given.pop("export"), given.pop("scenes"), given.pop("phases")
    phases = [phase for phase in PHASES if phase.name in chosen]
    return Settings(**given), phases, only_export, scenes


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, or only export; then say how good the model is.

    Args:
        arguments: Default: the command line's.
    """
    settings, phases, only_export, scenes = parse(arguments)
    training = Training(settings, phases)
    console = Console(stderr=True)
    if only_export:
        training.export()
    else:
        training.run(console)
    if scenes:
        training.record.scores = report(settings.out, Order(scenes), console, device=settings.device)
        training.export()
        console.print(table(training.record.scores))


if __name__ == "__main__":
    main()
