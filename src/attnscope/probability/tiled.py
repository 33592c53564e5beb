"""Sums over the attention probability in row tiles, without materialising it.

On a CPU a few threads share the rows, each with torch's own threading off: within a tile it costs more than it
gains. The work on a tile is in `tile_loops`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from attnscope.probability.contraction import Contraction
from attnscope.probability.inputs import working_dtype
from attnscope.probability.reach import far_from_0, is_tame, lengths
from attnscope.probability.threads import in_tile_threads
from attnscope.probability.tile_loops import (
    Scores,
    add_rows,
    add_sum_of_rows,
    compiled,
    has_onednn_product,
    write_entropy,
)

TILE_NUMBERS = 64 * 4096  # x 4 bytes = 1 MB: with as much of the result it fits a core's own cache
TILE_NUMBERS_ELSEWHERE = 1024 * 4096  # on a GPU without Triton: few, large launches
SMALL = 1 << 20  # numbers of P under which starting threads, or oneDNN, costs more than it gives
NEAR_1 = (1e-3, 1e3)  # weights whose product with one over a row's sum stays well inside float32
KEYS_BYTES = (
    8 << 20
)  # of keys that are copied at once: 5 MB in SD v1's finest layer, 57 MB in Flux at 1024 px
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

    Cost: heads x query x key exponentials. Memory of the result, of one tile a thread and, where keys have to be
    copied to be multiplied, of those of a few heads.
    """
    results, by_onednn = [], _onednn_is_faster(query, key)
    for heads in _head_groups(query, key, by_onednn):
        of_heads = query[heads], key[heads], asked.of_heads(heads)
        how: dict[str, Any] = {
            "scale": scale,
            "mask": _of_heads(mask, heads),
            "tile_rows": tile_rows,
            "by_onednn": by_onednn,
        }
        target = into if into is None or asked.head is not None else into[heads]
        results.append(_reduce_heads(*of_heads, into=target, **how))
        into = results.pop() if asked.head is not None else into
    if into is not None:
        return into
    return results[0] if len(results) == 1 else torch.cat(results)


def _reduce_heads(
    query: Tensor,
    key: Tensor,
    asked: Contraction,
    *,
    scale: float,
    mask: Tensor | None,
    into: Tensor | None,
    tile_rows: int | None,
    by_onednn: bool,
) -> Tensor:
    parts = _parts(query, key, scale, mask, tile_rows, by_onednn, asked.columns)
    weights = [1.0] * query.shape[0] if asked.head is None else asked.head.tolist()
    if asked.query is None:
        return _rows_kept(parts, weights, asked, into)
    return _rows_summed(parts, weights, asked.query, asked, into)


def _rows_kept(parts: list[Part], weights: list[float], asked: Contraction, into: Tensor | None) -> Tensor:
    """Each part of the rows has its own part of the result."""
    low, high = NEAR_1
    in_one = asked.key is None and all(weight == 0 or low <= abs(weight) <= high for weight in weights)
    like = parts[0][1].keys
    result = (like.new_empty if in_one else like.new_zeros)(asked.shape) if into is None else into
    of_heads = result.view(asked.kept_shape)
    loop = compiled(add_rows)

    def add(part: Part) -> None:
        rows, scores = part
        loop(scores, weights, asked.key, in_one, into is None, of_heads[:, rows])

    _in_threads(add, parts)
    return result


def _rows_summed(
    parts: list[Part], weights: list[float], query_weights: Tensor, asked: Contraction, into: Tensor | None
) -> Tensor:
    """Each part of the rows has a sum of its own, so the order of threads can't change a bit."""
    loop = compiled(add_sum_of_rows)

    def summed(part: Part) -> Tensor:
        rows, scores = part
        sums = scores.keys.new_zeros(asked.kept_shape)
        loop(scores, weights, query_weights[rows], asked.key, sums)
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
    result = query.new_empty(query.shape[:2], dtype=working_dtype(query))
    by_onednn = _onednn_is_faster(query, key)
    for heads in _head_groups(query, key, by_onednn):
        parts = _parts(query[heads], key[heads], scale, _of_heads(mask, heads), tile_rows, by_onednn)
        _in_threads(partial(_write_entropy, result[heads]), parts)
    return result


