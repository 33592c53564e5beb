"""How often explanations are right on the demo model: `python -m attnscope.explaining.measure`.

Prompts of held-out scenes. In some a thing is left out of the picture on purpose, in one of three ways: its word is
one that the model was never taught, attention to it is taken away by an edit, or the model reads "and" in its place.
What a picture shows says the recogniser (demo/recognition.py), which knows the things by their drawings.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from rich.console import Console
from rich.progress import track

from attnscope.demo import GUIDANCE_SCALE, MODEL_FOLDER
from attnscope.demo.recognition import NAMES, Recogniser, recognise, small, train_recogniser
from attnscope.demo.scenes import Scene, Word, scene
from attnscope.editing.context import edit
from attnscope.editing.edits import Ablate
from attnscope.explaining.explain import explain
from attnscope.explaining.reliability import WAYS, Judged, Way, table
from attnscope.explaining.result import Explanation
from attnscope.recording.capture import capture
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace

FIRST_SEED = 50_000
"""Thresholds were chosen on scenes from 30000 to 46000; the evaluation of pictures takes those from 10000."""
PROMPTS, STEPS, GROUP = 100, 20, 10
UNKNOWN = ("elephant", "dog", "car", "apple", "bicycle", "castle", "horse", "flower", "cat", "robot")
IN_ITS_PLACE = "and"


@dataclass(frozen=True)
class Asked:
    """One prompt.

    Attributes:
        scene: Whose caption it is made of.
        way: How a thing is left out.
        prompt: What the trace says that was asked.
        read: What the model reads.
        left_out: The word that is left out on purpose, None if none is.
    """

    scene: Scene
    way: Way
    prompt: str
    read: str
    left_out: str | None


def prompts(number: int, first_seed: int = FIRST_SEED) -> list[Asked]:
    """Prompts of one and of two things, some with a thing to be left out.

    Args:
        number: How many.
        first_seed: Of the scenes that lend their captions.
    """
    chance, ways = random.Random(first_seed), [way for way, many in WAYS.items() for _ in range(many)]
    scenes = (
        picture for picture in (scene(seed, size_px=64) for seed in count(first_seed)) if _is_fit(picture)
    )
    return [
        _asked(picture, ways[at % len(ways)], chance) for at, picture in enumerate(islice(scenes, number))
    ]


def _is_fit(picture: Scene) -> bool:
    """Whether it has one or two things, and its caption names their colours."""
    return len(picture.colours) <= 2 and sum(word.kind == "colour" for word in picture.words) == len(
        picture.colours
    )


def _asked(picture: Scene, way: Way, chance: random.Random) -> Asked:
    caption = picture.caption
    if way == "as asked":
        return Asked(picture, way, caption, caption, None)
    thing = chance.choice([word for word in picture.words if word.kind == "thing"])
    if way == "unknown word":
        unknown = chance.choice(UNKNOWN)
        prompt = _with(caption, thing, unknown)
        return Asked(picture, way, prompt, prompt, unknown)
    read = _with(caption, thing, IN_ITS_PLACE) if way == "other embedding" else caption
    return Asked(picture, way, caption, read, thing.text)


def _with(caption: str, thing: Word, other: str) -> str:
    return caption[: thing.start] + other + caption[thing.start + len(thing.text) :]


def judged(pipe: StableDiffusionPipeline, network: Recogniser, asked: Sequence[Asked]) -> Iterator[Judged]:
    """Every thing and stuff that some prompts of one way name.

    Args:
        pipe: The pipeline.
        network: The recogniser.
        asked: The prompts, which run as one batch.
    """
    trace = _painted(pipe, asked)
    seen = recognise(network, [small(picture) for picture in trace.run.pictures])
    for image, (one, named) in enumerate(zip(asked, seen.named, strict=True)):
        shown = {name for name, is_named in zip(NAMES, named, strict=True) if is_named}
        explanation, blind = (_explained(trace, image, model) for model in (trace.run.model, None))
        kinds = {word.text: word.kind for word in one.scene.words} | {one.left_out: "thing"}
        for report in explanation.asked:
            kind = kinds.get(report.word, "")
            if kind in ("thing", "stuff"):
                is_there = kind == "stuff" or report.word in shown
                left_out = report.word == one.left_out
                says, otherwise = report.verdict.says, blind[report.word].verdict.says
                yield Judged(
                    one.way,
                    one.scene.seed,
                    one.prompt,
                    report.word,
                    kind,
                    is_there,
                    left_out,
                    says,
                    otherwise,
                )


def _explained(trace: Trace, image: int, model: str | None) -> Explanation:
    """The explanation of a trace that says it is of a model."""
    run = replace(trace.run, model=model)
    return explain(Trace(Pass(trace.records, run)), image=image, segments=False)


def _painted(pipe: StableDiffusionPipeline, asked: Sequence[Asked]) -> Trace:
    """The trace of a batch, captured with the prompts that were asked, whatever the model reads."""
    edits = [
        Ablate(one.left_out, image=image)
        for image, one in enumerate(asked)
        if one.way == "edit" and one.left_out
    ]
    texts = [one.prompt for one in asked]
    embeddings, negative = pipe.encode_prompt([one.read for one in asked], "cpu", 1, True)
    with (
        capture(pipe, kind="cross", branch="cond", prompt=texts, negative_prompt=[""] * len(texts)) as trace,
        edit(pipe, *edits, prompt=texts, negative_prompt=[""] * len(texts)) if edits else nullcontext(),
    ):
        pipe(
            prompt_embeds=embeddings,
            negative_prompt_embeds=negative,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE_SCALE,
            generator=[torch.Generator().manual_seed(one.scene.seed) for one in asked],
        )
    return trace


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and write every word as JSON if that was asked for.

    Args:
        arguments: Default: the command line's.
    """
    parser = argparse.ArgumentParser(prog="python -m attnscope.explaining.measure", description=__doc__)
    parser.add_argument("--prompts", type=int, default=PROMPTS, help=f"how many (default {PROMPTS})")
    parser.add_argument(
        "--first-seed", type=int, default=FIRST_SEED, help=f"of the scenes (default {FIRST_SEED})"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every word here")
    given = parser.parse_args(arguments)
    console = Console(stderr=True)
    pipe = StableDiffusionPipeline.from_pretrained(MODEL_FOLDER, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    network = train_recogniser(console)
    asked = prompts(given.prompts, given.first_seed)
    words: list[Judged] = []
    for group in track(
        [asked[at : at + GROUP] for at in range(0, len(asked), GROUP)], "pictures", console=console
    ):
        words += judged(pipe, network, group)
    Console().print(table(words))
    if given.json:
        rows: list[dict[str, Any]] = [asdict(word) for word in words]
        given.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
