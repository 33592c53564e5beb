"""What clicks are answered from: the chain of a picture's attention, and the picture as a guide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from attnscope.errors import ParameterError, SelectionError
from attnscope.markov.bilateral import upsampling
from attnscope.markov.chain import markov_chain
from attnscope.markov.powers import chain_powers
from attnscope.photos.checking import check_pipeline
from attnscope.photos.latents import input_size, photo_latent, photo_tensor
from attnscope.photos.one_pass import photo_trace
from attnscope.pictures.reading import Picture, load_picture
from attnscope.pictures.sizes import resized, size_hw
from attnscope.records import PLACE_KINDS, Layer
from attnscope.records.layers import SizeHW
from attnscope.segmentation.click_overlay import Click, checked_clicks
from attnscope.segmentation.clicks import Clicks
from attnscope.segmentation.evidence import layers_of_places, step_numbers
from attnscope.segmentation.photo import check_places
from attnscope.trace.picture_shape import check_shows_picture
from attnscope.trace.trace import Trace

TIMESTEP = 100
"""Of the pass over a photo; M2N2's program."""
MOST_PIXELS = 512 * 512
"""A larger picture is decided at this area."""
MOST_PLACES = 64 * 64
"""Of a chain whose powers are made: their cost grows with the third power of this."""
PREPARING = 3
"""Pieces of work after the layers: the chain, its powers, the upsampling."""
Progress = Callable[[int, int], None]


def clicks_on_photo(
    picture: Picture,
    pipe: Any,
    points: Sequence[Click] = (),
    *,
    timestep: int | None = None,
    layers: Sequence[Any] | None = None,
    weights: Sequence[float] | None = None,
    **choices: Any,
) -> Clicks:
    """What clicks on a photo are answered from.

    Args:
        picture: A path, a PIL image or an array.
        pipe: A text-to-image pipeline.
        points: (x, y) that must lie in the picture; asked before the model runs.
        timestep: Of the pass; 100 by default.
        layers: As for `attnscope.click`.
        weights: As for `attnscope.click`.
        choices: Of `prepared`.

    Raises:
        ModelError: The pipeline can't take a photo.
        ImageError: The picture can't be read.

    Cost: VAE encode, one pass, and `prepared`.
    """
    check_pipeline(pipe)
    check_places(pipe)
    image, at = load_picture(picture), TIMESTEP if timestep is None else timestep
    checked_clicks(points, "a", image.size)
    seen_hw = input_size(pipe, size_hw(image), crop=False)
    latent = photo_latent(pipe, photo_tensor(image, seen_hw))
    trace = photo_trace(pipe, latent, "", timestep=at, kind="self")
    attention, grid, used = chosen_attention(trace, layers, weights)
    origin = {"timestep": at, "input_size": {"height": seen_hw[0], "width": seen_hw[1]}, "layers": used}
    return prepared(attention, grid, image, origin, **choices)


def clicks_on_trace(
    trace: Trace,
    points: Sequence[Click] = (),
    *,
    steps: int | Sequence[int] | slice | None = None,
    branch: str = "cond",
    image: int = 0,
    shown: Picture | None = None,
    layers: Sequence[Any] | None = None,
    weights: Sequence[float] | None = None,
    progress: Progress | None = None,
    **choices: Any,
) -> Clicks:
    """What clicks on a generated picture are answered from.

    Args:
        trace: Of one pass.
        points: (x, y) that must lie in the picture.
        steps: Steps whose attention is averaged; all by default.
        branch: Guidance branch.
        image: Number of the image in the batch.
        shown: The picture that is clicked on; the trace's own by default.
        layers: As for `attnscope.click`.
        weights: As for `attnscope.click`.
        progress: Called as progress(done, total) after each layer and each part of `prepared`; what it raises ends
            the work.
        choices: Of `prepared`.

    Raises:
        SelectionError: The trace lacks something that was chosen.
        ParameterError: It has no picture.

    Cost: head means of the chosen layers and steps, and `prepared`.
    """
    check_shows_picture(trace.run)
    shown = trace.picture_of(image) if shown is None else shown
    if shown is None:
        raise ParameterError("this trace holds no picture to click on: give it with shown=")
    drawn = load_picture(shown)
    checked_clicks(points, "a", drawn.size)
    numbers = step_numbers(trace, steps)
    attention, grid, used = chosen_attention(
        trace, layers, weights, progress=progress, step=numbers, branch=branch, image=image
    )
    origin = {
        "steps": numbers,
        "branch": branch,
        "image": image,
        "prompt": trace.prompt(image),
        "layers": used,
    }
    return prepared(attention, grid, drawn, origin, progress=progress, **choices)


