"""Sums over the attention probability on a GPU: P is made tile by tile in registers and never written down.

One row of scores is S = Q K^T x scale + mask; with its largest score m and total l = sum exp(S - m) over all
keys, P = exp(S - m) / l. A first kernel finds m and l of every row. Then one kernel for each axis makes the
tiles again and sums them along it; a sum over more axes goes on in torch, from that small result. Each number
is written once, by one program: the same input gives the same bits.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from attnscope.probability.contraction import Contraction

# A tile is 64 x 64 scores: 32 float32 registers in each of 128 threads, twice where a sum of tiles is kept too.
# A larger one would leave no registers for the products of float32, which no tensor core makes exactly. Q and K
# are multiplied a slice of 64 bytes at a time: 32 numbers in half precision, 16 in float32, the least that tl.dot
# takes. So a program holds 16 to 24 KB of shared memory whatever the dim of a head, which is padded to a whole
# number of slices (40 to 64 or 48, 160 not at all) and not to a power of two.
BLOCK_QUERY = tl.constexpr(64)
BLOCK_KEY = tl.constexpr(64)
SLICE_BYTES = tl.constexpr(64)


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
    """The contraction of P that is asked for, as a new tensor or added to `into`; at least one axis is summed.

    mask: broadcasts to (head, query, key). A row that sees no key is NaN, as softmax has it.
    Returns float32.
    Cost: two passes of dim multiply-adds and an exponential for each of (head, query, key), the second over the
    asked columns alone. 8 heads of 4096 x 4096 with dim 40 are 2 x 11 GFLOP, and a head mean writes 67 MB once
    (with `into` it reads them once, too): the floor is 22 GFLOP or 67 MB, whichever takes longer. Memory of the
    result, of 3 numbers for each (head, query) and of one for each (head, key) where queries are summed.
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
    """-sum P log P over the keys, in nats. Cost: as `reduce_triton`."""
    with torch.cuda.device_of(query):
        inputs = _inputs(query, key, mask, scale)
        largest, total = _row_statistics(inputs)
        # -log P = log l + (m - S), and P sums to 1: terms >= 0, nothing cancels
        return total.log() + _over_keys(inputs, largest, 1 / total, None)


def _inputs(query: Tensor, key: Tensor, mask: Tensor | None, scale: float) -> Inputs:
    shape = (query.shape[0], query.shape[1], key.shape[1])
    mask_strides = (0, 0, 0) if mask is None else mask.expand(shape).stride()
    numbers: list[Any] = [*query.stride(), *key.stride(), *mask_strides, *shape, float(scale)]
    return Inputs(query, key, mask, *numbers)


