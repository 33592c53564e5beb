"""The pictures of a pass: what it made, and what it took them to be in each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attnscope.errors import SelectionError, describe_numbers
from attnscope.records import Run
from attnscope.trace.selection import pick_number

if TYPE_CHECKING:
    from PIL.Image import Image


class Pictures:
    """The pictures of one pass."""

    @property
    def run(self) -> Run:
        """What is known of the run."""
        raise NotImplementedError

    @property
    def picture(self) -> Image | None:
        """The first picture that the run made, None if the capture did not see it."""
        return self.picture_of(0)

    def picture_of(self, image: int) -> Image | None:
        """The picture that the run made of one image, None if the capture did not see it.

        Args:
            image: Which image of the batch, from 0.
        """
        return self.run.pictures[image] if 0 <= image < len(self.run.pictures) else None

    @property
    def previews(self) -> Mapping[int, Sequence[Image]]:
        """By step number a small picture for each image, from `capture(previews=True)`; empty without."""
        return self.run.previews

    def preview(self, step: int, image: int = 0) -> Image:
        """What the model took the picture to be in a step, a pixel for each place of the latent.

        In transformers a place is a patch. It is drawn of the latent that the model's answer, with guidance, predicts.
        Colours are approximate: a linear mixture of the latent's channels, found by least squares between the last
        latent and the finished picture.

        Args:
            step: Number of the step, from 0.
            image: Which image of the batch, from 0.

        Raises:
            SelectionError: The trace has no previews, or none of this step or image.
        """
        if not self.previews:
            raise SelectionError("this trace has no previews: `capture(pipe, previews=True)` keeps them")
        if step not in self.previews:
            raise SelectionError(
                f"step {step}: there are previews of {describe_numbers(list(self.previews))}"
            )
        of_step = self.previews[step]
        return of_step[pick_number("image", image, range(len(of_step))).positions[0]]
