"""One pass of a model over a photo's latent, without guidance."""

from __future__ import annotations

from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from attnscope.atlas.families import UNET
from attnscope.photos.latents import check_timestep
from attnscope.photos.photo_pipeline import COND, PhotoPipeline
from attnscope.photos.photo_step import photo_step
from attnscope.photos.seen import show
from attnscope.recording.capture import capture
from attnscope.recording.planning.modules import model_of
from attnscope.records import Kind
from attnscope.trace.trace import Trace


def photo_trace(
    pipe: Any,
    latent: Tensor,
    prompt: str,
    *,
    timestep: int,
    kind: Kind | None,
    picture: Image | None = None,
    where: Any = "device",
    **kept: Any,
) -> Trace:
    """The attention of one pass; the pipeline is left as it was, its scheduler unused.

    Args:
        pipe: A diffusers pipeline.
        latent: What the model sees.
        prompt: What it reads.
        timestep: Of the pass.
        kind: "self", "cross", or None for both.
        picture: The photo, for the trace to show.
        where: As for `attnscope.capture`.
        kept: Further choices of `attnscope.capture`.
    """
    kept |= {"kind": kind, "where": where}
    if model_of(pipe)[0] is not UNET:
        return photo_step(pipe, latent, prompt, timestep=timestep, picture=picture, **kept)
    check_timestep(pipe, timestep)
    photo_pipeline = PhotoPipeline(pipe)
    with capture(photo_pipeline, branches=(COND,), **kept) as trace:
        photo_pipeline(prompt, latent, torch.tensor([timestep]))
        show(trace, picture)
    return trace
