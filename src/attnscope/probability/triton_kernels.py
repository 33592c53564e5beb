"""The Triton kernels: P is computed tile by tile in registers, summed along one axis, and never stored.

`inputs` is triton_sums.Inputs: inside a kernel its tensors are pointers.
"""

from __future__ import annotations

import triton
import triton.language as tl

# A tile is 64 x 64 scores: 32 float32 registers in each of 128 threads, twice where a sum of tiles is kept too.
# A larger one would leave no registers for the products of float32, which no tensor core makes exactly. Q and K
# are multiplied a slice of 64 bytes at a time: 32 numbers in half precision, 16 in float32, the least that tl.dot
# takes. So a program holds 16 to 24 KB of shared memory whatever the dim of a head, which is padded to a whole
# number of slices (40 to 64 or 48, 160 not at all) and not to a power of two.
BLOCK_QUERY = tl.constexpr(64)
BLOCK_KEY = tl.constexpr(64)
SLICE_BYTES = tl.constexpr(64)


@triton.jit
def row_statistics_kernel(inputs, largest_ptr, total_ptr, DIM: tl.constexpr, STEP: tl.constexpr):
    """One program: m and l of 64 queries of one head, from one walk over the keys.

    Args:
        inputs: Q, K, mask and their strides, as `triton_sums.Inputs`.
        largest_ptr: m, (head, query), contiguous, written.
        total_ptr: l, (head, query), contiguous, written.
        DIM: Channels of a head.
        STEP: How many numbers one load may take.
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
    unseen = largest == float("-inf")  # no key is visible: m = 0 and l = 1 make every share exp(-inf) = 0
    largest = tl.where(unseen, 0.0, largest)
    total = tl.where(unseen, 1.0, total)
    _store_of_rows(largest_ptr, inputs, head, rows, largest)
    _store_of_rows(total_ptr, inputs, head, rows, total)


@triton.jit
def over_heads_kernel(
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

    Args:
        inputs: Q, K, mask and their strides, as `triton_sums.Inputs`.
        largest_ptr: m, (head, query), contiguous.
        factor_ptr: What exp(S - m) is multiplied by, (head, query), contiguous.
        result_ptr: (query, key), written.
        result_stride: Strides of the result.
        DIM: Channels of a head.
        STEP: How many numbers one load may take.
        ADD: Read the result first, and add to it.
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
def over_queries_kernel(inputs, largest_ptr, factor_ptr, result_ptr, DIM: tl.constexpr, STEP: tl.constexpr):
    """One program: 64 numbers of the (head, key) result, from a walk over the queries of one head.

    Args:
        inputs: Q, K, mask and their strides, as `triton_sums.Inputs`.
        largest_ptr: m, (head, query), contiguous.
        factor_ptr: What exp(S - m) is multiplied by, (head, query), contiguous.
        result_ptr: (head, key), contiguous, written.
        DIM: Channels of a head.
        STEP: How many numbers one load may take.
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
def over_keys_kernel(
    inputs, largest_ptr, factor_ptr, weight_ptr, result_ptr, DIM: tl.constexpr, STEP: tl.constexpr
):
    """One program: 64 numbers of the (head, query) result, from a walk over the keys of one head.

    Args:
        inputs: Q, K, mask and their strides, as `triton_sums.Inputs`.
        largest_ptr: m, (head, query), contiguous.
        factor_ptr: What exp(S - m) is multiplied by, (head, query), contiguous.
        weight_ptr: Weights of the keys, (key), contiguous. None for the entropy's terms, (m - S) x P.
        result_ptr: (head, query), contiguous, written.
        DIM: Channels of a head.
        STEP: How many numbers one load may take.
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
