"""Does the demo model paint what it is asked for? Prompts from held-out scenes, judged by a recogniser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from math import ceil
from textwrap import wrap

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.progress import track

from attnscope.demo import GUIDANCE_SCALE
from attnscope.demo.recognition import Recogniser, Recognition, answer, judge, recognise, small
from attnscope.demo.scenes import Scene, scene
from attnscope.demo.vae_training import encode

FIRST_PROMPT_SEED = 10_000
"""Scenes that lend their captions; none of them is trained on."""
HELD_OUT_DRAWINGS = 500
STEPS = 20
GROUP = 8
"""Pictures painted together."""
GRID_COLUMNS = 8
CAPTION_PX = 44


@dataclass(frozen=True)
class PictureScores:
    """How well a recogniser names what is in pictures.

    Attributes:
        drawings: On drawings that it has not seen.
        reconstructed: On the same drawings through the autoencoder: no painted picture can do better.
        one_thing: On painted pictures of one thing.
        two_things: On painted pictures of two things.
        both_there: Share of the pictures of two things in which both are named, 0..1.
        pictures: How many painted pictures there are.
    """

    drawings: Recognition
    reconstructed: Recognition
    one_thing: Recognition
    two_things: Recognition
    both_there: float
    pictures: int


@dataclass(frozen=True)
class Painted:
    """What the model painted.

    Attributes:
        asked: The scenes whose captions it was given.
        pictures: What it made of each.
    """

    asked: list[Scene]
    pictures: list[Image.Image]


def score_pictures(
    pipe: StableDiffusionPipeline,
    network: Recogniser,
    one: Painted,
    two: Painted,
    *,
    held_out: int = HELD_OUT_DRAWINGS,
) -> PictureScores:
    """Judge painted pictures, and the judge itself.

    Args:
        pipe: The pipeline, whose autoencoder is judged too.
        network: The judge.
        one: Painted pictures of one thing.
        two: Painted pictures of two things.
        held_out: How many drawings the judge is tried on.
    """
    drawn = [scene(seed) for seed in range(held_out)]
    seen = [
        recognise(network, [small(picture) for picture in pictures])
        for pictures in (
            [picture.pil_image for picture in drawn],
            _reconstructed(pipe, drawn),
            one.pictures,
            two.pictures,
        )
    ]
    answers = [[answer(picture) for picture in scenes] for scenes in (drawn, drawn, one.asked, two.asked)]
    drawings, reconstructed, one_thing, two_things = map(judge, seen, answers)
    asked = np.array(answers[-1]) >= 0
    return PictureScores(
        drawings,
        reconstructed,
        one_thing,
        two_things,
        both_there=float((seen[-1].named | ~asked).all(1).mean()),
        pictures=len(one.pictures) + len(two.pictures),
    )


def asked_scenes(things: int, wanted: int) -> list[Scene]:
    """Held-out scenes whose captions name every thing and its colour.

    Args:
        things: How many things a scene has, 1 to 3.
        wanted: How many scenes.
    """
    return list(islice((picture for picture in _held_out() if _says_all(picture, things)), wanted))


def _held_out() -> Iterator[Scene]:
    return (scene(seed, size_px=64) for seed in count(FIRST_PROMPT_SEED))


def _says_all(picture: Scene, things: int) -> bool:
    named = sum(word.kind == "colour" for word in picture.words)
    return len(picture.colours) == things == named


def paint(
    pipe: StableDiffusionPipeline, asked: Sequence[Scene], console: Console, *, steps: int = STEPS
) -> Painted:
    """Paint one picture for each caption. Its noise has the scene's seed.

    Args:
        pipe: The pipeline.
        asked: The scenes whose captions are painted.
        console: Where progress is shown.
        steps: Denoising steps for each picture.

    Cost: these steps, with guidance, for each picture.
    """
    pipe.set_progress_bar_config(disable=True)
    pictures: list[Image.Image] = []
    groups = [asked[i : i + GROUP] for i in range(0, len(asked), GROUP)]
    for group in track(groups, "painting", console=console):
        pictures += pipe(
            [picture.caption for picture in group],
            num_inference_steps=steps,
            guidance_scale=GUIDANCE_SCALE,
            generator=[torch.Generator().manual_seed(picture.seed) for picture in group],
        ).images
    return Painted(list(asked), pictures)


@torch.no_grad()
def _reconstructed(pipe: StableDiffusionPipeline, drawn: Sequence[Scene]) -> Iterator[Image.Image]:
    for picture in drawn:
        latent = encode(pipe.vae, torch.from_numpy(picture.image).permute(2, 0, 1)[None]).to(pipe.vae.device)
        decoded = pipe.vae.decode(latent / pipe.vae.config.scaling_factor).sample
        yield pipe.image_processor.postprocess(decoded)[0]


def grid(painted: Painted) -> Image.Image:
    """The pictures in rows of eight, each over its caption: for people to judge.

    Args:
        painted: The pictures.
    """
    side = painted.pictures[0].width
    rows = ceil(len(painted.pictures) / GRID_COLUMNS)
    sheet = Image.new("RGB", (GRID_COLUMNS * side, rows * (side + CAPTION_PX)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for index, (picture, asked) in enumerate(zip(painted.pictures, painted.asked, strict=True)):
        left, top = index % GRID_COLUMNS * side, index // GRID_COLUMNS * (side + CAPTION_PX)
        sheet.paste(picture, (left, top))
        pen.multiline_text((left + 6, top + side + 4), "\n".join(wrap(asked.caption, 32)), "black", font)
    return sheet
