"""What there is to see of a picture while it is made: the picture as it forms, and where its words landed."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import suppress
from math import isqrt, prod
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from attnscope.errors import AttnscopeError
from attnscope.heatmap.heat_map import heat_maps
from attnscope.photos.inversion import decoded
from attnscope.recording.planning.modules import model_of
from attnscope.recording.planning.plan import StepTaken
from attnscope.records import Grid
from attnscope.studio.messages import Message, Seen, Stepped
from attnscope.trace.trace import Trace
from attnscope.viewer.encoding import pack_maps

MOST_OF_TIME = 0.06
"""The share of a run's time that showing it may take, beside one picture in each third of it."""
THIRDS = 3
LONGEST_PX = 512


class StopAsked(Exception):
    """Somebody does not want the picture any more."""


class Live:
    """Tells of each step, and shows as many as there is time for.

    Args:
        number: Of the run.
        pipe: The pipeline.
        total: How many steps it takes.
        tell: Gets what there is to see.
        is_unwanted: Whether somebody has stopped the run.
        image: Which image of the batch is shown.
        note: What is said with every step.
    """

    def __init__(
        self,
        number: int,
        pipe: Any,
        total: int,
        tell: Callable[[Message], None],
        is_unwanted: Callable[[], bool],
        *,
        image: int = 0,
        note: str = "",
    ) -> None:
        self._number, self._pipe, self._total = number, pipe, total
        self._tell, self._is_unwanted, self._image, self._note = tell, is_unwanted, image, note
        self._began, self._spent, self._shown = time.monotonic(), 0.0, -total
        self.trace: Trace | None = None

    def on_step(self, taken: StepTaken) -> None:
        """A step is over.

        Args:
            taken: Which one, and what it predicts.

        Raises:
            StopAsked: The run was stopped.
        """
        if self._is_unwanted():
            raise StopAsked
        self._tell(Stepped(self._number, taken.step + 1, self._total, self._note))
        started = time.monotonic()
        is_last = taken.step + 1 == self._total  # whose picture comes from the pipeline at once
        is_due = THIRDS * (taken.step - self._shown) >= self._total
        if is_last or not (is_due or self._spent <= MOST_OF_TIME * (started - self._began)):
            return
        self._shown = taken.step
        picture = None if taken.predicted is None else self._picture(taken.predicted)
        self._tell(self._seen(taken.step, picture))
        self._spent += time.monotonic() - started

    def show(self, picture: Image) -> None:
        """The picture is there.

        Args:
            picture: What the pipeline made.
        """
        self._tell(self._seen(self._total - 1, picture))

    def _seen(self, step: int, picture: Image | None) -> Seen:
        words, maps = self._word_maps(step)
        return Seen(self._number, step, None if picture is None else webp(picture), words, maps)

    def _picture(self, latent: Tensor) -> Image | None:
        layers = () if self.trace is None else self.trace.layers
        grids = (layer.grid for layer in layers if layer.grid.places == latent.shape[1])
        return picture_of(self._pipe, latent, self._image, grid=next(grids, None))

    def _word_maps(self, step: int) -> tuple[tuple[str, ...], bytes | None]:
        """Where words landed in a step; none where the step is not kept, or the model has no cross-attention."""
        with suppress(AttnscopeError):
            if self.trace is not None and any(step == kept.index for kept in self.trace.steps):
                maps = heat_maps(self.trace, steps=step, image=self._image)
                arrays = [(number, heat.array) for number, heat in enumerate(maps)]
                return tuple(heat.word for heat in maps), pack_maps(arrays)
        return (), None


def picture_of(pipe: Any, latent: Tensor, image: int = 0, *, grid: Grid | None = None) -> Image | None:
    """The picture of a latent, None where it is laid out in an unknown way or the pipeline has no decoder for it.

    Args:
        pipe: A pipeline.
        latent: As its scheduler has it.
        image: Which image of the batch.
        grid: Of the tokens, where the latent is packed into them.
    """
    if not hasattr(pipe, "image_processor"):
        return None
    spread = _spread(pipe, latent[image : image + 1], grid)
    return None if spread is None else decoded(pipe, spread)


def _spread(pipe: Any, latent: Tensor, grid: Grid | None) -> Tensor | None:
    """The latent of an image with its four axes; None where it is none of this pipeline's."""
    config = getattr(getattr(pipe, "vae", None), "config", {})
    channels = config.get("latent_channels") or config.get("z_dim")
    if latent.ndim == 4 and latent.shape[1] == channels:
        return latent
    if latent.ndim != 3 or grid is None or not channels:
        return None
    side = isqrt(latent.shape[2] // channels)
    shape = (1, channels, side * grid.height, side * grid.width)
    if prod(shape) != latent.numel():
        return None
    numbered = torch.arange(latent.numel(), device=latent.device).view(shape)
    order = model_of(pipe)[0].latents.laid_out(pipe, numbered)
    if not isinstance(order, Tensor):
        return None
    return torch.empty_like(latent).flatten().scatter(0, order.flatten(), latent.flatten()).view(shape)


def webp(picture: Image, longest_px: int = LONGEST_PX) -> bytes:
    """A picture as a small file.

    Args:
        picture: The picture.
        longest_px: Its longer side is made this long, if it is longer.
    """
    small, body = picture.convert("RGB"), io.BytesIO()
    small.thumbnail((longest_px, longest_px))
    small.save(body, "WEBP", quality=85, method=2)
    return body.getvalue()
