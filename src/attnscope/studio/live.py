"""What there is to see of a picture while it is made: the picture as it forms, and where its words landed."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from PIL.Image import Image
from torch import Tensor

from attnscope.errors import AttnscopeError
from attnscope.heatmap.heat_map import heat_maps
from attnscope.photos.inversion import decoded
from attnscope.recording.planning.plan import StepTaken
from attnscope.studio.messages import Message, Seen, Stepped
from attnscope.trace.trace import Trace
from attnscope.viewer.encoding import pack_maps

MOST_OF_TIME = 0.12
"""The share of a run's time that showing it may take."""
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
        self._began, self._spent = time.monotonic(), 0.0
        self.trace: Trace | None = None

    def on_step(self, taken: StepTaken) -> None:
        """A step is over.

        Args:
            taken: Which one, and what it predicts.

        Raises:
            StopAsked: The run was stopped.
        """
        self.check_wanted()
        self._tell(Stepped(self._number, taken.step + 1, self._total, self._note))
        started = time.monotonic()
        if taken.step and self._spent > MOST_OF_TIME * (started - self._began):
            return
        self._tell(self._seen(taken))
        self._spent += time.monotonic() - started

    def check_wanted(self) -> None:
        """Raise StopAsked if the run was stopped."""
        if self._is_unwanted():
            raise StopAsked

    def _seen(self, taken: StepTaken) -> Seen:
        picture = None if taken.predicted is None else picture_of(self._pipe, taken.predicted, self._image)
        words, maps = self._word_maps(taken.step)
        return Seen(self._number, taken.step, None if picture is None else webp(picture), words, maps)

    def _word_maps(self, step: int) -> tuple[tuple[str, ...], bytes | None]:
        """Where words landed in a step; none where the step is not kept, or the model has no cross-attention."""
        with suppress(AttnscopeError):
            if self.trace is not None and any(step == kept.index for kept in self.trace.steps):
                maps = heat_maps(self.trace, steps=step, image=self._image)
                arrays = [(number, heat.array) for number, heat in enumerate(maps)]
                return tuple(heat.word for heat in maps), pack_maps(arrays)
        return (), None


def picture_of(pipe: Any, latent: Tensor, image: int = 0) -> Image | None:
    """The picture of a latent, None where it is packed or the pipeline has no decoder for it.

    Args:
        pipe: A pipeline.
        latent: As its scheduler has it.
        image: Which image of the batch.
    """
    channels = getattr(getattr(getattr(pipe, "vae", None), "config", None), "latent_channels", None)
    if latent.ndim != 4 or latent.shape[1] != channels or not hasattr(pipe, "image_processor"):
        return None
    return decoded(pipe, latent[image : image + 1])


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