def _counted(key: Tensor, mask: Tensor | None, columns: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The keys that count and the mask's part for them."""
    if columns is None:
        return key, mask
    if mask is not None and mask.shape[-1] > 1:
        mask = mask.index_select(-1, columns)
    return key.index_select(1, columns), mask


def _row_factor(total: Float[Tensor, "head query"], asked: Contraction) -> Float[Tensor, "head query"]:
    """What exp(S - m) of a row is multiplied with: 1/l, and the weights of its head and query."""
    factor = 1 / total
    factor = factor if asked.head is None else factor * asked.head[:, None]
    return factor if asked.query is None else factor * asked.query


def _launch(kernel: Any, blocks: tuple[int, int], inputs: Inputs, *rest: Any, **switches: bool) -> None:
    kernel[blocks](inputs, *rest, DIM=inputs.query.shape[2], STEP=_step(inputs), **switches)


def _step(inputs: Inputs) -> int:
    """The width of loads: how many numbers, 16 bytes at most, divide the way to every head and place of Q and K."""
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
    _launch(_row_statistics_kernel, blocks, inputs, largest, total)
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
    _launch(_over_heads_kernel, blocks, inputs, largest, factor, result, result.stride(), ADD=add)
    return result


def _over_queries(
    inputs: Inputs, largest: Float[Tensor, "head query"], factor: Float[Tensor, "head query"]
) -> Float[Tensor, "head key"]:
    result = _empty(inputs, inputs.heads, inputs.keys)
    blocks = (triton.cdiv(inputs.keys, BLOCK_KEY.value), inputs.heads)
    _launch(_over_queries_kernel, blocks, inputs, largest, factor, result)
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
    _launch(_over_keys_kernel, blocks, inputs, largest, factor, weight, result)
    return result


@triton.jit
def _row_statistics_kernel(inputs, largest_ptr, total_ptr, DIM: tl.constexpr, STEP: tl.constexpr):
    """One program: m and l of 64 queries of one head, from one walk over the keys.

    largest_ptr, total_ptr: (head, query), contiguous, written.
    """
    rows = _places(tl.program_id(0) * BLOCK_QUERY, BLOCK_QUERY)
    head = tl.program_id(1).to(tl.int64)
    largest = tl.full((BLOCK_QUERY,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_QUERY,), tl.float32)
    for first in range(0, inputs.keys, BLOCK_KEY):
        scores = _scores(inputs, head, rows, _places(first, BLOCK_KEY), DIM, STEP)
        higher = tl.maximum(largest, tl.max(scores, 1))
        base = tl.where(higher == float("-inf"), 0.0, higher)  # no key seen so far: inf - inf would stay NaN
        total = total * tl.exp(largest - base) + tl.sum(tl.exp(scores - base[:, None]), 1)
        largest = higher
    _store_of_rows(largest_ptr, inputs, head, rows, largest)
    _store_of_rows(total_ptr, inputs, head, rows, total)


@triton.jit
def _over_heads_kernel(
    inputs,
    largest_ptr,
    factor_ptr,
    result_ptr,
    result_stride,
    DIM: tl.constexpr,
    STEP: tl.constexpr,
    ADD: tl.constexpr,
):
    """One program: 64 x 64 numbers of the (query, key) result, summed over all heads.

    largest_ptr, factor_ptr: (head, query), contiguous. result_ptr: (query, key) with result_stride, written;
    ADD: it is read first, and added to.
    """
    columns = _places(
        tl.program_id(0) * BLOCK_KEY, BLOCK_KEY
    )  # neighbouring programs write on in the same rows
    rows = _places(tl.program_id(1) * BLOCK_QUERY, BLOCK_QUERY)
    total = tl.zeros((BLOCK_QUERY, BLOCK_KEY), tl.float32)
    for number in range(inputs.heads):
        head = tl.cast(number, tl.int64)
        _, probability = _tile(inputs, largest_ptr, factor_ptr, head, rows, columns, DIM, STEP)
        total += probability
    inside = (rows[:, None] < inputs.queries) & (columns[None, :] < inputs.keys)
    at = result_ptr + rows[:, None] * result_stride[0] + columns[None, :] * result_stride[1]
    if ADD:
        total += tl.load(at, mask=inside, other=0.0)
    tl.store(at, total, mask=inside)


@triton.jit
def _over_queries_kernel(inputs, largest_ptr, factor_ptr, result_ptr, DIM: tl.constexpr, STEP: tl.constexpr):
    """One program: 64 numbers of the (head, key) result, from a walk over the queries of one head.

    largest_ptr, factor_ptr: (head, query), contiguous. result_ptr: (head, key), contiguous, written.
    """
    columns = _places(tl.program_id(0) * BLOCK_KEY, BLOCK_KEY)
    head = tl.program_id(1).to(tl.int64)
    total = tl.zeros((BLOCK_KEY,), tl.float32)
    for first in range(0, inputs.queries, BLOCK_QUERY):
        rows = _places(first, BLOCK_QUERY)
        _, probability = _tile(inputs, largest_ptr, factor_ptr, head, rows, columns, DIM, STEP)
        total += tl.sum(probability, 0)
    tl.store(result_ptr + head * inputs.keys + columns, total, mask=columns < inputs.keys)


@triton.jit
def _over_keys_kernel(
    inputs, largest_ptr, factor_ptr, weight_ptr, result_ptr, DIM: tl.constexpr, STEP: tl.constexpr
):
    """One program: 64 numbers of the (head, query) result, from a walk over the keys of one head.

    largest_ptr, factor_ptr: (head, query), contiguous. weight_ptr: (key), contiguous, or None for the
    entropy's terms (m - S) x P. result_ptr: (head, query), contiguous, written.
    """
    rows = _places(tl.program_id(0) * BLOCK_QUERY, BLOCK_QUERY)
    head = tl.program_id(1).to(tl.int64)
    total = tl.zeros((BLOCK_QUERY,), tl.float32)
    for first in range(0, inputs.keys, BLOCK_KEY):
        columns = _places(first, BLOCK_KEY)
        below, probability = _tile(inputs, largest_ptr, factor_ptr, head, rows, columns, DIM, STEP)
        if weight_ptr is None:
            weight = tl.where(probability == 0.0, 0.0, below)  # an unseen key is inf below: 0 x inf is 0 here
        else:
            weight = tl.load(weight_ptr + columns, mask=columns < inputs.keys, other=0.0)[None, :]
        total += tl.sum(probability * weight, 1)
    _store_of_rows(result_ptr, inputs, head, rows, total)


@triton.jit
def _tile(inputs, largest_ptr, factor_ptr, head, rows, columns, DIM: tl.constexpr, STEP: tl.constexpr):
    """(m - S, factor x exp(S - m)) of one tile; outside the tensors the second is 0."""
    scores = _scores(inputs, head, rows, columns, DIM, STEP)
    below = _load_of_rows(largest_ptr, inputs, head, rows)[:, None] - scores
    return below, tl.exp(-below) * _load_of_rows(factor_ptr, inputs, head, rows)[:, None]


@triton.jit
def _scores(inputs, head, rows, columns, DIM: tl.constexpr, STEP: tl.constexpr):
    """S of one tile (64 queries, 64 keys) of one head, -inf past the last key.

    "ieee" keeps float32 products whole; those of half precision are exact in float32 as they are.
    """
    products = tl.zeros((BLOCK_QUERY, BLOCK_KEY), tl.float32)
    SLICE: tl.constexpr = 8 * SLICE_BYTES // inputs.query.dtype.element_ty.primitive_bitwidth
    for first in range(0, DIM, SLICE):
        dims = _places(first, SLICE)
        of_head = tl.multiple_of(head * inputs.query_of_head, STEP)
        of_place = tl.multiple_of(rows[:, None] * inputs.query_of_place, (STEP, STEP))
        of_dim = dims[None, :] * inputs.query_of_dim
        inside = (rows[:, None] < inputs.queries) & (dims[None, :] < DIM)
        query = tl.load(inputs.query + of_head + of_place + of_dim, mask=inside, other=0.0)
        of_head = tl.multiple_of(head * inputs.key_of_head, STEP)
        of_place = tl.multiple_of(columns[None, :] * inputs.key_of_place, (STEP, STEP))
        of_dim = dims[:, None] * inputs.key_of_dim
        inside = (columns[None, :] < inputs.keys) & (dims[:, None] < DIM)
        key = tl.load(inputs.key + of_head + of_place + of_dim, mask=inside, other=0.0)
        products = tl.dot(query, key, products, input_precision="ieee")
    scores = products * inputs.scale
    if inputs.mask is not None:
        scores = _masked(scores, inputs, head, rows[:, None], columns[None, :])
    return tl.where(columns[None, :] < inputs.keys, scores, float("-inf"))


@triton.jit
def _masked(scores, inputs, head, rows, columns):
    at = inputs.mask + head * inputs.mask_of_head + rows * inputs.mask_of_query + columns * inputs.mask_of_key
    mask = tl.load(at, mask=(rows < inputs.queries) & (columns < inputs.keys), other=0)
    if mask.dtype == tl.int1:
        masked = tl.where(mask, scores, float("-inf"))
    else:
        masked = scores + mask.to(tl.float32)
    return masked


@triton.jit
def _places(first, BLOCK: tl.constexpr):
    """first, first + 1, ...: in 64 bits, since masks and results of large layers have more than 2^31 numbers."""
    return first + tl.arange(0, BLOCK).to(tl.int64)


@triton.jit
def _load_of_rows(pointer, inputs, head, rows):
    return tl.load(pointer + head * inputs.queries + rows, mask=rows < inputs.queries, other=0.0)


@triton.jit
def _store_of_rows(pointer, inputs, head, rows, numbers):
    tl.store(pointer + head * inputs.queries + rows, numbers, mask=rows < inputs.queries)
