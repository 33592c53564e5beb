"""Measure the demo model on scenes it has never seen: `python -m attnscope.demo.evaluate`.

Words: the scene, with noise at timestep 300, goes through the U-Net once with its caption; each word's heat
map is compared with the word's mask. Segments: DiffSeg as users call it (clean latent, timestep 300, no
prompt), one threshold for all, number of segments unknown. Beside the model stand the same network untrained,
chance, and k-means on colours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from jaxtyping import Int
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.cluster import KMeans

import attnscope
from attnscope.demo import DIFFSEG_THRESHOLD, MODEL_FOLDER
from attnscope.demo.architecture import untrained_pipeline
from attnscope.demo.scenes import FIRST_TRAINING_SEED, Scene, scene
from attnscope.demo.scoring import heat_iou, matched_iou, pointing_hit
from attnscope.errors import ParameterError
from attnscope.photo_pass import noised, photo_latent, photo_tensor, photo_trace
from attnscope.tokens import find_span, tokenize
from attnscope.trace import Trace

TIMESTEP = 300
"""DiffSeg's timestep; words are read there too."""
HEAT_THRESHOLD = 0.4
"""A word's mask is where its heat is above this share of its largest value."""
SCENES = 200
TIMED_STEPS = 20
TIMED_PROMPT = "a red house and a blue star on grass under a night sky"


@dataclass(frozen=True)
class Scores:
    """Means over words or scenes, 0..1; by kind of word where that matters."""

    pointing: dict[str, float]
    chance: dict[str, float]
    word_iou: dict[str, float]
    segment_iou: float
    segments: float


def evaluate(pipe: StableDiffusionPipeline, chosen: Iterable[Scene], *, merge_threshold: float) -> Scores:
    """Scores of a pipeline on scenes. Cost: about a second a scene on two cores."""
    hits, areas, ious = defaultdict(list), defaultdict(list), defaultdict(list)
    segment_ious, counts = [], []
    for picture in chosen:
        for kind, hit, area, iou in word_results(pipe, picture):
            hits[kind].append(hit)
            areas[kind].append(area)
            ious[kind].append(iou)
        labels = attnscope.segment(picture.pil_image, pipe, thresholds=merge_threshold).labels
        segment_ious.append(matched_iou(labels, picture.segments))
        counts.append(len(np.unique(labels)))
    return Scores(
        _means(hits), _means(areas), _means(ious), float(np.mean(segment_ious)), float(np.mean(counts))
    )


def word_results(pipe: StableDiffusionPipeline, picture: Scene) -> Iterator[tuple[str, bool, float, float]]:
    """For each word: its kind, whether its map points into its mask, the mask's share of the picture, IoU.

    Thing words in captions that name no colour are given a second time, as "thing, no colour named".
    """
    trace = caption_trace(pipe, picture)
    tokens = tokenize(pipe.tokenizer, picture.caption)
    colourless = not any(word.kind == "colour" for word in picture.words)
    for word in picture.words:
        earlier = sum(other.text == word.text for other in picture.words if other.start < word.start)
        span = find_span(picture.caption, tokens, word.text, occurrence=earlier)
        heat = attnscope.heat_map(trace, span).array
        result = (
            pointing_hit(heat, word.mask),
            float(word.mask.mean()),
            heat_iou(heat, word.mask, HEAT_THRESHOLD),
        )
        yield word.kind, *result
        if word.kind == "thing" and colourless:
            yield "thing, no colour named", *result


def caption_trace(pipe: StableDiffusionPipeline, picture: Scene) -> Trace:
    """Cross-attention of one pass with the caption over the scene; the noise has the scene's seed."""
    pixels = photo_tensor(picture.pil_image, picture.segments.shape)
    latent = noised(pipe, photo_latent(pipe, pixels), TIMESTEP, picture.seed)
    return photo_trace(pipe, latent, picture.caption, timestep=TIMESTEP, kind="cross")


