"""Traces made by hand: no model, any shape, known numbers."""

from __future__ import annotations

import torch

from attnscope.records import Call, Grid, Layer, Row, Run, Token
from attnscope.records.qkv import Record
from attnscope.storage.memory import MemoryRecords
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace

PROMPT = "red cat"
TOKENS = (
    Token(0, "<s>", 0, 0, "start"),
    Token(1, "red", 0, 3, "text"),
    Token(2, "c", 4, 5, "text"),
    Token(3, "at", 5, 7, "text"),
    Token(4, "<e>", 0, 0, "end"),
)
NEGATIVE_PROMPT = "cat"
NEGATIVE_TOKENS = (
    Token(0, "<s>", 0, 0, "start"),
    Token(1, "cat", 0, 3, "text"),
    Token(2, "<e>", 0, 0, "end"),
    Token(3, "<p>", 0, 0, "padding"),
    Token(4, "<p>", 0, 0, "padding"),
)


def made_trace(
    *,
    grids=((4, 6), (2, 3)),
    steps=2,
    heads=3,
    dim=5,
    branches=("uncond", "cond"),
    images=1,
    kinds=("self", "cross"),
    dtype=torch.float32,
    mask=False,
    seed=0,
) -> Trace:
    """A trace made by hand, without a model: random Q and K of any shape. Block n has grid n of `grids`.

    Args:
        grids: (height, width) of each block. The first is the latent's.
        steps: How many steps.
        heads: Heads of each layer.
        dim: Channels of one head.
        branches: Guidance branches, in the batch's order.
        images: Pictures in the batch. Each has the prompt "red cat", whose tokens are `TOKENS`, and the negative
            prompt "cat", whose tokens are `NEGATIVE_TOKENS`.
        kinds: Which attentions each block has, of 'self' and 'cross'.
        dtype: Type of Q and K.
        mask: Whether records have a mask that is added to the scores.
        seed: Seed of the random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = tuple(Row(branch, image) for branch in branches for image in range(images))
    records = MemoryRecords()

    def record(layer: Layer) -> Record:
        shape = (len(rows), layer.heads)
        query = torch.randn(*shape, layer.grid.places, layer.head_dim, generator=generator) * 2
        key = torch.randn(*shape, layer.keys, layer.head_dim, generator=generator)
        added = torch.randn(len(rows), 1, 1, layer.keys, generator=generator) if mask else None
        return Record(query.to(dtype), key.to(dtype), mask=added, scale=layer.head_dim**-0.5)

    for block, (height, width) in enumerate(grids, start=1):
        grid = Grid(height, width)
        for kind in kinds:
            keys = grid.places if kind == "self" else len(TOKENS)
            path = (
                f"down_blocks.0.attentions.{block - 1}.transformer_blocks.0.attn{1 if kind == 'self' else 2}"
            )
            layer = Layer(
                block, kind, path, "down", grid, heads, dim, keys, batch=images, branches=len(branches)
            )
            records.layers[layer.id] = layer
    for index in range(steps):
        call = Call(index, index, float(900 - index), rows)
        records.add_call(call, {layer.id: record(layer) for layer in records.layers.values()})
    run = Run(
        prompts=[PROMPT] * images, tokens=[TOKENS] * images, latent_size_hw=grids[0], planned_steps=steps
    )
    run.negative_prompts, run.negative_tokens = [NEGATIVE_PROMPT] * images, [NEGATIVE_TOKENS] * images
    run.image_size_hw = (grids[0][0] * 8, grids[0][1] * 8)
    return Trace(Pass(records, run))
