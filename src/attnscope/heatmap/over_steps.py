"""A word's map in each step, one by one or as a moving picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnscope.errors import SelectionError
from attnscope.files import check_free, whole_file
from attnscope.heatmap.asked import Word, as_span, layers_that_read, read_branch
from attnscope.heatmap.frames import draw_frame
from attnscope.heatmap.heat_map import heat_maps
from attnscope.heatmap.picture_keys import picture_span
from attnscope.heatmap.result import HeatMap
from attnscope.pictures.moving import check_ending, check_seconds, gif_bytes, mp4_bytes
from attnscope.records import Kind
from attnscope.spelling import both_spellings
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.selection import pick_number
from attnscope.trace.trace import Trace

if TYPE_CHECKING:
    from PIL.Image import Image

Progress = Callable[[int, int], None]


@both_spellings("steps", "blocks", "heads")
def heat_maps_by_step(
    trace: TraceSource,
    word: Word,
    *,
    steps: int | Sequence[int] | slice | None = None,
    blocks: int | Sequence[int] | None = None,
    heads: int | Sequence[int] | None = None,
    branch: str | None = None,
    image: int = 0,
    occurrence: int = 0,
    kind: Kind = "cross",
    progress: Progress | None = None,
) -> dict[int, HeatMap]:
    """Where a word lies in each step: its heat map by step number.

    Args:
        trace: From `attnscope.capture` or `attnscope.load_trace`, or the folder of one.
        word: As for `heat_map`.
        steps: Step numbers from 0, or a slice. Default: all that have the branch and one of the layers.
        blocks: As for `heat_map`.
        heads: As for `heat_map`.
        branch: As for `heat_map`.
        image: As for `heat_map`.
        occurrence: As for `heat_map`.
        kind: As for `heat_map`.
        progress: Called as progress(done, total) after each step.

    Returns:
        For each step what `heat_map(trace, word, steps=step)` gives.

    Raises:
        WordError: The branch's text does not hold the word.
        SelectionError: The trace has no cross-attention, or no such block, step, head, branch or image.

    Cost: that of one heat map of all steps, and resizing in each of them.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> with attnscope.capture(pipe, kind="cross") as trace:
    ...     result = pipe("a red house", num_inference_steps=2)
    >>> list(attnscope.heat_maps_by_step(trace, "house"))
    [0, 1]
    """
    trace = as_trace(trace)
    branch = read_branch(trace, branch, None)
    is_text = kind == "cross"
    span = as_span(trace, word, branch, image, occurrence) if is_text else picture_span(trace, word, kind)
    numbers = _steps_of(trace, steps, blocks, branch, image, kind)
    choice: dict[str, Any] = {"heads": heads, "branch": branch, "image": image, "kind": kind}
    maps: dict[int, HeatMap] = {}
    for done, number in enumerate(numbers, start=1):
        (maps[number],) = heat_maps(trace, [span], steps=number, blocks=blocks, **choice)
        if progress is not None:
            progress(done, len(numbers))
    return maps


@both_spellings("steps", "blocks", "heads")
def animate(
    trace: TraceSource,
    word: Word,
    path: str | Path,
    *,
    steps: int | Sequence[int] | slice | None = None,
    blocks: int | Sequence[int] | None = None,
    heads: int | Sequence[int] | None = None,
    branch: str | None = None,
    image: int = 0,
    occurrence: int = 0,
    kind: Kind = "cross",
    seconds: float = 0.2,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write a word's map as a moving picture, a frame for each step, and return its path.

    All steps have one colour scale, so that a word that fades gets darker. A map lies on the finished picture;
    where the trace keeps the picture of each step (`capture(previews=True)`), on that one, which is shown beside it.

    Args:
        trace: From `attnscope.capture` or `attnscope.load_trace`, or the folder of one.
        word: As for `heat_map`.
        path: Ends in .gif, or in .mp4 with PyAV (`attnscope[video]`).
        steps: As for `heat_maps_by_step`.
        blocks: As for `heat_map`.
        heads: As for `heat_map`.
        branch: As for `heat_map`.
        image: As for `heat_map`.
        occurrence: As for `heat_map`.
        kind: As for `heat_map`.
        seconds: How long each step stands, 0.02 to 60; the last one a second longer.
        overwrite: Write over a file that is there already.
        progress: Called as progress(done, total) after each step.

    Raises:
        ParameterError: The name has another ending, or seconds are outside their range.
        MissingExtraError: An MP4 is asked for, and PyAV is not installed.
        OutputError: The file is there already, or can't be written.
        WordError: The branch's text does not hold the word.
        SelectionError: The trace has no cross-attention, or no such block, step, head, branch or image.
    """
    target = Path(path)
    check_ending(str(target), target.suffix.lower())
    check_seconds(seconds)
    check_free([target], overwrite=overwrite)
    write_steps(
        as_trace(trace),
        word,
        target,
        steps=steps,
        blocks=blocks,
        heads=heads,
        branch=branch,
        image=image,
        occurrence=occurrence,
        kind=kind,
        seconds=seconds,
        progress=progress,
    )
    return target


def write_steps(
    trace: Trace, word: Word, target: Path, *, seconds: float, image: int = 0, **choice: Any
) -> dict[int, HeatMap]:
    """Write the moving picture in place of what is there, and give the maps that it shows.

    Args:
        trace: Of one pass.
        word: As for `heat_map`.
        target: As the path of `animate`.
        seconds: As for `animate`.
        image: As for `heat_map`.
        **choice: The other choices of `heat_maps_by_step`.
    """
    maps = heat_maps_by_step(trace, word, image=image, **choice)
    encode = mp4_bytes if target.suffix.lower() == ".mp4" else gif_bytes
    made = encode(step_frames(trace, maps, image), seconds)
    with whole_file(target) as partial:
        partial.write_bytes(made)
    return maps


def step_frames(trace: Trace, maps: dict[int, HeatMap], image: int = 0) -> list[Image]:
    """A picture for each step: the map over the picture, and under it the word, the step and the map's largest value.

    Args:
        trace: Of one pass.
        maps: From `heat_maps_by_step`.
        image: Which image of the batch, from 0.

    Returns:
        Pillow pictures of one size.
    """
    timesteps = {step.index: step.timestep for step in trace.steps}
    largest = max(float(heat.array.max()) for heat in maps.values())
    last = trace.steps[-1].index
    return [
        draw_frame(heat, _preview(trace, step, image), largest, step, last, timesteps[step])
        for step, heat in maps.items()
    ]


def _preview(trace: Trace, step: int, image: int) -> Image | None:
    return trace.preview(step, image) if step in trace.previews else None


def _steps_of(trace: Trace, steps: Any, blocks: Any, branch: str, image: int, kind: Kind) -> list[int]:
    """The steps that are meant; without a choice those that have what is asked for: guidance may end early."""
    captured = [step.index for step in trace.steps]
    if steps is not None:
        return [captured[at] for at in pick_number("step", steps, captured).positions]
    layers = layers_that_read(trace, kind, blocks)
    there = {step for layer in layers for step in trace.steps_with(layer, branch, image)}
    if not there:
        raise SelectionError(
            f"no step of this trace has {kind}-attention of branch {branch!r}, image {image}"
        )
    return [step for step in captured if step in there]
