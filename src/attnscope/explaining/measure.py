"""How often explanations are right on the demo model: `python -m attnscope.explaining.measure`.

Prompts of held-out scenes. In some a thing is left out of the picture on purpose, in one of three ways: its word is
one that the model was never taught, attention to it is taken away by an edit, or the model reads "and" in its place.
What a picture shows says the recogniser (demo/recognition.py), which knows the things by their drawings.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import StableDiffusionPipeline
from rich.console import Console
from rich.progress import track
from rich.table import Table

from attnscope.demo import GUIDANCE_SCALE, MODEL_FOLDER
from attnscope.demo.recognition import NAMES, Recogniser, recognise, small, train_recogniser
from attnscope.demo.scenes import Scene, Word, scene
from attnscope.editing.context import edit
from attnscope.editing.edits import Ablate
from attnscope.explaining.explain import explain
from attnscope.explaining.result import Explanation
from attnscope.recording.capture import capture
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace

FIRST_SEED = 50_000
"""Thresholds were chosen on scenes from 30000 to 46000; the evaluation of pictures takes those from 10000."""
PROMPTS, STEPS, GROUP = 100, 20, 10
UNKNOWN = ("elephant", "dog", "car", "apple", "bicycle", "castle", "horse", "flower", "cat", "robot")
IN_ITS_PLACE = "and"
Way = Literal["as asked", "unknown word", "edit", "other embedding"]
WAYS: Mapping[Way, int] = {"as asked": 4, "unknown word": 2, "edit": 2, "other embedding": 2}
"""Of ten prompts, how many are made in each way."""


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


@dataclass(frozen=True)
class Judged:
    """One word of one picture.

    Attributes:
        way: How a thing was left out of the picture.
        seed: The picture's own.
        prompt: The prompt.
        word: The word.
        kind: 'thing' or 'stuff'.
        is_there: Whether the picture shows it: the recogniser says so of things; stuff is always drawn.
        left_out: Whether it was left out on purpose.
        says: The verdict.
        blind: The verdict by the rule for models whose words are unknown.
    """

    way: Way
    seed: int
    prompt: str
    word: str
    kind: str
    is_there: bool
    left_out: bool
    says: str
    blind: str


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


@dataclass(frozen=True)
class Reliability:
    """How often the verdict 'not drawn' is right.

    Attributes:
        accused: Words of which it says 'not drawn'.
        rightly: Those of them that the picture does not show.
        absent: Words that the picture does not show.
        left_out: Words that were left out on purpose, and that the picture does not show.
        left_out_found: Those of them that are accused.
        there: Words that the picture shows.
        unclear: Words of which it says that attention does not tell.
        obedient: Pictures that show every thing that was asked for.
        obedient_accused: Those of them with a word that is accused.
    """

    accused: int
    rightly: int
    absent: int
    left_out: int
    left_out_found: int
    there: int
    unclear: int
    obedient: int
    obedient_accused: int

    @classmethod
    def of(cls, words: Sequence[Judged]) -> Reliability:
        """Counts of judged words.

        Args:
            words: The words.
        """
        accused = [word for word in words if word.says == "not drawn"]
        absent = [word for word in words if not word.is_there]
        left_out = [word for word in absent if word.left_out]
        pictures: dict[int, list[Judged]] = {}
        for word in words:
            pictures.setdefault(word.seed, []).append(word)
        obedient = [of for of in pictures.values() if all(word.is_there for word in of)]
        return cls(
            len(accused),
            sum(not word.is_there for word in accused),
            len(absent),
            len(left_out),
            sum(word.says == "not drawn" for word in left_out),
            len(words) - len(absent),
            sum(word.says == "unclear" for word in words),
            len(obedient),
            sum(any(word.says == "not drawn" for word in of) for of in obedient),
        )


def table(words: Sequence[Judged]) -> Table:
    """The counts as a table, for all words and for each way.

    Args:
        words: The words.
    """
    groups = {"all": list(words)} | {way: [word for word in words if word.way == way] for way in WAYS}
    counts = {name: Reliability.of(of) for name, of in groups.items()}
    rows = Table("measure", *counts, title=f"{len({word.seed for word in words})} prompts of the demo world")
    rows.add_row("words (things and stuff)", *(str(len(of)) for of in groups.values()))
    rows.add_row(
        "precision: accused that are not there", *(f"{c.rightly} of {c.accused}" for c in counts.values())
    )
    rows.add_row(
        "recall: left out on purpose, accused",
        *(f"{c.left_out_found} of {c.left_out}" for c in counts.values()),
    )
    rows.add_row(
        "recall: all that is not there, accused", *(f"{c.rightly} of {c.absent}" for c in counts.values())
    )
    rows.add_row("shown, but accused", *(f"{c.accused - c.rightly} of {c.there}" for c in counts.values()))
    rows.add_row(
        "obedient pictures, accused", *(f"{c.obedient_accused} of {c.obedient}" for c in counts.values())
    )
    rows.add_row("unclear", *(str(c.unclear) for c in counts.values()))
    blind = [Reliability.of([replace(word, says=word.blind) for word in of]) for of in groups.values()]
    rows.add_row("the rule for other models: precision", *(f"{c.rightly} of {c.accused}" for c in blind))
    rows.add_row("the rule for other models: recall", *(f"{c.rightly} of {c.absent}" for c in blind))
    return rows


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
