"""Which blocks, heads and steps of the demo model point best at what words mean: `python -m attnscope.demo.pointing`.

Drawn scenes, whose masks are exact, are read with their captions: one pass at the timestep of each step of a run, with
noise of that step.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from diffusers import StableDiffusionPipeline
from rich.console import Console
from rich.progress import track
from rich.table import Table

from attnscope.demo import MODEL_FOLDER
from attnscope.demo.scenes import Scene, scene
from attnscope.measuring.rank import rank_layers
from attnscope.measuring.ranking import Ranking
from attnscope.measuring.score import Score
from attnscope.photos.latents import noised, photo_latent, photo_tensor
from attnscope.photos.one_pass import photo_trace

FIRST_SEED = 60_000
"""Thresholds and evaluations take other scenes below a million, and training those above."""
PICTURES, STEPS, BEST_HEADS = 40, 20, 10
SIZE_PX = 256


def rankings(pipe: StableDiffusionPipeline, picture: Scene, timesteps: Sequence[int]) -> Iterator[Ranking]:
    """How well words of a scene's caption point, at each of some timesteps.

    Args:
        pipe: The pipeline.
        picture: The scene.
        timesteps: Of the noise.
    """
    latent = photo_latent(pipe, photo_tensor(picture.pil_image, picture.segments.shape))
    for timestep in timesteps:
        seen = noised(pipe, latent, timestep, picture.seed)
        yield rank_layers(
            photo_trace(pipe, seen, picture.caption, timestep=timestep, kind="cross"), picture.masks
        )


def tables(of_steps: dict[int, Ranking]) -> Iterator[Table]:
    """Blocks, heads and timesteps, best first.

    Args:
        of_steps: For each timestep the ranking of all pictures.
    """
    every = Ranking.together(list(of_steps.values()))
    rows = [*((str(score.where), score) for score in every.blocks), ("all blocks", every.all)]
    yield _table(f"blocks; chance {every.chance:.3f}", rows)
    yield _table("heads", [(str(score.where), score) for score in every.heads[:BEST_HEADS]])
    yield _table("steps", [(f"timestep {timestep}", ranking.all) for timestep, ranking in of_steps.items()])


def _table(title: str, scores: Sequence[tuple[str, Score]]) -> Table:
    table = Table("", "average precision", "AUC", "IoU", title=title)
    for name, score in scores:
        mean = score.mean
        table.add_row(name, f"{mean.average_precision:.3f}", f"{mean.auc:.3f}", f"{mean.iou:.3f}")
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, and write all numbers as JSON if that was asked for.

    Args:
        arguments: Default: the command line's.
    """
    parser = argparse.ArgumentParser(prog="python -m attnscope.demo.pointing", description=__doc__)
    parser.add_argument("--pictures", type=int, default=PICTURES, help=f"how many (default {PICTURES})")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of a run (default {STEPS})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers here")
    given = parser.parse_args(arguments)
    console = Console(stderr=True)
    pipe = StableDiffusionPipeline.from_pretrained(MODEL_FOLDER, safety_checker=None)
    pipe.scheduler.set_timesteps(given.steps)
    timesteps = [int(timestep) for timestep in pipe.scheduler.timesteps]
    of_pictures: list[list[Ranking]] = []
    for seed in track(range(FIRST_SEED, FIRST_SEED + given.pictures), "pictures", console=console):
        of_pictures.append(list(rankings(pipe, scene(seed, size_px=SIZE_PX), timesteps)))
    of_steps = {
        timestep: Ranking.together([of_picture[at] for of_picture in of_pictures])
        for at, timestep in enumerate(timesteps)
    }
    for table in tables(of_steps):
        Console().print(table)
    if given.json:
        numbers: dict[str, Any] = {str(timestep): ranking.to_dict() for timestep, ranking in of_steps.items()}
        given.json.write_text(json.dumps(numbers) + "\n", "utf-8")


if __name__ == "__main__":
    main()
