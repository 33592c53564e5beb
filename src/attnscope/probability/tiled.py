"""Sums over the attention probability in row tiles, without materialising it.

On a CPU the rows are shared among a few threads, each with torch's own threading off: inside a tile it costs more
than it gives. What is done with a tile is in `tile_loops`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from attnscope.probability.contraction import Contraction
from attnscope.probability.reference import working_dtype
from attnscope.probability.tile_loops import Scores, add_rows, add_sum_of_rows, compiled, write_entropy
from attnscope.threads import in_tile_threads

TILE_NUMBERS = 64 * 4096  # x 4 bytes = 1 MB: with as much of the result it fits a core's own cache
TILE_NUMBERS_ELSEWHERE = 1024 * 4096  # of a GPU without Triton: few and large launches
SMALL = 1 << 20  # numbers of P under which starting threads costs more than it gives
RANGES_A_THREAD = 2  # a thread that is done early takes another range

T = TypeVar("T")


def reduce_tiled(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    asked: Contraction,
    *,
    scale: float,
    mask: Tensor | None = None,
    into: Tensor | None = None,
    tile_rows: int | None = None,
) -> Float[Tensor, ...]:
    """The contraction of P that is asked for, as a new tensor or added to `into`.

    mask: broadcasts to (head, query, key).
    Cost: heads x query x key exponentials; memory of the result and one tile a thread.
    """
    scores = _scores(query, key, scale, mask, tile_rows)
    weights = [1.0] * query.shape[0] if asked.head is None else asked.head.tolist()
    if asked.query is None:
        return _rows_kept(scores, weights, asked, into)
    return _rows_summed(scores, weights, asked.query, asked, into)


def _rows_kept(scores: Scores, weights: list[float], asked: Contraction, into: Tensor | None) -> Tensor:
    """Each range of rows has its own part of the result."""
    new = scores.query.new_empty if asked.key is None else scores.query.new_zeros
    result = new(asked.shape) if into is None else into
    of_heads = result.view(asked.kept_shape)

    loop = compiled(add_rows)

    def add(part: Scores, rows: slice) -> None:
        loop(part, weights, asked.columns, asked.key, into is None, of_heads[:, rows])

    _for_each_range(add, scores)
    return result


def _rows_summed(
    scores: Scores, weights: list[float], query_weights: Tensor, asked: Contraction, into: Tensor | None
) -> Tensor:
    """Each range of rows has a sum of its own, so that the order of threads can't change a bit."""
    loop = compiled(add_sum_of_rows)

    def summed(part: Scores, rows: slice) -> Tensor:
        sums = scores.query.new_zeros(asked.kept_shape)
        loop(part, weights, query_weights[rows], asked.columns, asked.key, sums)
        return sums

    result = torch.stack(_for_each_range(summed, scores)).sum(0).view(asked.shape)
    return result if into is None else into.add_(result)


def entropy_tiled(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    *,
    scale: float,
    mask: Tensor | None = None,
    tile_rows: int | None = None,
) -> Float[Tensor, "head query"]:
    """-sum P log P over the keys, in nats."""
    scores = _scores(query, key, scale, mask, tile_rows)
    result = scores.query.new_empty(query.shape[:2])
    loop = compiled(write_entropy)
    _for_each_range(lambda part, rows: loop(part, result[:, rows]), scores)
    return result


def _scores(query: Tensor, key: Tensor, scale: float, mask: Tensor | None, tile_rows: int | None) -> Scores:
    dtype = working_dtype(query)
    natural = mask is not None or _natural_is_faster()
    query, key = query.to(dtype) * (scale if natural else scale / math.log(2)), key.to(dtype)
    numbers = TILE_NUMBERS if query.device.type == "cpu" else TILE_NUMBERS_ELSEWHERE
    return Scores(
        _whole_vectors(query),
        _whole_vectors(key).transpose(1, 2).contiguous(),
        mask if mask is None else mask.expand(query.shape[0], query.shape[1], key.shape[1]),
        natural,
        _wide(query, key, 1.0 if natural else math.log(2)) if mask is None else [True] * query.shape[0],
        tile_rows or max(1, numbers // key.shape[1]),
    )


def _for_each_range(use: Callable[[Scores, slice], T], scores: Scores) -> list[T]:
    """use(scores of a range of rows, its rows) for every range, shared among threads; results in order."""

    @torch.no_grad()  # a thread starts without the caller's setting
    def use_range(rows: slice) -> T:
        mask = scores.mask
        part = scores._replace(query=scores.query[:, rows], mask=mask if mask is None else mask[:, rows])
        return use(part, rows)

    return in_tile_threads(use_range, _ranges(scores))


def _ranges(scores: Scores) -> list[slice]:
    """Rows that a thread works through; one range where threads would not pay."""
    heads, queries, _ = scores.query.shape
    threads = torch.get_num_threads()
    if scores.query.device.type != "cpu" or threads == 1 or heads * queries * scores.keys.shape[2] < SMALL:
        return [slice(0, queries)]
    count = min(RANGES_A_THREAD * threads, queries)
    return [slice(queries * part // count, queries * (part + 1) // count) for part in range(count)]


@cache
def _natural_is_faster() -> bool:
    """Whether exp is faster than exp2: where MKL computes it on a core it was made for.

    134 million of them on two threads took MKL 11 ms on an Intel Xeon and over 46 ms on an AMD EPYC, torch's own
    exp2 17 ms on the Xeon.
    """
    about_cpu: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.backends.mkl.is_available() and "Intel" in about_cpu.get("cpu_name", "")


def _wide(
    query: Float[Tensor, "head query dim"], key: Float[Tensor, "head key dim"], log_base: float
) -> list[bool]:
    """Of each head, whether exp of its scores may leave the range of its type, or come near to it.

    A softmax subtracts each row's largest score because of that; elsewhere it changes nothing but the time. The
    longest query times the longest key is the furthest a score can be from 0. A fifth of the exponents is left for
    sums and for weights of heads; weights of queries and keys meet P only. True for what is no number.
    """
    if not query.shape[1]:
        return [False] * query.shape[0]
    reach = _longest(query) * _longest(key) * log_base
    return (~(reach < 0.8 * math.log(torch.finfo(query.dtype).max))).tolist()


def _longest(vectors: Float[Tensor, "head place dim"]) -> Float[Tensor, head]:
    return torch.linalg.vector_norm(vectors, dim=2).amax(1)


def _whole_vectors(tensor: Float[Tensor, "... dim"]) -> Float[Tensor, "... padded"]:
    """With zeros up to a multiple of 8, as wide as a vector register: products of 4 take longer than those of 8."""
    return pad(tensor, (0, -tensor.shape[-1] % 8)) if tensor.shape[-1] % 8 else tensor
