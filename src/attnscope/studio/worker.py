"""The model's own process: it loads the model, makes pictures and reads photos, one after the other."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any

import torch

from attnscope.editing.context import edit
from attnscope.editing.prompt_to_prompt import prompt_to_prompt
from attnscope.errors import AttnscopeError, ModelError, ParameterError
from attnscope.files import whole_file
from attnscope.generating.plan import Plan, call_arguments, defaults_of, trace_size, usual_steps
from attnscope.photos.checking import check_pipeline
from attnscope.photos.reading import read_photo
from attnscope.pipelines import load_pipeline
from attnscope.pipelines.quiet import quiet_libraries
from attnscope.recording.capture import capture
from attnscope.studio.edits import edit_of, how_of, weights_of
from attnscope.studio.live import Live, StopAsked
from attnscope.studio.messages import (
    Done,
    Failed,
    Loaded,
    MakePicture,
    Message,
    ModelFacts,
    ModelNamed,
    ReadPhoto,
    Stopped,
)
from attnscope.trace.files import load_trace

PICTURE = "output.png"
TRACE = "run.trace"
MOST_WITH_VALUES = 10**9
"""Bytes of a trace up to which V is kept, too, which Learn shows. So small a trace stays in memory until the picture is
there, which does not wait for the disk then."""

Tell = Callable[[Message], None]


def work(model: ModelNamed, jobs: Connection, unwanted: Event) -> None:
    """Load the model, then do what is asked, until nobody asks any more.

    Args:
        model: Which one.
        jobs: Where jobs come from, and where messages go.
        unwanted: Set by whoever stops a run.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends this process
    try:
        quiet_libraries()
        pipe = load_pipeline(model.name, device=model.device, dtype=model.dtype, **_config(model))
        pipe.set_progress_bar_config(disable=True)
        jobs.send(Loaded(facts_of(pipe, model.name)))
    except Exception as error:
        jobs.send(Failed(None, sentence(error)))
        return
    while True:
        try:
            job = jobs.recv()
        except EOFError:
            return
        jobs.send(_outcome(pipe, job, model, jobs.send, unwanted.is_set))


def _config(model: ModelNamed) -> dict[str, str]:
    return {} if model.config is None else {"config": model.config}


def _outcome(
    pipe: Any, job: MakePicture | ReadPhoto, model: ModelNamed, tell: Tell, is_unwanted: Callable[[], bool]
) -> Message:
    started = time.monotonic()
    try:
        if isinstance(job, MakePicture):
            make_picture(pipe, job, model, tell, is_unwanted)
        else:
            read(pipe, job, is_unwanted)
    except StopAsked:
        return Stopped(job.number)
    except Exception as error:
        return Failed(job.number, sentence(error))
    return Done(job.number, time.monotonic() - started)


def sentence(error: Exception) -> str:
    """What went wrong. Of an error that is not attnscope's own with its kind.

    Args:
        error: The error.
    """
    if isinstance(error, AttnscopeError):
        return str(error)
    if isinstance(error, torch.OutOfMemoryError):
        return "the device has no memory left for this: a smaller picture needs less"
    return f"{type(error).__name__}: {error}"


def facts_of(pipe: Any, name: str) -> ModelFacts:
    """What the form has to know of a model.

    Args:
        pipe: Its pipeline.
        name: As it was named.
    """
    takes, scale = defaults_of(pipe), guidance_scale(pipe, name)
    factor = getattr(pipe, "vae_scale_factor", None)
    side = getattr(pipe, "default_sample_size", None) or _sample_size(pipe)
    size = (side * factor, side * factor) if isinstance(side, int) and isinstance(factor, int) else None
    try:
        check_pipeline(pipe)
        no_photos = ""
    except AttnscopeError as error:
        no_photos = str(error)
    takes_negative = "negative_prompt" in takes and takes.get("true_cfg_scale", 2.0) > 1
    return ModelFacts(name, str(pipe.device), usual_steps(pipe), scale, size, takes_negative, no_photos)


def guidance_scale(pipe: Any, name: str) -> float | None:
    """The usual one, None if the pipeline takes none.

    Args:
        pipe: The pipeline.
        name: Of the model.
    """
    if name == "demo":
        from attnscope.demo import GUIDANCE_SCALE

        return GUIDANCE_SCALE
    usual = defaults_of(pipe).get("guidance_scale")
    return float(usual) if isinstance(usual, (int, float)) else None


def _sample_size(pipe: Any) -> Any:
    model = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
    return getattr(getattr(model, "config", None), "sample_size", None)


