"""The demo model trained on from its shipped weights, and measured beside them: what the stage `training` does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from diffusers import StableDiffusionPipeline
from rich.console import Console

from attnscope.demo import DIFFSEG_THRESHOLD, MODEL_FOLDER
from attnscope.demo.card_filling import MOST_SAMPLES
from attnscope.demo.checkpoint import RECORD, Record
from attnscope.demo.evaluate import PUBLISHED_THRESHOLD, Scores, evaluate
from attnscope.demo.phases import PHASES, Phase
from attnscope.demo.picture_scores import STEPS, PictureScores, asked_scenes, paint, score_pictures
from attnscope.demo.recognition import DRAWINGS, ROUNDS, Recogniser, train_recogniser
from attnscope.demo.scenes import scene
from attnscope.demo.train import Settings, Training
from attnscope.files import whole_file

SHARES = {"vae": 0.0, "small": 0.4, "full": 0.55, "decoder": 0.05}
"""Of the time: the autoencoder stays, and with it all latents."""
LARGEST_FILE = 16 << 20
MOST_WORKERS = 16
THRESHOLDS = (DIFFSEG_THRESHOLD, PUBLISHED_THRESHOLD)


@dataclass(frozen=True)
class Size:
    """How much is trained and measured.

    pictures: of one thing, and as many of two, in so many steps each; held_out: drawings that the judge is judged by;
    drawings, rounds: what it learns from.
    """

    phases: tuple[Phase, ...]
    scenes: int
    pictures: int
    steps: int
    held_out: int
    drawings: int
    rounds: int
    workers: int
    most_batch: int


FULL = Size(
    tuple(replace(phase, share=SHARES[phase.name]) for phase in PHASES),
    scenes=200,
    pictures=100,
    steps=STEPS,
    held_out=500,
    drawings=DRAWINGS,
    rounds=ROUNDS,
    workers=min(MOST_WORKERS, len(os.sched_getaffinity(0))),
    most_batch=MOST_SAMPLES,
)
TOY_PX = {"vae": 128, "small": 64, "full": 64, "decoder": 128}
TOY = Size(
    tuple(replace(phase, size_px=TOY_PX[phase.name], batch=2, scenes=4, uses=1) for phase in FULL.phases),
    scenes=1,
    pictures=1,
    steps=2,
    held_out=4,
    drawings=64,
    rounds=1,
    workers=0,
    most_batch=4,
)


def train(out: Path, minutes: float, size: Size, device: str, console: Console) -> dict[str, Any]:
    """Train on and write OUT/model; what the training says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            minutes=minutes,
            checkpoint=Path(folder) / "training.pt",
            out=out / "model",
            start=MODEL_FOLDER,
            device=device,
            workers=size.workers,
            most_batch=size.most_batch,
        )
        training = Training(settings, size.phases)
        training.run(console)
    phases = {name: asdict(phase) for name, phase in training.record.phases.items()}
    return {"minutes": minutes, "device": device, "phases": phases}


def measure(
    folders: dict[str, Path], size: Size, device: str, console: Console
) -> Iterator[tuple[str, dict[str, float]]]:
    """(model, rows) as they come: all of the first model, then all of the next."""
    scenes = [scene(seed) for seed in range(size.scenes)]
    network = None
    for name, folder in folders.items():
        pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None).to(device)
        console.log(f"{name}: words and segments of {size.scenes} scenes, then {2 * size.pictures} pictures")
        yield name, word_rows(evaluate(pipe, scenes, thresholds=THRESHOLDS))
        network = network or recogniser(size, console)
        yield name, picture_rows(scored_pictures(pipe, network, size, console))


def recogniser(size: Size, console: Console) -> Recogniser:
    return train_recogniser(console, drawings=size.drawings, rounds=size.rounds, workers=max(1, size.workers))


def scored_pictures(
    pipe: StableDiffusionPipeline, network: Recogniser, size: Size, console: Console
) -> PictureScores:
    one, two = (
        paint(pipe, asked_scenes(things, size.pictures), console, steps=size.steps) for things in (1, 2)
    )
    return score_pictures(pipe, network, one, two, held_out=size.held_out)


def word_rows(scores: Scores) -> dict[str, float]:
    return {
        **{f"pointing game, {kind}": value for kind, value in scores.pointing.items()},
        **{f"word IoU, {kind}": value for kind, value in scores.word_iou.items()},
        **{f"DiffSeg mIoU at {threshold}": value for threshold, value in scores.segment_iou.items()},
    }


def picture_rows(scores: PictureScores) -> dict[str, float]:
    return {
        "one thing: named": scores.one_thing.shown,
        "one thing: absent things not named": scores.one_thing.absent,
        "one thing: colour, of things named": scores.one_thing.colour,
        "two things: both named": scores.both_there,
        "the autoencoder: drawings named": scores.reconstructed.shown,
    }


def compared(rows: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Every row of both models side by side, and whether none has become worse."""
    trained, shipped = rows["trained on"], rows["shipped"]
    both = {name: [trained[name], shipped[name]] for name in trained if name in shipped}
    worse = sorted(name for name, (new, old) in both.items() if new < old)
    return {"trained on, shipped": both, "worse": worse}


def add_scores(model: Path, rows: dict[str, float]) -> None:
    """The record that goes with the weights says how good they are."""
    record = Record.from_json((model / RECORD).read_text("utf-8"))
    record.scores = dict(rows)
    with whole_file(model / RECORD) as file:
        file.write_text(record.to_json(), "utf-8")


def too_large(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and path.stat().st_size >= LARGEST_FILE]
