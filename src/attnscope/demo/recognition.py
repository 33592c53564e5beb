"""Say what a picture shows: a small network that learns to name things from the scene program's drawings.

It judges what the demo model paints (`picture_scores.py`); the demo model never sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from attnscope.demo.scenes import FIRST_TRAINING_SEED, Scene, scene
from attnscope.demo.scenes.palette import COLOURS
from attnscope.demo.scenes.things import THINGS

NAMES = tuple(THINGS)
SIDE_PX = 64
FIRST_SEED = FIRST_TRAINING_SEED + 50_000_000
"""The first of its own drawings; no phase of the demo model's training uses them."""
DRAWINGS = 8000
ROUNDS = 8
BATCH = 64
PEAK_RATE = 4e-3


class Drawing(NamedTuple):
    """A drawing and what it shows.

    Attributes:
        pixels: sRGB, 0..255.
        colours: For each thing in NAMES the number of its colour, -1 if it is not shown.
    """

    pixels: UInt8[np.ndarray, "side side 3"]
    colours: tuple[int, ...]


def drawing(seed: int) -> Drawing:
    """A scene as the network sees it.

    Args:
        seed: The scene's seed.
    """
    picture = scene(seed, size_px=SIDE_PX)
    return Drawing(small(picture.pil_image), answer(picture))


def answer(picture: Scene) -> tuple[int, ...]:
    """What a scene shows, as `Drawing.colours` has it.

    Args:
        picture: The scene.
    """
    return tuple(COLOURS.index(picture.colours[name]) if name in picture.colours else -1 for name in NAMES)


def small(picture: Image.Image) -> UInt8[np.ndarray, "side side 3"]:
    """A picture at the network's size.

    Args:
        picture: The picture.
    """
    return np.asarray(picture.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))


class Recogniser(nn.Module):
    """Maps each thing over 8x8 places. A thing is there if it is anywhere, and has the colour found there."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _layers(3, 16, stride=2), _layers(16, 32, stride=2), _layers(32, 64, stride=2), _layers(64, 96)
        )
        self.things = nn.Conv2d(96, len(NAMES), 1)
        self.colours = nn.Conv2d(96, len(COLOURS), 1)

    def forward(
        self, pixels: Float[Tensor, "batch 3 side side"]
    ) -> tuple[Float[Tensor, "batch thing"], Float[Tensor, "batch thing colour"]]:
        """Logits: of each thing being there, and of its colour.

        Args:
            pixels: sRGB, -1..1.
        """
        features = self.body(pixels)
        things, colours = self.things(features).flatten(2), self.colours(features).flatten(2)
        return things.amax(2), things.softmax(2) @ colours.transpose(1, 2)


def _layers(before: int, after: int, *, stride: int = 1) -> nn.Sequential:
    """Two convolutions of 3x3, the first with this stride."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


@dataclass(frozen=True)
class Seen:
    """What the network says of pictures.

    Attributes:
        there: Probability of each thing, 0..1.
        colours: Number of the likeliest colour of each thing.
    """

    there: Float[np.ndarray, "picture thing"]
    colours: Int[np.ndarray, "picture thing"]

    @property
    def named(self) -> Bool[np.ndarray, "picture thing"]:
        """The things it names, which are those that are more likely there than not."""
        return self.there > 0.5


@torch.no_grad()
def recognise(network: Recogniser, pictures: Sequence[UInt8[np.ndarray, "side side 3"]]) -> Seen:
    """Name what pictures show.

    Args:
        network: The network.
        pictures: Pictures at its size, from `small`.
    """
    groups = torch.from_numpy(np.stack(pictures)).split(BATCH)
    things, colours = zip(*(network(_floats(group)) for group in groups), strict=True)
    return Seen(torch.cat(things).sigmoid().numpy(), torch.cat(colours).argmax(2).numpy())


@dataclass(frozen=True)
class Recognition:
    """How well things are named, 0..1.

    Attributes:
        shown: Of the things shown, the share that is named.
        absent: Of the things not shown, the share that is not named.
        colour: Of the things named rightly, the share whose colour is right.
    """

    shown: float
    absent: float
    colour: float


def judge(seen: Seen, answers: Iterable[Sequence[int]]) -> Recognition:
    """Compare what the network says with the truth.

    Args:
        seen: What it says.
        answers: What the pictures show, from `answer`.
    """
    truth = np.array(list(answers))
    named, there = seen.named, truth >= 0
    return Recognition(
        float(named[there].mean()),
        float((~named[~there]).mean()),
        float((seen.colours == truth)[there & named].mean()) if (there & named).any() else 0.0,
    )


def train_recogniser(
    console: Console, *, drawings: int = DRAWINGS, rounds: int = ROUNDS, workers: int = 2
) -> Recogniser:
    """Train a recogniser on drawings whose seeds nothing else uses.

    Args:
        console: Where progress is shown.
        drawings: How many drawings.
        rounds: How many times each is seen.
        workers: Processes that draw.

    Cost: about a minute on two cores.
    """
    seeds = range(FIRST_SEED, FIRST_SEED + drawings)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        drawn = track(
            pool.map(drawing, seeds, chunksize=64), "drawings for the recogniser", drawings, console=console
        )
        pixels, colours = zip(*drawn, strict=True)
    return _fit(torch.from_numpy(np.stack(pixels)), torch.tensor(colours), rounds, console)


def _fit(
    pixels: UInt8[Tensor, "n side side 3"], colours: Int[Tensor, "n thing"], rounds: int, console: Console
) -> Recogniser:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Recogniser()
        steps = rounds * (len(pixels) // BATCH)
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
        order = torch.cat([torch.randperm(len(pixels))[: steps // rounds * BATCH] for _ in range(rounds)])
        for chosen in track(order.split(BATCH), "recogniser", console=console):
            loss = _loss(network, _varied(_floats(pixels[chosen])), colours[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def _loss(
    network: Recogniser, pixels: Float[Tensor, "batch 3 side side"], colours: Int[Tensor, "batch thing"]
) -> Tensor:
    things, shades = network(pixels)
    there = colours >= 0
    return F.binary_cross_entropy_with_logits(things, there.float()) + 0.3 * F.cross_entropy(
        shades[there], colours[there]
    )


def _floats(pixels: UInt8[Tensor, "batch side side 3"]) -> Float[Tensor, "batch 3 side side"]:
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def _varied(pixels: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 3 side side"]:
    """Half of the batch softened as a small autoencoder softens, all of it mirrored by chance."""
    half = len(pixels) // 2
    soft = F.interpolate(F.avg_pool2d(pixels[:half], 2), scale_factor=2.0, mode="bilinear")
    mixed = torch.cat([soft, pixels[half:]])
    return torch.where(torch.rand(len(mixed), 1, 1, 1) < 0.5, mixed.flip(3), mixed)