def chosen_attention(
    trace: Trace,
    layers: Sequence[Any] | None,
    weights: Sequence[float] | None,
    *,
    progress: Progress | None = None,
    **choice: Any,
) -> tuple[Tensor, SizeHW, list[str]]:
    """The weighted mean of some layers' self-attention, its grid, and the layers' paths.

    Args:
        trace: Of one pass.
        layers: Blocks' numbers or paths of modules; None for `default_layers`.
        weights: One for each layer; None for equal ones.
        progress: As for `clicks_on_trace`.
        choice: step, branch and image, as for `Trace.probabilities`; all steps of "cond" of image 0 by default.

    Raises:
        SelectionError: The trace lacks a layer, or there is none.
        ParameterError: Layers have several grids, or weights do not fit.
    """
    chosen = default_layers(trace) if layers is None else [_layer(trace, which) for which in layers]
    if not chosen:
        raise ParameterError("layers is empty; expected numbers of blocks, or None")
    if len({layer.grid for layer in chosen}) > 1:
        grids = ", ".join(f"block {layer.block} {layer.grid}" for layer in chosen)
        raise ParameterError(f"these layers have several grids: {grids}. Choose layers of one grid")
    shares = [1.0] * len(chosen) if weights is None else [float(weight) for weight in weights]
    if len(shares) != len(chosen) or not np.isfinite(shares).all() or min(shares) < 0 or not sum(shares) > 0:
        raise ParameterError(
            f"weights are {weights!r}; expected {len(chosen)} numbers from 0, one for each of the layers, not all 0"
        )
    choice = {"step": step_numbers(trace, None), "branch": "cond", "image": 0, **choice}
    total: Any = 0
    for done, (layer, share) in enumerate(zip(chosen, shares, strict=True), start=1):
        if share:
            total = total + trace.probabilities(layer=layer, mean=("step", "head"), **choice) * share
        _tell(progress, done, len(chosen))
    return total, (chosen[0].grid.height, chosen[0].grid.width), [layer.path for layer in chosen]


def default_layers(trace: Trace) -> list[Layer]:
    """Of a U-Net the self-attention of the finest grid on the way up, without the last layer there, whose attention is
    of texture; of a transformer all of the image to itself.

    For Stable Diffusion v1 and v2 these are M2N2's two, with its equal weights. That the rule holds for others was
    measured on the demo model only.

    Args:
        trace: Of one pass.

    Raises:
        SelectionError: It has none.
    """
    layers = list(layers_of_places(trace))
    if all(layer.stage not in ("down", "mid", "up") for layer in layers):
        finest = max(layer.grid.places for layer in layers)
        return [layer for layer in layers if layer.grid.places == finest]
    upward = [layer for layer in layers if layer.stage == "up"]
    if not upward:
        raise SelectionError(
            "this trace has no self-attention on the U-Net's way up, which clicks use by default: name "
            f"blocks that it has with layers=, such as layers=[{layers[0].block}]"
        )
    finest = max(layer.grid.places for layer in upward)
    there = [layer for layer in upward if layer.grid.places == finest]
    return there[:-1] or there


def _layer(trace: Trace, which: Any) -> Layer:
    layer = trace.layers[which] if isinstance(which, str) else trace.layers[which, "self"]
    if layer.kind not in (*PLACE_KINDS, "joint"):
        raise SelectionError(f"{layer.id} is not self-attention; clicks need attention from places to places")
    return layer if layer.kind != "joint" else trace.layers[layer.block, "self"]


def prepared(
    attention: Tensor,
    grid: SizeHW,
    image: Image.Image,
    origin: dict[str, Any],
    *,
    temperature: float,
    step_px: int | None = None,
    most_pixels: int | None = None,
    further: bool = True,
    progress: Progress | None = None,
) -> Clicks:
    """The chain, and the upsampling along the picture.

    Args:
        attention: From place to place.
        grid: Its (height, width).
        image: The upright picture.
        origin: Where the attention is from.
        temperature: As for `attnscope.click`.
        step_px: As for `attnscope.click`.
        most_pixels: As for `attnscope.click`.
        further: As for `attnscope.click`.
        progress: As for `clicks_on_trace`.

    Raises:
        ParameterError: A number is outside its range, or attention holds none.

    Cost: docs/clicks.md.
    """
    most = MOST_PIXELS if most_pixels is None else most_pixels
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ParameterError(
            f"most_pixels is {most!r}; expected a whole number from 1, such as {MOST_PIXELS}"
        )
    layers = len(origin.get("layers", ()))
    chain = markov_chain(attention.cpu(), temperature=temperature, dtype=torch.float32)
    _tell(progress, layers + 1, layers)
    powers = chain_powers(chain) if further and len(chain) <= MOST_PLACES else None
    _tell(progress, layers + 2, layers)
    along = upsampling(np.asarray(_at_most(image, most)), grid, step_px=step_px)
    _tell(progress, layers + PREPARING, layers)
    return Clicks(chain, grid, along, image, origin, powers)


def _tell(progress: Progress | None, done: int, layers: int) -> None:
    if progress is not None:
        progress(done, layers + PREPARING)


def _at_most(image: Image.Image, pixels: int) -> Image.Image:
    scale = min(1.0, (pixels / (image.width * image.height)) ** 0.5)
    height, width = (max(1, int(side * scale)) for side in size_hw(image))
    return resized(image.convert("RGB"), (height, width))
