"""A small picture of each step: what the model then takes the picture to be, in colours that the finished one tells.

A latent's channels are nearly a linear mixture of colours. The mixture is found by least squares between the last
latent and the picture that became of it, so it is known for every model, and nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from attnscope.errors import AttnscopeError, CaptureError
from attnscope.recording.calling.callers import Asking
from attnscope.recording.planning.plan import Asked, OnStep, StepTaken
from attnscope.recording.planning.previews import check_no_video
from attnscope.recording.running.predicted import predicted_latent
from attnscope.records import Call, Grid, Run
from attnscope.storage.plain import MAX_PIXELS
from attnscope.trace.picture_shape import check_shows_picture

_RIDGE = 1e-3
"""Keeps channels that hardly differ within the picture from colouring the others."""


class _Latents(NamedTuple):
    """Latents of all images by place."""

    numbers: Float[Tensor, "image place channel"]
    grid: Grid


class Previews:
    """The previews of a pass, which come when it is over.

    Args:
        longest_px: Longer side of a preview at most, in pixels; 0 for no previews.
        frames: Frames of the pass's latent.
        is_first: Whether it is the capture's first pass, in which a video is refused.
        on_step: Is told of each step.

    Raises:
        CaptureError: The first pass makes a video.
    """

    def __init__(
        self, longest_px: int, frames: int, *, is_first: bool, on_step: OnStep | None = None
    ) -> None:
        self._longest_px, self._on_step = longest_px, on_step
        self._predicted: dict[int, _Latents] = {}
        self._last: _Latents | None = None
        self._call: tuple[Asking, Call] | None = None
        self._lost: str | None = None
        if longest_px:
            try:
                check_no_video(frames)
            except CaptureError as error:
                if is_first:
                    raise
                self._lost = str(error)

    def note_call(self, asked: Asking, call: Call | None) -> None:
        """The model is called.

        Args:
            asked: What it is called with.
            call: Which call it is, None where nothing names its rows.
        """
        if self._is_on and (call is None or not call.extra):
            self._call = None if call is None else (asked, call)

    def note_step(self, scheduler: Any, arguments: Mapping[str, Any], result: Any) -> None:
        """The scheduler has taken a step. Nothing waits for a GPU here.

        Args:
            scheduler: The scheduler.
            arguments: What it got.
            result: What it gave, the next noisy latent first.

        Raises:
            Exception: Whatever who is told of steps raises.
        """
        if self._call is None:
            return
        (asked, call), self._call = self._call, None
        predicted = None if self._lost is not None else self._noted(scheduler, arguments, result, asked, call)
        if self._on_step is not None:
            self._on_step(StepTaken(call.step, predicted))

    def _noted(
        self, scheduler: Any, arguments: Mapping[str, Any], result: Any, asked: Asking, call: Call
    ) -> Tensor | None:
        """The predicted latent, which is kept for a preview if there are to be any; None if it is not known."""
        try:
            step = _Step(scheduler, arguments, result, asked, call)
            if self._longest_px:
                self._predicted[call.step], self._last = step.latents()
        except Exception as error:  # of a scheduler unlike all that are known: the run must go on
            self._lost, self._predicted, self._last = _why(error), {}, None
            return None
        return step.predicted

    @property
    def _is_on(self) -> bool:
        return bool(self._longest_px) or self._on_step is not None

    def finish(self, run: Run) -> None:
        """The pass is over: draw the previews.

        Args:
            run: Gets them.
        """
        self._call = None
        if not self._longest_px or self._lost is not None:
            return
        try:
            run.previews = _drawn(self._predicted, self._last, run, self._longest_px)
        except Exception as error:
            self._lost = _why(error)

    def gaps(self) -> Iterator[str]:
        """Why there are none although they were asked for."""
        if self._lost is not None and self._longest_px:
            yield f"there are no previews: {self._lost}"


def previews_of(asked: Asked, frames: int, *, is_first: bool) -> Previews:
    """The previews of a pass, as they are asked for.

    Args:
        asked: What the user asked.
        frames: Frames of the pass's latent.
        is_first: Whether it is the capture's first pass.

    Raises:
        CaptureError: The first pass makes a video.
    """
    return Previews(asked.previews_px, frames, is_first=is_first, on_step=asked.on_step)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, AttnscopeError) else f"{type(error).__name__}: {error}"


class _Step:
    """What a step predicts, and what the next one begins with."""

    def __init__(
        self, scheduler: Any, arguments: Mapping[str, Any], result: Any, asked: Asking, call: Call
    ) -> None:
        given: Any = arguments.get
        sample, output, timestep = given("sample"), given("model_output"), given("timestep")
        self._after = result if isinstance(result, Tensor) else result[0]
        channel = 1 if isinstance(sample, Tensor) and sample.ndim == 4 else -1
        if not _are_latents(sample, output, self._after, channel):
            raise CaptureError(f"{type(scheduler).__name__} does not step from one latent to the next")
        output = output.narrow(
            channel, 0, sample.shape[channel]
        )  # IF and others predict a variance behind it
        model_input = _model_input(asked, call, sample)
        self.predicted = predicted_latent(scheduler, output, timestep, sample, model_input)
        self._grid = Grid(*sample.shape[-2:]) if asked.attended is None else asked.attended.grid

    def latents(self) -> tuple[_Latents, _Latents]:
        """Both by place."""
        grid = self._grid
        return _Latents(_as_places(self.predicted, grid), grid), _Latents(_as_places(self._after, grid), grid)


def _are_latents(sample: Any, output: Any, after: Any, channel: int) -> bool:
    """Whether a scheduler got and gave latents: pictures of channels, or places of channels."""
    if not all(isinstance(tensor, Tensor) for tensor in (sample, output, after)):
        return False
    is_wide = output.ndim == sample.ndim and output.shape[channel] >= sample.shape[channel]
    return is_wide and sample.ndim in (3, 4) and sample.is_floating_point() and after.shape == sample.shape


def _model_input(asked: Asking, call: Call, sample: Tensor) -> Tensor | None:
    """What the model saw of each picture, without what inpainting and the like put behind the latent."""
    if not isinstance(asked.sample, Tensor) or asked.sample.ndim != 4 or sample.ndim != 4:
        return None
    firsts = {row.image: at for at, row in reversed(list(enumerate(call.rows)))}
    return asked.sample[[firsts[image] for image in sorted(firsts)], : sample.shape[1]]


def _as_places(latent: Tensor, grid: Grid) -> Float[Tensor, "image place channel"]:
    """The latent by place; in transformers by patch, packed or not."""
    if latent.ndim == 4:
        (images, channels, height, width), (rows, columns) = latent.shape, grid
        if height % rows or width % columns:
            raise CaptureError(f"a latent of {height}x{width}, where the model's attention has {grid} places")
        patches = latent.reshape(images, channels, rows, height // rows, columns, width // columns)
        latent = patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    if latent.shape[1] != grid.places:
        raise CaptureError(f"a latent of {latent.shape[1]} places, where the model's attention has {grid}")
    return latent.detach().clone()


def _drawn(
    predicted: Mapping[int, _Latents], last: _Latents | None, run: Run, longest_px: int
) -> dict[int, list[Image.Image]]:
    """Previews by step, one an image. Steps whose prediction is infinite, as of pure noise, have none."""
    if last is None:
        raise CaptureError("no step was seen of the scheduler that the pipeline had when the capture began")
    if not run.pictures:
        raise CaptureError(
            "the run gave no pictures, from which the colours are taken; use output_type='pil'"
        )
    check_shows_picture(run)
    if len(run.pictures) != len(last.numbers):
        raise CaptureError(f"the run gave {len(run.pictures)} pictures of {len(last.numbers)} latents")
    colours = _colours(last, run.pictures)
    longest_px = min(longest_px, isqrt(MAX_PIXELS // len(predicted)))  # a file holds those of all steps
    previews = {}
    for number, latents in sorted(predicted.items()):
        numbers = latents.numbers.double().cpu()
        if numbers.isfinite().all():
            mixed = numbers @ colours[:-1] + colours[-1]
            previews[number] = [_picture(of_image, latents.grid, longest_px) for of_image in mixed]
    if not previews:
        raise CaptureError("what the steps predict has numbers that are infinite or NaN")
    return previews


def _colours(last: _Latents, pictures: Sequence[Image.Image]) -> Float[Tensor, "channel 3"]:
    """What each channel adds to red, green and blue, and the colour of nothing, as its last row (ridge regression)."""
    size = last.grid.width, last.grid.height
    small = [picture.convert("RGB").resize(size, Image.Resampling.BOX) for picture in pictures]
    target = torch.from_numpy(np.stack([np.asarray(each) for each in small]).reshape(-1, 3) / 255)
    latent = last.numbers.double().cpu().flatten(0, 1)
    if not latent.isfinite().all():
        raise CaptureError("the last latent has numbers that are infinite or NaN")
    mean, spread = latent.mean(0), latent.std(0, correction=0).mean().clamp(min=1e-12)
    centred = (latent - mean) / spread
    ridge = _RIDGE * len(centred) * torch.eye(centred.shape[1], dtype=torch.float64)
    middle = target.mean(0)
    factors = torch.linalg.solve(centred.T @ centred + ridge, centred.T @ (target - middle)) / spread
    return torch.cat([factors, (middle - mean @ factors)[None]])


def _picture(colours: Float[Tensor, "place 3"], grid: Grid, longest_px: int) -> Image.Image:
    tones = (colours.clamp(0, 1) * 255).round().byte().numpy().reshape(*grid, 3)
    picture, scale = Image.fromarray(tones), longest_px / max(grid)
    if scale >= 1:
        return picture
    size = max(1, round(grid.width * scale)), max(1, round(grid.height * scale))
    return picture.resize(size, Image.Resampling.BOX)
