"""Measure the demo model on scenes it has never seen: `python -m attnscope.demo.evaluate`.

Words: the scene, with noise at timestep 300, goes through the U-Net once with its caption; each word's heat
map is compared with the word's mask. Segments: DiffSeg as users call it (clean latent, timestep 300, no
prompt), one threshold for all, number of segments unknown. Pictures: the captions of other scenes are
painted, and a recogniser that learnt from drawings says what it sees. Beside the model stand the same network
untrained, chance, k-means on colours, and, if asked for, two short trainings with and without attention losses.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from jaxtyping import Int
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.cluster import KMeans

import attnscope
from attnscope.demo import DIFFSEG_THRESHOLD, MODEL_FOLDER
from attnscope.demo.architecture import untrained_pipeline
from attnscope.demo.picture_scores import Painted, asked_scenes, grid, paint, score_pictures
from attnscope.demo.recognition import train_recogniser
from attnscope.demo.scenes import FIRST_TRAINING_SEED, Scene, scene
from attnscope.demo.scoring import matched_iou
from attnscope.demo.supervision import trained_both_ways
from attnscope.demo.word_scores import HEAT_THRESHOLD, word_scores
from attnscope.errors import ParameterError

PUBLISHED_THRESHOLD = 0.9
"""The least of the thresholds that DiffSeg's authors use (0.9 to 1.1)."""
THRESHOLDS = (DIFFSEG_THRESHOLD, PUBLISHED_THRESHOLD)
SCENES = 200
PICTURES = 64
GRID_PICTURES = 16
"""Pictures of one thing, and as many of two, on the grid for people."""
TIMED_STEPS = 20
TIMED_PROMPT = "a red house and a blue star on grass under a night sky"


@dataclass(frozen=True)
class Scores:
    """Means over words or scenes, 0..1, and counts of segments.

    Attributes:
        pointing: Share of words whose map points into their mask, by kind of word.
        chance: Mean area of the masks, which is what pointing by chance reaches.
        word_iou: Mean IoU of the words' masks, by kind of word.
        segment_iou: DiffSeg's mean IoU, by threshold.
        segments: Mean number of segments, by threshold.
    """

    pointing: dict[str, float]
    chance: dict[str, float]
    word_iou: dict[str, float]
    segment_iou: dict[float, float]
    segments: dict[float, float]


def evaluate(
    pipe: StableDiffusionPipeline, chosen: Iterable[Scene], *, thresholds: Sequence[float] = THRESHOLDS
) -> Scores:
    """Scores of a pipeline on scenes.

    Args:
        pipe: The pipeline.
        chosen: The scenes.
        thresholds: Merge thresholds for DiffSeg, each tried by itself.

    Cost: one to two seconds a scene on two cores.
    """
    hits, areas, ious = defaultdict(list), defaultdict(list), defaultdict(list)
    segment_ious, counts = defaultdict(list), defaultdict(list)
    for picture in chosen:
        for score in word_scores(pipe, picture):
            hits[score.kind].append(score.hit)
            areas[score.kind].append(score.area)
            ious[score.kind].append(score.iou)
        segmented = attnscope.segment(picture.pil_image, pipe, thresholds=thresholds[0])
        for threshold in thresholds:
            labels = (segmented if threshold == thresholds[0] else segmented.again(threshold)).labels
            segment_ious[threshold].append(matched_iou(labels, picture.segments))
            counts[threshold].append(len(np.unique(labels)))
    return Scores(_means(hits), _means(areas), _means(ious), _means(segment_ious), _means(counts))


def colour_clusters(picture: Scene) -> Int[np.ndarray, "height width"]:
    """The baseline: k-means on the pixels' RGB, told how many segments there are.

    Args:
        picture: The scene.
    """
    side = len(picture.image)
    count = len(np.unique(picture.segments))
    pixels = picture.image.reshape(-1, 3).astype(np.float32)
    return KMeans(count, n_init=2, random_state=0).fit_predict(pixels).reshape(side, side)


def seconds_to_generate(pipe: StableDiffusionPipeline, *, repeats: int = 3) -> float:
    """Median seconds for one picture of 20 steps with guidance, after one to warm up.

    Args:
        pipe: The pipeline.
        repeats: How many pictures are timed.
    """
    pipe.set_progress_bar_config(disable=True)
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        pipe(TIMED_PROMPT, num_inference_steps=TIMED_STEPS)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


@dataclass(frozen=True)
class Order:
    """What to measure.

    Attributes:
        scenes: How many scenes, from seed 0.
        pictures: How many painted pictures of one thing, and as many of two. 0: none.
        supervision_steps: Steps of the two short trainings. 0: none.
        thresholds: Merge thresholds for DiffSeg.
        grid: PNG file for painted pictures, None for none.
    """

    scenes: int = SCENES
    pictures: int = PICTURES
    supervision_steps: int = 0
    thresholds: Sequence[float] = THRESHOLDS
    grid: Path | None = None

    def __post_init__(self) -> None:
        if not 0 < self.scenes <= FIRST_TRAINING_SEED:
            raise ParameterError(f"{self.scenes} scenes: expected 1..{FIRST_TRAINING_SEED} held-out ones")