def colour_clusters(picture: Scene) -> Int[np.ndarray, "height width"]:
    """The baseline: k-means on the pixels' RGB, told how many segments there are."""
    side = len(picture.image)
    count = len(np.unique(picture.segments))
    pixels = picture.image.reshape(-1, 3).astype(np.float32)
    return KMeans(count, n_init=2, random_state=0).fit_predict(pixels).reshape(side, side)


def seconds_to_generate(pipe: StableDiffusionPipeline, *, repeats: int = 3) -> float:
    """Median seconds for one picture of 20 steps with guidance, after one to warm up."""
    pipe.set_progress_bar_config(disable=True)
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        pipe(TIMED_PROMPT, num_inference_steps=TIMED_STEPS)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def report(model: Path, count: int, console: Console, *, merge_threshold: float) -> dict[str, object]:
    """All measurements, as plain values for JSON. Seeds are 0.. and so never among the training's."""
    if not 0 < count <= FIRST_TRAINING_SEED:
        raise ParameterError(f"{count} scenes: expected 1..{FIRST_TRAINING_SEED} held-out ones")
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None)
    untrained = untrained_pipeline()
    untrained.vae = pipe.vae  # the question is what the U-Net's attention learnt, on the same latents
    chosen = [scene(seed) for seed in track(range(count), "scenes", console=console)]
    scored = {
        name: asdict(
            evaluate(candidate, track(chosen, name, console=console), merge_threshold=merge_threshold)
        )
        for name, candidate in (("trained", pipe), ("untrained", untrained))
    }
    clusters = [
        matched_iou(colour_clusters(picture), picture.segments)
        for picture in track(chosen, "k-means", console=console)
    ]
    return {
        "scenes": count,
        "heat_threshold": HEAT_THRESHOLD,
        "merge_threshold": merge_threshold,
        **scored,
        "kmeans_rgb_told_k": float(np.mean(clusters)),
        "seconds_20_steps": seconds_to_generate(pipe),
        "threads": torch.get_num_threads(),
    }


def table(measured: dict[str, object]) -> Table:
    """The measurements for people."""
    rows = Table(
        "measure", "trained", "untrained", "chance or baseline", title=f"{measured['scenes']} held-out scenes"
    )
    trained, untrained = measured["trained"], measured["untrained"]
    for kind in sorted(trained["pointing"]):  # type: ignore[index]
        values = (part["pointing"][kind] for part in (trained, untrained))  # type: ignore[index]
        rows.add_row(f"pointing game, {kind}", *map(_text, values), _text(trained["chance"][kind]))  # type: ignore[index]
    for kind in sorted(trained["word_iou"]):  # type: ignore[index]
        values = (part["word_iou"][kind] for part in (trained, untrained))  # type: ignore[index]
        rows.add_row(
            f"word IoU at {measured['heat_threshold']} of the maximum, {kind}", *map(_text, values), ""
        )
    values = (part["segment_iou"] for part in (trained, untrained))  # type: ignore[index]
    label = f"DiffSeg mIoU at threshold {measured['merge_threshold']}, K unknown"
    rows.add_row(
        label, *map(_text, values), f"{_text(measured['kmeans_rgb_told_k'])} (k-means on RGB told K)"
    )
    counts = (part["segments"] for part in (trained, untrained))  # type: ignore[index]
    rows.add_row("segments found", *map(_text, counts), "")
    rows.add_row(f"seconds for {TIMED_STEPS} steps, guidance", _text(measured["seconds_20_steps"]), "", "")
    return rows


def _text(value: object) -> str:
    return f"{value:.3f}"


def _means(lists: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: float(np.mean(values)) for name, values in lists.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and write it as JSON when asked to."""
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
        "--threshold", type=float, default=DIFFSEG_THRESHOLD, help="DiffSeg's merging threshold"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    given = parser.parse_args(arguments)
    console = Console(stderr=True)
    measured = report(given.model, given.scenes, console, merge_threshold=given.threshold)
    Console().print(table(measured))
    if given.json:
        given.json.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