def _write_entropy(result: Tensor, part: Part) -> None:
    rows, scores = part
    compiled(write_entropy)(scores, result[:, rows])


def _head_groups(query: Tensor, key: Tensor, by_onednn: bool) -> list[slice]:
    """The heads, so many at a time as copies of their keys may take memory. oneDNN copies none in order."""
    if by_onednn and key.dtype == torch.float32 and key.is_contiguous():
        return [slice(0, len(query))]
    of_head = key.shape[1] * (key.shape[2] + -key.shape[2] % 8) * working_dtype(query).itemsize
    count = max(1, KEYS_BYTES // max(1, of_head))
    return [slice(first, first + count) for first in range(0, len(query), count)]


def _of_heads(mask: Tensor | None, heads: slice) -> Tensor | None:
    return mask[heads] if mask is not None and mask.ndim == 3 and mask.shape[0] > 1 else mask


def _parts(
    query: Tensor,
    key: Tensor,
    scale: float,
    mask: Tensor | None,
    tile_rows: int | None,
    by_onednn: bool = False,
    columns: Tensor | slice | None = None,
) -> list[Part]:
    """The rows in parts. A thread takes one part at a time."""
    dtype = working_dtype(query)
    base_e = mask is not None or _base_e_is_faster()
    shape = (query.shape[0], query.shape[1], key.shape[1])
    mask = mask if mask is None else mask.expand(shape)
    of_query, of_key = lengths(query, dtype), lengths(key, dtype)
    far = of_query.new_ones(shape[:2], dtype=torch.bool)
    far = far_from_0(of_query, of_key, scale) if mask is None else far
    by_onednn = by_onednn and is_tame(of_query, of_key, scale)
    query, keys = (query, key.to(dtype).contiguous()) if by_onednn else _for_blas(query, key, dtype)
    numbers = TILE_NUMBERS if query.device.type == "cpu" else TILE_NUMBERS_ELSEWHERE
    height = tile_rows or max(1, numbers // shape[2])
    counted = columns if isinstance(columns, slice) else slice(0, shape[2])

    def scores(rows: slice) -> Scores:
        tiles = [tile.any(1) for tile in far[:, rows].split(height, dim=1)]
        return Scores(
            query=query[:, rows],
            keys=keys,
            mask=mask if mask is None else mask[:, rows],
            scale=scale if base_e else scale / math.log(2),
            base_e=base_e,
            by_onednn=by_onednn,
            tile_rows=height,
            needs_maximum=torch.stack(tiles, 1).tolist(),
            columns=columns if isinstance(columns, Tensor) else None,
            first_column=counted.start,
            column_count=counted.stop - counted.start,
        )

    return [(rows, scores(rows)) for rows in _ranges(query.device, *shape)]


def _for_blas(query: Tensor, key: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Q, and K as (head, dim, key), padded with zeros to vectors of 8: products over 4 take longer."""
    more = -key.shape[2] % 8
    keys = key.new_empty([key.shape[0], key.shape[2] + more, key.shape[1]], dtype=dtype)
    keys[:, : key.shape[2]] = key.transpose(1, 2)
    keys[:, key.shape[2] :] = 0
    return pad(query, (0, more)) if more else query, keys


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


@cache
def _has_avx512_of_amd() -> bool:
    """Whether oneDNN multiplies faster than MKL, which runs code for AVX2 on AMD's cores.

    A tile of 64 rows against 4096 keys took 108 µs instead of 212 with a dim of 40 on one core of an AMD EPYC (Zen 5),
    and 59 instead of 140 with a dim of 8.
    """
    about_cpu: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    is_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return is_avx512 and "AMD" in about_cpu.get("cpu_name", "") and torch.backends.mkl.is_available()


def _onednn_is_faster(query: Tensor, key: Tensor) -> bool:
    is_large = query.shape[0] * query.shape[1] * key.shape[1] >= SMALL
    is_float = query.device.type == "cpu" and working_dtype(query) == torch.float32
    return is_large and is_float and has_onednn_product() and _has_avx512_of_amd()
