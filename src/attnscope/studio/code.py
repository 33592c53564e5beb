"""The Python that makes a run's picture and trace, to copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attnscope.studio.asked import FreezeAsked, LayoutAsked, RegionAsked, RunAsked
from attnscope.studio.edits import code_of, how_of, weights_of
from attnscope.studio.messages import ModelFacts, ModelNamed
from attnscope.studio.runs import Run, Runs
from attnscope.studio.worker import TRACE


def python_of(run: Run, runs: Runs, model: ModelNamed, facts: ModelFacts) -> str:
    """Lines that make what a run has made.

    Args:
        run: The run.
        runs: The others, of which it may need some.
        model: As it was named.
        facts: Of the model.
    """
    asked = run.stored.asked
    if asked is None:
        return _of_other(run, model)
    return "\n".join([*_beginning(asked, model, runs), *_call(asked, facts, runs)]) + "\n"


def _beginning(asked: RunAsked, model: ModelNamed, runs: Runs) -> Iterator[str]:
    if any(isinstance(edit, RegionAsked) and edit.mask for edit in asked.edits):
        yield "import base64"
        yield ""
        yield "import numpy as np"
    yield "import torch"
    yield ""
    yield "import attnscope"
    yield ""
    yield f"pipe = {_loading(model)}"
    for number in sorted({edit.run for edit in asked.edits if isinstance(edit, FreezeAsked)}):
        yield f"{_earlier(number)} = attnscope.load_trace({str(runs[number].folder / TRACE)!r})"
    for number, edit in enumerate(asked.edits):
        if isinstance(edit, RegionAsked) and (mask := edit.mask) is not None:
            yield f"bits = np.frombuffer(base64.b64decode({mask.bits!r}), np.uint8)"
            yield (
                f"{_mask(number)} = np.unpackbits(bits)[: {mask.height * mask.width}]"
                f".reshape({mask.height}, {mask.width}).astype(bool)"
            )


def _loading(model: ModelNamed) -> str:
    options = {"config": model.config, "device": model.device, "dtype": model.dtype}
    said = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
    name = str(Path(model.name).resolve()) if Path(model.name).exists() else model.name
    return f"attnscope.load_pipeline({name!r}{said})"


def _earlier(number: int) -> str:
    return f"run_{number}"


def _mask(number: int) -> str:
    return f"mask_{number}"


def _settings(asked: RunAsked, facts: ModelFacts) -> dict[str, Any]:
    scale = facts.guidance_scale if asked.guidance_scale is None else asked.guidance_scale
    settings = {
        "negative_prompt": asked.negative_prompt or None,
        "num_inference_steps": _steps(asked, facts),
        "guidance_scale": scale,
        "height": asked.height,
        "width": asked.width,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _steps(asked: RunAsked, facts: ModelFacts) -> int:
    return asked.steps or facts.steps


def _call(asked: RunAsked, facts: ModelFacts, runs: Runs) -> Iterator[str]:
    settings = _settings(asked, facts)
    if (layout := asked.layout) is not None:
        yield from _pair(asked, layout, settings, runs)
        return
    edits = [
        code_of(edit, _steps(asked, facts), _earlier, _mask(number))
        for number, edit in enumerate(asked.edits)
    ]
    if edits:
        yield "edits = ["
        yield from (f"    {edit}," for edit in edits)
        yield "]"
        yield "with attnscope.capture(pipe) as trace, attnscope.edit(pipe, *edits):"
    else:
        yield "with attnscope.capture(pipe) as trace:"
    yield "    picture = pipe("
    yield f"        {asked.prompt!r},"
    yield from (f"        {name}={value!r}," for name, value in settings.items())
    yield f"        generator=torch.Generator().manual_seed({asked.seed}),"
    yield "    ).images[0]"


def _pair(asked: RunAsked, layout: LayoutAsked, settings: dict[str, Any], runs: Runs) -> Iterator[str]:
    source = runs[layout.run].stored.asked
    prompt = "" if source is None else source.prompt
    if "negative_prompt" in settings:
        settings["negative_prompt"] = [settings["negative_prompt"]] * 2
    yield "with attnscope.capture(pipe) as trace:"
    yield "    made = attnscope.prompt_to_prompt("
    yield "        pipe,"
    yield f"        [{prompt!r}, {asked.prompt!r}],"
    yield f"        {how_of(prompt, asked.prompt)!r},"
    yield f"        cross_steps={layout.cross_steps!r},"
    yield f"        self_steps={layout.self_steps!r},"
    if weights := weights_of(asked.edits):
        yield f"        weights={weights!r},"
    yield f"        generator={asked.seed},"
    yield from (f"        {name}={value!r}," for name, value in settings.items())
    yield "    )"
    yield "picture = made.images[1]"


def _of_other(run: Run, model: ModelNamed) -> str:
    """A photo or a trace that somebody has brought."""
    if run.stored.kind == "trace":
        return f"import attnscope\n\ntrace = attnscope.load_trace({str(run.folder / TRACE)!r})\n"
    photo = run.folder / "photo.png"
    return (
        f"import attnscope\n\npipe = {_loading(model)}\n"
        f"trace = attnscope.read_photo(pipe, {str(photo)!r}, {run.stored.text!r})\n"
    )
