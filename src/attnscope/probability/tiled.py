"""Sums over the attention probability in row tiles, without materialising it.

On a CPU a few threads share the rows, each with torch's own threading off: within a tile it costs more than it
gains. The work on a tile is in `tile_loops`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from attnscope.probability.contraction import Contraction
from attnscope.probability.inputs import working_dtype
from attnscope.probability.threads import in_tile_threads
from attnscope.probability.tile_loops import Scores, add_rows, add_sum_of_rows, compiled, write_entropy

TILE_NUMBERS = 64 * 4096  # x 4 bytes = 1 MB: with as much of the result it fits a core's own cache
TILE_NUMBERS_ELSEWHERE = 1024 * 4096  # on a GPU without Triton: few, large launches
SMALL = 1 << 20  # numbers of P under which starting threads costs more than it gives
NEAR_1 = (1e-3, 1e3)  # weights whose product with one over a row's sum stays well inside float32
RANGES_A_THREAD = 2  # a thread that is done early takes another range

T = TypeVar("T")
Part = tuple[slice, Scores]
"""Some rows, and what their P is computed from."""


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
    """A contraction of P, computed in row tiles.

    Args:
        query: Q of one batch row.
        key: K of one batch row.
        asked: Which axes are summed, and with which weights.
        scale: Factor before the softmax.
        mask: Broadcasts to (head, query, key).
        into: A result to add to, in place. Default: a new tensor.
        tile_rows: Rows of one tile. Default: as many as fit a core's cache.

    Cost: heads x query x key exponentials. Memory of the result and of one tile a thread.
    """
    parts = _parts(query, key, scale, mask, tile_rows)
    weights = [1.0] * query.shape[0] if asked.head is None else asked.head.tolist()
    if asked.query is None:
        return _rows_kept(parts, weights, asked, into)
    return _rows_summed(parts, weights, asked.query, asked, into)


def _rows_kept(parts: list[Part], weights: list[float], asked: Contraction, into: Tensor | None) -> Tensor:
    """Each part of the rows has its own part of the result."""
    low, high = NEAR_1
    in_one = asked.key is None and all(weight == 0 or low <= abs(weight) <= high for weight in weights)
    like = parts[0][1].query
    result = (like.new_empty if in_one else like.new_zeros)(asked.shape) if into is None else into
    of_heads = result.view(asked.kept_shape)
    loop = compiled(add_rows)

    def add(part: Part) -> None:
        rows, scores = part
        loop(scores, weights, asked.columns, asked.key, in_one, into is None, of_heads[:, rows])

    _in_threads(add, parts)
    return result


def _rows_summed(
    parts: list[Part], weights: list[float], query_weights: Tensor, asked: Contraction, into: Tensor | None
) -> Tensor:
    """Each part of the rows has a sum of its own, so the order of threads can't change a bit."""
    loop = compiled(add_sum_of_rows)

    def summed(part: Part) -> Tensor:
        rows, scores = part
        sums = scores.query.new_zeros(asked.kept_shape)
        loop(scores, weights, query_weights[rows], asked.columns, asked.key, sums)
        return sums

    result = torch.stack(_in_threads(summed, parts)).sum(0).view(asked.shape)
    return result if into is None else into.add_(result)


def entropy_tiled(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    *,
    scale: float,
    mask: Tensor | None = None,
    tile_rows: int | None = None,
) -> Float[Tensor, "head query"]:
    """-sum P log P over the keys in nats, computed in row tiles.

    Args:
        query: Q of one batch row.
        key: K of one batch row.
        scale: Factor before the softmax.
        mask: Broadcasts to (head, query, key).
        tile_rows: Rows of one tile. Default: as many as fit a core's cache.
    """
    parts = _parts(query, key, scale, mask, tile_rows)
    result = parts[0][1].query.new_empty(query.shape[:2])
    loop = compiled(write_entropy)
    _in_threads(lambda part: loop(part[1], result[:, part[0]]), parts)
    return result


def _parts(
    query: Tensor, key: Tensor, scale: float, mask: Tensor | None, tile_rows: int | None
) -> list[Part]:
    """The rows in parts. A thread takes one part at a time."""
    dtype = working_dtype(query)
    base_e = mask is not None or _base_e_is_faster()
    query, key = _whole_vectors(query.to(dtype)), _whole_vectors(key.to(dtype))
    keys = key.transpose(1, 2).contiguous()
    shape = (query.shape[0], query.shape[1], key.shape[1])
    mask = mask if mask is None else mask.expand(shape)
    far = _far_from_0(query, key, scale) if mask is None else query.new_ones(shape[:2], dtype=torch.bool)
    numbers = TILE_NUMBERS if query.device.type == "cpu" else TILE_NUMBERS_ELSEWHERE
    height = tile_rows or max(1, numbers // shape[2])

    def scores(rows: slice) -> Scores:
        tiles = [tile.any(1) for tile in far[:, rows].split(height, dim=1)]
        return Scores(
            query=query[:, rows],
            keys=keys,
            mask=mask if mask is None else mask[:, rows],
            scale=scale if base_e else scale / math.log(2),
            base_e=base_e,
            tile_rows=height,
            needs_maximum=torch.stack(tiles, 1).tolist(),
        )

    return [(rows, scores(rows)) for rows in _ranges(query.device, *shape)]


def _ranges(device: torch.device, heads: int, queries: int, keys: int) -> list[slice]:
    """The rows of each part; all rows in one where threads would not pay."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or heads * queries * keys < SMALL:
        return [slice(0, queries)]
    count = min(RANGES_A_THREAD * threads, queries)
    return [slice(queries * part // count, queries * (part + 1) // count) for part in range(count)]


def _in_threads(use: Callable[[Part], T], parts: list[Part]) -> list[T]:
    """Results of `use(part)` for every part, shared among threads, which start without the caller's settings."""
    alone = torch.no_grad()(use)
    return in_tile_threads(alone, parts) if len(parts) > 1 else [alone(parts[0])]


@cache
def _base_e_is_faster() -> bool:
    """Whether exp is faster than exp2, as in MKL on Intel's cores.

    For 134 million of them on two threads MKL took 11 ms on an Intel Xeon and over 46 ms on an AMD EPYC; torch's own
    exp2 took 17 ms on the Xeon.
    """
    about_cpu: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.backends.mkl.is_available() and "Intel" in about_cpu.get("cpu_name", "")


def _far_from_0(
    query: Float[Tensor, "head query dim"], key: Float[Tensor, "head key dim"], scale: float
) -> Bool[Tensor, "head query"]:
    """Whether a row's scores may be too far from 0 for an exponential in this type.

    That is why a softmax subtracts each row's largest score; for all other rows this only takes time. No score is
    further from 0 than the query's length times the longest key's. A fifth of the exponents is left for sums and for
    the weight of a head near 1; other weights are applied to P. True for NaN.
    """
    longest_key = torch.linalg.vector_norm(key, dim=2).amax(1, keepdim=True)
    reach = torch.linalg.vector_norm(query, dim=2) * longest_key * abs(scale)
    return ~(reach < 0.8 * math.log(torch.finfo(query.dtype).max))


def _whole_vectors(tensor: Float[Tensor, "... dim"]) -> Float[Tensor, "... padded"]:
    """The last axis padded with zeros to a multiple of 8 (a vector register): products over 4 take longer."""
    return pad(tensor, (0, -tensor.shape[-1] % 8)) if tensor.shape[-1] % 8 else tensor