def report(model: Path, order: Order, console: Console, *, device: str = "cpu") -> dict[str, Any]:
    """All measurements, as plain values for JSON. The scenes' seeds begin at 0, so training has never seen them.

    Args:
        model: The model's folder.
        order: What to measure.
        console: Where progress is shown.
        device: Where to run, such as 'cpu' or 'cuda'.
    """
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None).to(device)
    untrained = untrained_pipeline().to(device)
    untrained.vae = pipe.vae  # the same latents: the question is what the U-Net's attention learnt
    networks = [("trained", pipe), ("untrained", untrained)]
    if order.supervision_steps:
        networks += trained_both_ways(pipe.vae, order.supervision_steps, console)
    chosen = [scene(seed) for seed in track(range(order.scenes), "scenes", console=console)]
    scored = {
        name: asdict(evaluate(network, track(chosen, name, console=console), thresholds=order.thresholds))
        for name, network in networks
    }
    clusters = [
        matched_iou(colour_clusters(picture), picture.segments)
        for picture in track(chosen, "k-means", console=console)
    ]
    return {
        "scenes": order.scenes,
        "heat_threshold": HEAT_THRESHOLD,
        "supervision_steps": order.supervision_steps,
        "networks": scored,
        "kmeans_rgb_told_k": float(np.mean(clusters)),
        "pictures": _pictures(pipe, order, console) if order.pictures else None,
        "seconds_20_steps": seconds_to_generate(pipe),
        "threads": torch.get_num_threads(),
    }


def _pictures(pipe: StableDiffusionPipeline, order: Order, console: Console) -> dict[str, Any]:
    one_thing, two_things = (paint(pipe, asked_scenes(things, order.pictures), console) for things in (1, 2))
    if order.grid is not None:
        _grid_of(one_thing, two_things).save(order.grid)
    return asdict(score_pictures(pipe, train_recogniser(console), one_thing, two_things))


def _grid_of(one_thing: Painted, two_things: Painted) -> Image.Image:
    return grid(
        Painted(
            one_thing.asked[:GRID_PICTURES] + two_things.asked[:GRID_PICTURES],
            one_thing.pictures[:GRID_PICTURES] + two_things.pictures[:GRID_PICTURES],
        )
    )


def table(measured: Mapping[str, Any]) -> Table:
    """The measurements as a table for people.

    Args:
        measured: From `report`.
    """
    networks = measured["networks"]
    title = f"{measured['scenes']} held-out scenes"
    if measured["supervision_steps"]:
        title += f"; attention losses compared after {measured['supervision_steps']} steps from scratch"
    rows = Table("measure", *networks, "chance or baseline", title=title)
    trained = networks["trained"]
    for kind in sorted(trained["pointing"]):
        values = [scores["pointing"][kind] for scores in networks.values()]
        rows.add_row(f"pointing game, {kind}", *_texts(values), f"{trained['chance'][kind]:.3f}")
    for kind in sorted(trained["word_iou"]):
        values = [scores["word_iou"][kind] for scores in networks.values()]
        rows.add_row(f"word IoU at {measured['heat_threshold']} of the maximum, {kind}", *_texts(values), "")
    for threshold in trained["segment_iou"]:
        values = [scores["segment_iou"][threshold] for scores in networks.values()]
        baseline = f"{measured['kmeans_rgb_told_k']:.3f} (k-means on RGB told K)"
        rows.add_row(f"DiffSeg mIoU at threshold {threshold}, K unknown", *_texts(values), baseline)
        values = [scores["segments"][threshold] for scores in networks.values()]
        rows.add_row(f"segments found at {threshold}", *_texts(values), "")
    for name, value in _picture_rows(measured["pictures"]):
        rows.add_row(name, f"{value:.3f}")
    rows.add_row(f"seconds for {TIMED_STEPS} steps, guidance", f"{measured['seconds_20_steps']:.3f}")
    return rows


def _picture_rows(pictures: Mapping[str, Any] | None) -> Iterable[tuple[str, float]]:
    if pictures is None:
        return
    judged = {
        "drawings": "recogniser, held-out drawings",
        "reconstructed": "recogniser, the same through the autoencoder",
        "one_thing": f"{pictures['pictures'] // 2} pictures of one thing",
        "two_things": f"{pictures['pictures'] // 2} pictures of two things",
    }
    for part, name in judged.items():
        yield f"{name}: things named", pictures[part]["shown"]
        yield f"{name}: absent things not named", pictures[part]["absent"]
        yield f"{name}: colour, of things named", pictures[part]["colour"]
    yield "pictures of two things: both named", pictures["both_there"]


def _texts(values: Iterable[float]) -> list[str]:
    return [f"{value:.3f}" for value in values]


def _means(lists: Mapping[Any, Sequence[float]]) -> dict[Any, float]:
    return {name: float(np.mean(values)) for name, values in lists.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and write it as JSON if that was asked for.

    Args:
        arguments: Default: the command line's.
    """
    parser = argparse.ArgumentParser(
        prog="python -m attnscope.demo.evaluate", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--model", type=Path, default=MODEL_FOLDER, help="model folder (default: the shipped one)"
    )
    parser.add_argument(
        "--scenes", type=int, default=SCENES, help=f"held-out scenes, from seed 0 (default {SCENES})"
    )
    parser.add_argument(
        "--pictures",
        type=int,
        default=PICTURES,
        help=f"pictures of one thing, and as many of two (default {PICTURES}; 0: none)",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--grid", type=Path, metavar="PNG", help="also write painted pictures here")
    parser.add_argument(
        "--supervision",
        type=int,
        default=0,
        metavar="STEPS",
        help="also train with and without attention losses",
    )
    parser.add_argument(
        "--thresholds", type=float, nargs="+", default=THRESHOLDS, help="DiffSeg's merging thresholds"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    given = parser.parse_args(arguments)
    order = Order(given.scenes, given.pictures, given.supervision, given.thresholds, given.grid)
    measured = report(given.model, order, Console(stderr=True), device=given.device)
    Console().print(table(measured))
    if given.json:
        given.json.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
