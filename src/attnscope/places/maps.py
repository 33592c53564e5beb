"""Maps of one view: where a place or a region looks, which words it reads, where tokens landed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError
from attnscope.heatmap.heat_map import heat_map
from attnscope.pictures.maps import resize_maps
from attnscope.places.view import Box, View
from attnscope.records import Grid, Kind, Layer, TokenSpan
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.trace import Trace


def box_map(trace: TraceSource, view: View, box: Box) -> Float[np.ndarray, "height width"]:
    """Where a place looks, or the places of a box on average: self-attention.

    Its sum is the share of attention that goes to the picture: 1, and less in a joint attention, where a place looks
    at the text, too.

    Args:
        trace: A trace with self-attention.
        view: Without a block: the mean over blocks, each resized to the finest grid with its sum kept.
        box: The place or the box.

    Cost: one softmax over the keys for each head, step and cell of the box.
    """
    trace = as_trace(trace)
    layers = _layers(trace, "self", view)
    maps = [_layer_box_map(trace, layer, view, box) for layer in layers]
    if len(maps) == 1:
        return maps[0].numpy()
    finest = max((layer.grid for layer in layers), key=lambda grid: grid.places)
    return torch.stack([_resized(layer_map, finest) for layer_map in maps]).mean(0).numpy()


def block_maps(
    trace: TraceSource, view: View, box: Box
) -> Iterator[tuple[int, Float[np.ndarray, "height width"]]]:
    """`box_map` for each block by itself, at its own size, as (block, map).

    Args:
        trace: A trace with self-attention.
        view: Its block is not used.
        box: The place or the box.
    """
    trace = as_trace(trace)
    for layer in _layers(trace, "self", replace(view, block=None)):
        yield layer.block, _layer_box_map(trace, layer, view, box).numpy()


def head_maps(
    trace: TraceSource, view: View, box: Box
) -> Iterator[tuple[int, Float[np.ndarray, "height width"]]]:
    """`box_map` for each head of one block by itself, as (head, map).

    Args:
        trace: A trace with self-attention.
        view: Its block is needed; its head is not used.
        box: The place or the box.
    """
    trace = as_trace(trace)
    layer = _chosen_layer(trace, "self", view)
    steps = ("step",) if view.step is None else ()
    choice = _choice(replace(view, head=None))
    cells = box.cells(layer.grid)
    probs = trace.probabilities(layer=layer, query=cells, part="own", mean=("query", *steps), **choice)
    for head, shares in enumerate(probs.cpu()):
        yield head, shares.view(*layer.grid).numpy()


def word_head_maps(
    trace: TraceSource, view: View, tokens: Sequence[int]
) -> Iterator[tuple[int, Float[np.ndarray, "height width"]]]:
    """Where tokens landed in each head of one block by itself, on the block's grid, as (head, map).

    Args:
        trace: A trace with cross-attention.
        view: Its block is needed; its head is not used.
        tokens: Token numbers.
    """
    trace = as_trace(trace)
    layer = _chosen_layer(trace, "cross", view)
    steps = ("step",) if view.step is None else ()
    choice = _choice(replace(view, head=None))
    probs = trace.probabilities(block=layer.block, kind="cross", token=list(tokens), mean=steps, **choice)
    for head, shares in enumerate(probs.mean(-1).cpu()):
        yield head, shares.view(*layer.grid).numpy()


def word_block_maps(
    trace: TraceSource, view: View, tokens: Sequence[int]
) -> Iterator[tuple[int, Float[np.ndarray, "height width"]]]:
    """Where tokens landed in each block by itself, at latent size, as (block, map).

    Args:
        trace: A trace with cross-attention.
        view: Its block is not used.
        tokens: Token numbers.
    """
    trace = as_trace(trace)
    for layer in _layers(trace, "cross", replace(view, block=None)):
        yield layer.block, word_map(trace, replace(view, block=layer.block), tokens)


def token_shares(trace: TraceSource, view: View, box: Box) -> Float[np.ndarray, " token"]:
    """The share of attention that a place, or a box on average, gives to each token: cross-attention, sum 1, in a joint
    attention less.

    Args:
        trace: A trace with cross-attention.
        view: Without a block: the mean over all blocks.
        box: The place or the box.
    """
    trace = as_trace(trace)
    shares = [
        trace.probabilities(
            block=layer.block,
            kind="cross",
            query=box.cells(layer.grid),
            mean=("query", *_averaged(view)),
            **_choice(view),
        )
        for layer in _layers(trace, "cross", view)
    ]
    return torch.stack([of_layer.cpu().double() for of_layer in shares]).mean(0).float().numpy()


def word_map(trace: TraceSource, view: View, tokens: Sequence[int]) -> Float[np.ndarray, "height width"]:
    """Where tokens landed: `attnscope.heat_map` of all of them, at latent size; the mean share of one token.

    Args:
        trace: A trace with cross-attention.
        view: Which block, head, step, branch and image.
        tokens: Token numbers, at least one.
    """
    if not tokens:
        raise ParameterError("tokens are empty; expected token numbers, such as 2 or 2,3")
    span = TokenSpan("+".join(map(str, tokens)), 0, 0, tuple(tokens))
    heat = heat_map(
        trace,
        span,
        steps=view.step,
        blocks=view.block,
        heads=view.head,
        branch=view.branch,
        image=view.image,
    )
    return heat.array


def _layer_box_map(trace: Trace, layer: Layer, view: View, box: Box) -> Float[Tensor, "height width"]:
    probs = trace.probabilities(
        layer=layer,
        part="own",
        query=box.cells(layer.grid),
        mean=("query", *_averaged(view)),
        **_choice(view),
    )
    return probs.cpu().view(*layer.grid)


def _resized(array: Float[Tensor, "h w"], grid: Grid) -> Float[Tensor, "height width"]:
    larger = resize_maps(array, grid)
    return larger * (array.sum() / larger.sum())


def _layers(trace: Trace, kind: Kind, view: View) -> list[Layer]:
    if view.block is not None:
        return [trace.layer(view.block, kind)]
    return list(trace.layers_of_kind(kind))


def _chosen_layer(trace: Trace, kind: Kind, view: View) -> Layer:
    if view.block is None:
        raise ParameterError("heads are those of one block: choose block=")
    return trace.layer(view.block, kind)


def _averaged(view: View) -> tuple[str, ...]:
    return tuple(axis for axis, chosen in (("step", view.step), ("head", view.head)) if chosen is None)


def _choice(view: View) -> dict[str, Any]:
    return {"step": view.step, "head": view.head, "branch": view.branch, "image": view.image}