def make_picture(
    pipe: Any, job: MakePicture, model: ModelNamed, tell: Tell, is_unwanted: Callable[[], bool]
) -> None:
    """Make a picture, with its trace.

    Args:
        pipe: The pipeline.
        job: What to make.
        model: How large its trace may become.
        tell: Gets what there is to see.
        is_unwanted: Whether somebody has stopped the run.

    Raises:
        StopAsked: The run was stopped.
        AttnscopeError: It can't be made.
    """
    plan, arguments, note = _planned(pipe, job, model)
    asked, total = job.asked, arguments["num_inference_steps"]
    is_pair = asked.layout is not None
    live = Live(job.number, pipe, total, tell, is_unwanted, image=int(is_pair), note=note)
    place: dict[str, Any] = {} if plan.keep.get("value") else {"folder": job.folder / TRACE}
    try:
        with (
            _stops_between_blocks(pipe, is_unwanted),
            capture(pipe, previews=True, on_step=live.on_step, **place, **plan.keep) as live.trace,
        ):
            if is_pair:
                picture = _of_a_pair(pipe, job, arguments)
            else:
                with _edited(pipe, job, total):
                    picture = pipe(**arguments).images[0]
            live.show(picture)
        with whole_file(job.folder / PICTURE) as partial:  # the page asks for it as soon as it is there
            picture.save(partial)
    finally:
        if live.trace is not None and live.trace.steps and not place:
            live.trace.save(job.folder / TRACE)


def _planned(pipe: Any, job: MakePicture, model: ModelNamed) -> tuple[Plan, dict[str, Any], str]:
    """What is asked of the pipeline, and how much of it is kept: fewer steps where all would be too many."""
    asked = job.asked
    plan = Plan(
        asked.prompt,
        asked.seed,
        asked.steps,
        guidance_scale(pipe, model.name) if asked.guidance_scale is None else asked.guidance_scale,
        asked.negative_prompt or None,
        None if asked.height is None or asked.width is None else (asked.height, asked.width),
    )
    arguments = call_arguments(pipe, plan)
    try:
        size = trace_size(pipe, plan, arguments)
    except ModelError:
        return plan, arguments, ""
    pairs = 2 if asked.layout is not None else 1
    every = max(1, -(-pairs * size.bytes // int(model.max_trace_gb * 1e9)))
    keep: dict[str, Any] = {} if every == 1 else {"steps": slice(None, None, every)}
    if 1.5 * size.bytes < MOST_WITH_VALUES:
        keep["value"] = True
    note = "" if every == 1 else f"each {every}th step is kept: all of them would take more than the limit"
    return replace(plan, keep=keep), arguments, note


def _edited(pipe: Any, job: MakePicture, steps: int) -> Any:
    """The edits that are asked for, put on the pipeline."""
    if not job.asked.edits:
        return nullcontext()
    edits = [
        edit_of(asked, steps, lambda number: load_trace(job.earlier[number].trace).passes[0])
        for asked in job.asked.edits
    ]
    return edit(pipe, *edits)


def _of_a_pair(pipe: Any, job: MakePicture, arguments: dict[str, Any]) -> Any:
    """The picture of a prompt in the layout of another one's."""
    layout = job.asked.layout
    assert layout is not None
    source, target = job.earlier[layout.run].prompt, arguments.pop("prompt")
    arguments.pop("generator")
    if "negative_prompt" in arguments:
        arguments["negative_prompt"] = [arguments["negative_prompt"]] * 2
    made = prompt_to_prompt(
        pipe,
        [source, target],
        how_of(source, target),
        cross_steps=layout.cross_steps,
        self_steps=layout.self_steps,
        weights=weights_of(job.asked.edits) or None,
        generator=job.asked.seed,
        **arguments,
    )
    return made.images[1]


@contextmanager
def _stops_between_blocks(pipe: Any, is_unwanted: Callable[[], bool]) -> Iterator[None]:
    """Lets a run be stopped within a step, too: before each part of the denoising model."""

    def check(*_: Any) -> None:
        if is_unwanted():
            raise StopAsked

    model = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
    parts = (
        [] if model is None else [part for part in model.modules() if type(part).__name__.endswith("Block")]
    )
    hooks = [part.register_forward_pre_hook(check) for part in parts]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def read(pipe: Any, job: ReadPhoto, is_unwanted: Callable[[], bool]) -> None:
    """Read a photo with a text.

    Args:
        pipe: The pipeline.
        job: Which photo.
        is_unwanted: Whether somebody has stopped the run.

    Raises:
        StopAsked: The run was stopped.
        ParameterError: There is no text.
        AttnscopeError: The photo can't be read.
    """
    if not job.text.strip():
        raise ParameterError("no text: type what is in the photo, such as 'a cat on a sofa'")
    with _stops_between_blocks(pipe, is_unwanted):
        read_photo(pipe, job.picture, job.text, folder=job.folder / TRACE, value=True)
