"""How a photo is best read, and how well an inverted one comes back: the tables of docs/photos.md.

Words: scenes of the demo world that training has never seen are read with their captions in one pass, at several
timesteps, with and without the timestep's noise, and in the steps of an inversion; each word's heat map is compared
with the word's true mask. Pictures: scenes are inverted and made again, with guidance and without, and compared with
the scene as the autoencoder gives it back, in dB.

    python benchmarks/photos.py [--scenes 200] [--inverted 20] [--made-again 3] [--steps 50]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

import attnscope
from attnscope.demo.scenes import Scene, scene
from attnscope.demo.word_scores import scores_of
from attnscope.photos.inversion import decoded
from attnscope.trace.trace import Trace

TIMESTEPS = (1, 50, 100, 200, 300, 400, 500, 600, 700, 800)
GUIDANCE = 7.5


def word_row(read: Callable[[Scene], Trace], chosen: Iterable[Scene]) -> str:
    """Pointing game and mean IoU of all words of scenes, and the IoU of things alone, which are smallest."""
    scores = [score for picture in chosen for score in scores_of(read(picture), picture)]
    things = [score.iou for score in scores if score.kind == "thing"]
    pointing, iou = (np.mean([getattr(score, name) for score in scores]) for name in ("hit", "iou"))
    return f"{pointing:.3f} | {iou:.3f} | {np.mean(things):.3f}"


def one_pass(pipe: Any, timestep: int, noisy: bool, picture: Scene) -> Trace:
    """A scene, whose seed is that of the noise."""
    return attnscope.read_photo(
        pipe, picture.pil_image, picture.caption, timestep=timestep, kind="cross",
        noise_seed=picture.seed if noisy else None,
    )  # fmt: skip


def inverting(pipe: Any, steps: int, picture: Scene) -> Trace:
    return attnscope.read_photo(
        pipe, picture.pil_image, picture.caption, invert=True, num_inference_steps=steps, kind="cross"
    )


def decibels(image: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio."""
    difference = np.asarray(image, np.float64) - np.asarray(other, np.float64)
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


def made_again(pipe: Any, picture: Scene, steps: int) -> dict[str, float]:
    """How near a scene comes back, to what the autoencoder keeps of it; and that to the scene itself."""
    found = attnscope.invert_photo(
        pipe,
        picture.pil_image,
        picture.caption,
        num_inference_steps=steps,
        null_text=True,
        guidance_scale=GUIDANCE,
    )
    bare = replace(found, null_embeddings=None, guidance_scale=1.0)
    kept = decoded(pipe, found.latents[:1])
    return {
        "autoencoder alone, to the scene": decibels(kept, found.photo),
        "guidance 1": decibels(bare.picture(pipe), kept),
        f"guidance {GUIDANCE}": decibels(bare.picture(pipe, guidance_scale=GUIDANCE), kept),
        f"guidance {GUIDANCE}, null text": decibels(found.picture(pipe), kept),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument(
        "--inverted", type=int, default=20, help="scenes that are read by inversion of 10 steps"
    )
    parser.add_argument("--made-again", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50, help="of what is made again")
    asked = parser.parse_args()
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    chosen = [scene(seed) for seed in range(asked.scenes)]
    print("| read | pointing | IoU | IoU of things |")
    for noisy in (False, True):
        for timestep in track(TIMESTEPS if chosen else (), "timesteps"):
            print(
                f"| {timestep}, {'noise' if noisy else 'no noise'} |",
                word_row(partial(one_pass, pipe, timestep, noisy), chosen),
            )
    if inverted := [scene(seed) for seed in range(asked.inverted)]:
        print(f"| inversion | {word_row(partial(inverting, pipe, 10), track(inverted, 'inversion'))} |")
        print(f"| 300, no noise, these | {word_row(partial(one_pass, pipe, 300, False), inverted)} |")
    rows = [
        made_again(pipe, scene(seed), asked.steps) for seed in track(range(asked.made_again), "made again")
    ]
    for name in rows[0] if rows else ():
        print(f"{name}: {np.mean([row[name] for row in rows]):.1f} dB")


if __name__ == "__main__":
    main()
