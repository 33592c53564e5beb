"""Local blend: a target keeps the source's latent where neither prompt's words look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from attnscope.atlas import layers
from attnscope.editing.choices import Words
from attnscope.editing.site import tokens_of
from attnscope.errors import ParameterError
from attnscope.records import Grid, Layer, Row
from attnscope.records.reduced import Reduced
from attnscope.trace.trace import Trace

PLACES = 16 * 16
"""Of the maps that the paper blends by."""
BLEND = "blend"


class Blend:
    """Mixes the latents of a source and of its targets after each step.

    Args:
        pipe: The pipeline, for the layers of its model.
        size_hw: Height and width of the pictures in pixels.
        words: The words of each prompt.
        threshold: Share of a map's largest value from which on a place is changed.

    Source: Hertz et al. 2022, section 3.2, "Local editing", and the authors' program: maps of 16x16 places are summed
    over all steps so far, and each place's neighbours count.
    """

    def __init__(self, pipe: Any, size_hw: tuple[int, int], words: Sequence[Words], threshold: float) -> None:
        self.words, self.threshold = [list(_several(of_prompt)) for of_prompt in words], threshold
        chosen = _layers_to_blend_by(layers(pipe, size=size_hw))
        blocks = [layer.block for layer in chosen]
        self.keep = {BLEND: Reduced("cross", how="sum", per="grid", blocks=blocks)}
        self._grid = chosen[0].grid

    def __call__(self, trace: Trace, latents: Float[Tensor, "image channel h w"]) -> Tensor:
        """The latents after a step, mixed.

        Args:
            trace: A capture with `keep`, which has the maps up to this step.
            latents: Those of the source, then those of the targets.
        """
        masks = torch.stack([self._mask(trace, image, latents) for image in range(len(latents))])
        inside = (masks[:1] | masks[1:])[:, None].to(latents)
        return latents[:1] + inside * (latents - latents[:1])

    def _mask(self, trace: Trace, image: int, latents: Tensor) -> Bool[Tensor, "h w"]:
        tokens = tokens_of(self.words[image], trace.run, Row("cond", image))
        whole = trace.reduced[BLEND].map(grid=self._grid, image=image)
        map_ = whole[:, tokens].sum(-1).reshape(1, 1, *self._grid).to(latents.device)
        near = max_pool2d(map_, 3, stride=1, padding=1)
        larger = interpolate(near, size=latents.shape[-2:])[0, 0]  # by the nearest
        return larger > self.threshold * larger.max()


def _several(words: Words) -> Sequence[str | int]:
    return [words] if isinstance(words, (str, int)) else words


def _layers_to_blend_by(every: Sequence[Layer]) -> list[Layer]:
    """The cross-attention of the grid that is nearest to 16x16 places, without the middle block."""
    cross = [layer for layer in every if layer.kind == "cross" and layer.stage != "mid"]
    if not cross:
        raise ParameterError("this model has no cross-attention to blend by")
    grids = dict.fromkeys(layer.grid for layer in cross)
    nearest: Grid = min(grids, key=lambda grid: abs(math.log(grid.places / PLACES)))
    return [layer for layer in cross if layer.grid == nearest]
