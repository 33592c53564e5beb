"""Cases of transformers: pipelines put together from the tiny parts of their family, and what is true of a run."""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import torch

import transformer_cases
from attnscope.testing.transformers.parts import quiet
from compatibility.case import Case
from compatibility.parts import mask, picture
from compatibility.transformer_truth import watching
from transformer_cases import HEIGHT, PROMPT, WIDTH

KNOWN = {case.name: case for case in transformer_cases.CASES}
PICTURE, MASK = picture(HEIGHT, WIDTH), mask(HEIGHT, WIDTH)
CLIP = [picture(HEIGHT, WIDTH, seed) for seed in range(9)]
TOLD = {"prompt_template_encode_start_idx", "tokenizer_max_length", "system_message", "text_preprocessor"}
"""What tiny pipelines know of their tokenizer."""
DEFAULT = object()
"""In place of an option: the pipeline gets none."""


def made_by(make: Callable[..., Any], **changes: Any) -> Any:
    """A tiny pipeline.

    Args:
        make: Makes it, in a folder.
        **changes: Options of its transformer to change.
    """
    with tempfile.TemporaryDirectory() as folder:
        return make(Path(folder), **changes)


def cleaned(module: str, make: Callable[..., Any]) -> Callable[..., Any]:
    """As `make`, for a pipeline that cleans its prompts with ftfy.

    Args:
        module: The pipeline's in `diffusers.pipelines`.
        make: Makes a tiny pipeline, in a folder.
    """

    def made(folder: Path, **changes: Any) -> Any:
        transformer_cases.without_ftfy(module)
        return make(folder, **changes)

    return made


def of_kind(
    name: str,
    make: Callable[..., Any],
    more: Callable[[Any], Mapping[str, Any]] = lambda pipe: {},
    **changes: Any,
) -> Callable[[], Any]:
    """What makes a pipeline of a class of diffusers from the parts of a tiny one.

    Args:
        name: The class.
        make: Makes the tiny one.
        more: Parts to change or to add, from the tiny one.
        **changes: Options of its transformer to change.
    """

    def build() -> Any:
        kind = getattr(diffusers, name)
        tiny = made_by(make, **changes)
        taken = inspect.signature(kind.__init__).parameters
        parts = {part: held for part, held in tiny.components.items() if held is not None and part in taken}
        torch.manual_seed(0)
        pipe = quiet(kind(**{**parts, **more(tiny)}))
        for told in vars(tiny).keys() & TOLD:
            setattr(pipe, told, getattr(tiny, told))
        return pipe

    return build


def asks(known: transformer_cases.Case, **options: Any) -> Callable[[Any], Any]:
    """A call of a pipeline for two steps.

    Args:
        known: What is true of it.
        **options: Of the call, to change or to add.
    """

    def run(pipe: Any) -> Any:
        settings = {
            "prompt": PROMPT, "height": HEIGHT, "width": WIDTH, "num_inference_steps": 2, "output_type": "np",
            "generator": torch.Generator().manual_seed(0), **known.options,
            **({"num_frames": known.video_frames} if known.video_frames else {}), **options,
        }  # fmt: skip
        return known.output(pipe(**{name: value for name, value in settings.items() if value is not DEFAULT}))

    return run


def case(
    name: str,
    group: str,
    known: transformer_cases.Case,
    build: Callable[[], Any],
    call: Mapping[str, Any],
    *,
    branches: tuple[tuple[str, ...], ...],
    main: int | None = 0,
    latent: int = 8,
    **truth: Any,
) -> Case:
    """A way of running a transformer's pipeline.

    Args:
        name: Its row.
        group: Its table.
        known: What is true of the model's sequence.
        build: Makes the pipeline.
        call: Options of its call.
        branches: Guidance branches of each call of a step.
        main: Which attention of a module is over the sequence, where it computes several. None: each is, of some rows.
        latent: Pixels along the side of a place of the latent.
        **truth: What else is true (see `Case`).
    """
    images = truth.get("images", 1)
    known = replace(known, branches=branches)

    def rows(number: int) -> Any:
        return tuple(
            (branch, image) for branch in branches[number % len(branches)] for image in range(images)
        )

    def mains(count: int) -> list[int]:
        return [number for number in range(count) if ("cond", 0) in rows(number)]

    told = {
        "rows": rows, "mains": mains, "tokens": known.cat, "models": lambda pipe: [pipe.transformer],
        "watch": watching(known, main, latent), "counts": lambda path: True, **truth,
    }  # fmt: skip
    return Case(name, group, build, asks(known, **call), **told)


def own(
    group: str, name: str, *, row: str = "", change: Callable[[Any], Any] = lambda pipe: None, **truth: Any
) -> Case:
    """The family's own pipeline, guided.

    Args:
        group: Its table.
        name: The pipeline.
        row: The name of its row, if not the pipeline's.
        change: Is done to the pipeline.
        **truth: What else is true of it (see `case`).
    """
    known = replace(KNOWN[name], **truth.pop("known", {}))

    def build() -> Any:
        pipe = made_by(known.make)
        change(pipe)
        return pipe

    options = {**({"negative_prompt": known.negative} if known.negative else {}), **known.guided}
    return case(row or name, group, known, build, options, branches=known.guided_branches, **truth)


def other(
    group: str,
    name: str,
    like: str,
    options: Mapping[str, Any],
    *,
    known: Mapping[str, Any] | None = None,
    make: Callable[..., Any] | None = None,
    more: Callable[[Any], Mapping[str, Any]] = lambda pipe: {},
    changes: Mapping[str, Any] | None = None,
    **truth: Any,
) -> Case:
    """Another pipeline of a family, from the same parts.

    Args:
        group: Its table.
        name: The pipeline, and what is said of it.
        like: The family's own.
        options: Of its call.
        known: What is true of it and not of the family's own.
        make: What makes the parts, if it is not what makes the family's own.
        more: Parts to change or to add.
        changes: Options of its transformer to change.
        **truth: What else is true of it (see `case`).
    """
    fact = replace(KNOWN[like], **(known or {}))
    build = of_kind(re.split("[ ,]", name)[0], make or fact.make, more, **(changes or {}))
    truth = {"branches": fact.guided_branches, **truth}
    return case(name, group, fact, build, options, **truth)
