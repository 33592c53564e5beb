"""What a TRACE is in ComfyUI: a recorder, asked for the run that made a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL.Image import Image

from attnscope.errors import SelectionError
from attnscope.trace.trace import Trace

from .images import kept_on_cpu
from .recorder import Recorder
from .traces import with_pictures


class TraceHandle:
    """The trace of the run that a recorded model makes, once it is over.

    Args:
        recorder: The model's.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def trace_of(self, pictures: Sequence[Image], latent: Mapping[str, Any]) -> Trace:
        """The trace with the pictures that its run became.

        Args:
            pictures: All of the batch, of one size.
            latent: KSampler's LATENT. It tells the run: ComfyUI may take pictures of an earlier one from its cache.

        Raises:
            SelectionError: There is no run yet, it failed, or the latent or the pictures aren't its.
        """
        trace, made = self._recorder.trace, self._recorder.latent
        if trace is None or made is None:
            raise SelectionError(self._why_none())
        if not torch.equal(kept_on_cpu(latent["samples"]), made):
            raise SelectionError(
                "the trace is of another run than this latent: connect the latent that KSampler made with the model of "
                "Capture attention, before any other node. Only the newest run is kept: give each KSampler a Capture "
                "attention of its own; where ComfyUI took an older latent from its cache, run KSampler again"
            )
        (height, width), (rows, columns) = pictures[0].size[::-1], made.shape[2:]
        if len(pictures) != trace.images or height * columns != width * rows:
            raise SelectionError(
                f"image holds {len(pictures)} picture(s) of {height}x{width}, and the run made {trace.images} of "
                f"{rows}x{columns} latent places: connect the picture that VAE Decode makes of this KSampler's latent"
            )
        return with_pictures(trace, pictures)

    def _why_none(self) -> str:
        if self._recorder.failed is not None:
            return f"the trace is empty: {self._recorder.failed}"
        return "the trace is empty: run KSampler with the model that Capture attention returns"
