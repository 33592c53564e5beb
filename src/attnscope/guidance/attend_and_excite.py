"""Attend-and-Excite: no word of the prompt is neglected (Chefer et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError, SelectionError
from attnscope.guidance.guiding import Guided, Loss, guide
from attnscope.records import Grid, Layer
from attnscope.trace.trace import Trace

PLACES = 16 * 16
PIXELS = 32
"""Of the picture for one place of the maps that count."""
TARGETS = {0: 0.05, 10: 0.5, 20: 0.8}
"""By the number of a step: how strongly each word must be attended there."""
SIDE = math.exp(-1)
"""Of the smoothing's weights beside the middle: exp(-(x / 2 sigma)^2), sigma 0.5, as the authors' program has it."""


def attend_and_excite(
    pipe: Any,
    words: Sequence[str | int] | Sequence[Sequence[str | int]],
    *,
    prompt: str | Sequence[str],
    max_steps: int = 25,
    targets: Mapping[int, float] | None = None,
    scale: float = 20.0,
    scale_range: tuple[float, float] = (1.0, 0.5),
    most_tries: int = 20,
    until_end: bool = False,
    **call: Any,
) -> Guided:
    """Generate pictures in which each of some words is attended to somewhere.

    Args:
        pipe: A text-to-image pipeline with a U-Net: Stable Diffusion v1, v2, XL.
        words: Words of the prompt or numbers of tokens; of several prompts a list for each.
        prompt: One or several.
        max_steps: How many steps from the first one are guided.
        targets: By the number of a step, how strongly each word must be attended there, 0..1: the update is repeated
            until it is. By default 0.05, 0.5 and 0.8 at steps 0, 10 and 20.
        scale: Of the updates.
        scale_range: It is multiplied with the root of numbers that fall from the first to the second over the steps.
        most_tries: How often an update is repeated.
        until_end: Leave padding out when words are compared, as the authors do for Stable Diffusion 2.1.
        **call: For the pipeline: num_inference_steps, generator, latents, height, width ...

    Raises:
        ParameterError: No words, or lists of words for other prompts.
        WordError: The prompt lacks a word.
        ModelError: The model asks for more than a prompt and a latent.

    Cost: as `guide`, about three times that of the pipeline. Source: Chefer et al. 2023, section 3, and the authors'
    program; the maps of 16x16 places of a picture of 512x512 count, as there.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> pipe.set_progress_bar_config(disable=True)
    >>> words = ["house", "tree"]
    >>> made = attend_and_excite(pipe, words, prompt="a house and a tree", num_inference_steps=2, most_tries=1)
    >>> sorted(made.losses[0])
    [0, 1]
    """
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    of_prompts: Any = [words] if isinstance(prompt, str) else list(words)
    if len(of_prompts) != len(prompts) or not all(
        of_prompt and not isinstance(of_prompt, (str, int)) for of_prompt in of_prompts
    ):
        raise ParameterError(
            f"words are {words!r}; expected a list of words, or one list for each of several prompts"
        )
    count = int(call.setdefault("num_inference_steps", 50))
    losses: list[Loss] = [partial(neglect, words=of_prompt, until_end=until_end) for of_prompt in of_prompts]
    factors = torch.linspace(*scale_range, count).sqrt() * scale
    wanted = {step: 1 - strength for step, strength in (TARGETS if targets is None else targets).items()}
    return guide(
        pipe,
        losses,
        prompt=prompts,
        step_sizes=factors.tolist(),
        steps=range(min(max_steps, count)),
        targets={step: target for step, target in wanted.items() if step < count},
        most_tries=most_tries,
        **call,
    )


def neglect(trace: Trace, words: Sequence[str | int], *, until_end: bool = False) -> Tensor:
    """How much the most neglected of some words is: 1 less its largest attention among words, 0..1.

    Args:
        trace: Of one step and one prompt.
        words: Words or numbers of tokens; a word of several tokens counts with its last one.
        until_end: Leave padding out when words are compared.

    Raises:
        WordError: The prompt lacks a word.

    Source: Chefer et al. 2023, section 3, equation 1.
    """
    maps = _maps(trace)
    tokens = trace.tokens()
    ends = [token.index for token in tokens if token.role == "end"]
    last = (ends[0] if ends else maps.shape[-1] - 1) if until_end else maps.shape[-1] - 1
    shares = torch.softmax(100 * maps[..., 1:last], -1)
    numbers = [trace.span(word).tokens[-1] if isinstance(word, str) else word for word in words]
    if outside := [number for number in numbers if not 1 <= number < last]:
        raise SelectionError(f"tokens {outside}: expected numbers from 1 to {last - 1}")
    return max((1 - _smooth(shares[..., number - 1]).max()).clamp(min=0) for number in numbers)


def _maps(trace: Trace) -> Float[Tensor, "height width token"]:
    """The mean over heads and layers of one grid."""
    layers = _layers(trace)
    total: Any = 0
    for layer in layers:
        total = total + layer.heads * trace.probabilities(layer=layer, mean="head").reshape(*layer.grid, -1)
    return total / sum(layer.heads for layer in layers)


def _layers(trace: Trace) -> list[Layer]:
    """The cross-attention with a place for each 32 pixels; where there is none, with about 16x16 places."""
    cross = [layer for layer in trace.layers if layer.reads_text]
    size = trace.run.image_size_hw
    wanted = None if size is None else Grid(*(math.ceil(side / PIXELS) for side in size))
    grids = [layer.grid for layer in cross]
    if wanted not in grids:
        wanted = min(grids, key=lambda grid: abs(math.log(grid.places / PLACES)))
    return [layer for layer in cross if layer.grid == wanted]


def _smooth(map_: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    line = map_.new_tensor([SIDE, 1, SIDE])
    kernel = line[:, None] * line
    padded = F.pad(map_[None, None], (1, 1, 1, 1), mode="reflect")
    return F.conv2d(padded, (kernel / kernel.sum())[None, None])[0, 0]
