"""Sums over the attention probability on a GPU: P is computed tile by tile in registers and never stored.

One row of scores is S = Q K^T x scale + mask. With its largest score m and its total l = sum exp(S - m) over all
keys, P = exp(S - m) / l. A first kernel finds m and l of every row. Then one kernel for each axis computes the
tiles again and sums them along it; a sum over more axes continues in torch from that small result. Each number
is written once, by one program, so the same input gives the same bits.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import triton
from jaxtyping import Float
from torch import Tensor

from attnscope.probability.contraction import Contraction, taken
from attnscope.probability.triton_kernels import (
    BLOCK_KEY,
    BLOCK_QUERY,
    over_heads_kernel,
    over_keys_kernel,
    over_queries_kernel,
    row_statistics_kernel,
)


class Inputs(NamedTuple):
    """What every kernel reads; inside a kernel the tensors are pointers.

    x_of_y is x's stride along y, in numbers, 0 where the mask is repeated. They lie flat here: Triton 3.5 and 3.6
    lose a stride of 1 in a tuple inside a tuple.
    """

    query: Tensor
    """(head, query, dim): float16, bfloat16 or float32."""
    key: Tensor
    """(head, key, dim): of the same type."""
    mask: Tensor | None
    """(head, query, key): bool, true where a key may be seen, or numbers that are added."""
    query_of_head: int
    query_of_place: int
    query_of_dim: int
    key_of_head: int
    key_of_place: int
    key_of_dim: int
    mask_of_head: int
    mask_of_query: int
    mask_of_key: int
    heads: int
    queries: int
    keys: int
    scale: float


def reduce_triton(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    asked: Contraction,
    *,
    scale: float,
    mask: Tensor | None = None,
    into: Tensor | None = None,
) -> Float[Tensor, ...]:
    """A contraction of P on a GPU. At least one axis is summed.

    Args:
        query: Q of one batch row.
        key: K of one batch row, of the same type.
        asked: Which axes are summed, and with which weights.
        scale: Factor before the softmax.
        mask: Broadcasts to (head, query, key).
        into: A result to add to, in place. Default: a new tensor.

    Returns:
        Float32. A row that sees no key is zeros.

    Cost: two passes of dim multiply-adds and an exponential for each of (head, query, key), the second over the
    asked columns alone. 8 heads of 4096 x 4096 with dim 40 are 2 x 11 GFLOP, and a head mean writes 67 MB once
    (with `into` it reads them once, too): the floor is 22 GFLOP or 67 MB, whichever takes longer. Memory of the
    result, of 3 numbers for each (head, query), and of one for each (head, key) where queries are summed.
    """
    with torch.cuda.device_of(query):
        largest, total = _row_statistics(_inputs(query, key, mask, scale))
        factor = _row_factor(total, asked)
        inputs = _inputs(query, *_counted(key, mask, asked.columns), scale)
        if asked.query is None and asked.key is None:
            return _over_heads(inputs, largest, factor, into)
        if asked.key is None:
            left = _over_queries(inputs, largest, factor)
        else:
            left = _over_keys(inputs, largest, factor, asked.key.contiguous())
            left = left if asked.query is None else left.sum(1)
        left = left if asked.head is None else left.sum(0)
        return left if into is None else into.add_(left)


def entropy_triton(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    *,
    scale: float,
    mask: Tensor | None = None,
) -> Float[Tensor, "head query"]:
    """-sum P log P over the keys in nats, on a GPU.

    Args:
        query: Q of one batch row.
        key: K of one batch row, of the same type.
        scale: Factor before the softmax.
        mask: Broadcasts to (head, query, key).

    Cost: as `reduce_triton`.
    """
    with torch.cuda.device_of(query):
        inputs = _inputs(query, key, mask, scale)
        largest, total = _row_statistics(inputs)
        # -log P = log l + (m - S), and P sums to 1: terms >= 0, nothing cancels
        return total.log() + _over_keys(inputs, largest, total.reciprocal(), None)


def _inputs(query: Tensor, key: Tensor, mask: Tensor | None, scale: float) -> Inputs:
    shape = (query.shape[0], query.shape[1], key.shape[1])
    mask_strides = (0, 0, 0) if mask is None else mask.expand(shape).stride()
    numbers: list[Any] = [*query.stride(), *key.stride(), *mask_strides, *shape, float(scale)]
    return Inputs(query, key, mask, *numbers)


def _counted(
    key: Tensor, mask: Tensor | None, columns: Tensor | slice | None
) -> tuple[Tensor, Tensor | None]:
    """The keys that count, and the mask for them."""
    if mask is not None and mask.shape[-1] > 1:
        mask = taken(mask, -1, columns)
    return taken(key, 1, columns), mask


def _row_factor(total: Float[Tensor, "head query"], asked: Contraction) -> Float[Tensor, "head query"]:
    """What exp(S - m) of a row is multiplied by: 1/l, and the weights of its head and query."""
    factor = total.reciprocal() if asked.head is None else asked.head[:, None] / total
    return factor if asked.query is None else factor * asked.query


def _launch(kernel: Any, blocks: tuple[int, int], inputs: Inputs, *rest: Any, **switches: bool) -> None:
    kernel[blocks](inputs, *rest, DIM=inputs.query.shape[2], STEP=_step(inputs), **switches)


def _step(inputs: Inputs) -> int:
    """Numbers in one load: as many, up to 16 bytes, as divide the strides between heads and places of Q and K."""
    widest = 16 // inputs.query.element_size()
    strides = (inputs.query_of_head, inputs.query_of_place, inputs.key_of_head, inputs.key_of_place)
    return math.gcd(widest, *strides)


def _empty(inputs: Inputs, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32, device=inputs.query.device)


def _row_statistics(inputs: Inputs) -> tuple[Float[Tensor, "head query"], Float[Tensor, "head query"]]:
    """(m, l) of every row: its largest score, and the sum of exp(S - m).

    Kept apart: in float32 their log-sum-exp, m + log l, would lose digits of l where scores are large.
    """
    largest, total = (_empty(inputs, inputs.heads, inputs.queries) for _ in range(2))
    blocks = (triton.cdiv(inputs.queries, BLOCK_QUERY.value), inputs.heads)
    _launch(row_statistics_kernel, blocks, inputs, largest, total)
    return largest, total


def _over_heads(
    inputs: Inputs,
    largest: Float[Tensor, "head query"],
    factor: Float[Tensor, "head query"],
    into: Tensor | None,
) -> Float[Tensor, "query key"]:
    result = _empty(inputs, inputs.queries, inputs.keys) if into is None else into
    blocks = (triton.cdiv(inputs.keys, BLOCK_KEY.value), triton.cdiv(inputs.queries, BLOCK_QUERY.value))
    add = into is not None
    _launch(over_heads_kernel, blocks, inputs, largest, factor, result, result.stride(), ADD=add)
    return result


def _over_queries(
    inputs: Inputs, largest: Float[Tensor, "head query"], factor: Float[Tensor, "head query"]
) -> Float[Tensor, "head key"]:
    result = _empty(inputs, inputs.heads, inputs.keys)
    blocks = (triton.cdiv(inputs.keys, BLOCK_KEY.value), inputs.heads)
    _launch(over_queries_kernel, blocks, inputs, largest, factor, result)
    return result


def _over_keys(
    inputs: Inputs,
    largest: Float[Tensor, "head query"],
    factor: Float[Tensor, "head query"],
    weight: Float[Tensor, key] | None,
) -> Float[Tensor, "head query"]:
    """Sum of weight x P over the keys; of (m - S) x P without weights, for the entropy."""
    result = _empty(inputs, inputs.heads, inputs.queries)
    blocks = (triton.cdiv(inputs.queries, BLOCK_QUERY.value), inputs.heads)
    _launch(over_keys_kernel, blocks, inputs, largest, factor, weight, result)
    return result
