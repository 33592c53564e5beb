"""Sums over the attention probability in row tiles, without materialising it.

One tile is some queries of one head against all keys: a matrix product, a softmax and a sum, in one
buffer that is used again. On a CPU the rows are shared among a few threads, each with torch's own
threading off: inside a tile it costs more than it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from attnscope.probability.contraction import Contraction
from attnscope.probability.reference import add_mask, working_dtype
from attnscope.threads import tile_threads

TILE_NUMBERS = 256 * 4096  # x 4 bytes = 4 MB; shorter tiles make the product slower than they save in cache
SMALL = 1 << 20  # numbers of P under which starting threads costs more than it gives
RANGES_A_THREAD = 2  # a thread that is done early takes another range


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
    dtype, heads = working_dtype(query), query.shape[0]
    result = torch.zeros(asked.shape, dtype=dtype, device=query.device) if into is None else into
    head_factors = [1.0] * heads if asked.head is None else asked.head.tolist()
    ranges = _ranges(query, key)
    # a range that sums its rows has a sum of its own, so that the order of threads can't change a bit
    sums = result.expand(len(ranges), *result.shape)
    if asked.query is not None:
        sums = torch.zeros_like(sums, memory_format=torch.contiguous_format)

    def add_tile(part: int, rows: slice, head: int, tile: Tensor) -> None:
        left = tile if asked.columns is None else tile.index_select(1, asked.columns)
        left = left if asked.key is None else left @ asked.key
        of_head = sums[part] if asked.head is not None else sums[part, head]
        if asked.query is None:
            of_head[rows].add_(left, alpha=head_factors[head])
        else:
            of_head.add_(asked.query[rows] @ left, alpha=head_factors[head])

    _for_each_tile(add_tile, ranges, query, key, scale, mask, tile_rows)
    return result if asked.query is None else result.add_(sums.sum(0))


def entropy_tiled(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    *,
    scale: float,
    mask: Tensor | None = None,
    tile_rows: int | None = None,
) -> Float[Tensor, "head query"]:
    """-sum P log P over the keys, in nats."""
    result = torch.empty(query.shape[:2], dtype=working_dtype(query), device=query.device)

    def write(part: int, rows: slice, head: int, tile: Tensor) -> None:
        result[head, rows] = torch.special.entr(tile).sum(1)

    _for_each_tile(write, _ranges(query, key), query, key, scale, mask, tile_rows)
    return result


def _ranges(query: Tensor, key: Tensor) -> list[tuple[int, int]]:
    """(start, stop) of rows that a thread works through; one range where threads would not pay."""
    heads, queries, _ = query.shape
    threads = torch.get_num_threads()
    if query.device.type != "cpu" or threads == 1 or heads * queries * key.shape[1] < SMALL:
        return [(0, queries)]
    count = min(RANGES_A_THREAD * threads, queries)
    return list(pairwise(queries * part // count for part in range(count + 1)))


def _for_each_tile(
    use: Callable[[int, slice, int, Tensor], None],
    ranges: list[tuple[int, int]],
    query: Tensor,
    key: Tensor,
    scale: float,
    mask: Tensor | None,
    tile_rows: int | None,
) -> None:
    """use(number of the range, rows, head, P of these rows) for every tile; threads share the ranges."""
    dtype = working_dtype(query)
    height = tile_rows or max(1, TILE_NUMBERS // key.shape[1])
    query, key = _whole_vectors(query.to(dtype)), _whole_vectors(key.to(dtype))
    transposed_key = key.transpose(1, 2).contiguous()

    @torch.no_grad()  # a thread starts without the caller's setting
    def use_range(part: int) -> None:
        for rows, head, tile in _tiles(query, transposed_key, scale, mask, *ranges[part], height):
            use(part, rows, head, tile)

    if len(ranges) == 1:
        use_range(0)
    else:
        list(tile_threads(torch.get_num_threads()).map(use_range, range(len(ranges))))


def _whole_vectors(tensor: Float[Tensor, "head place dim"]) -> Float[Tensor, "head place padded"]:
    """With zeros up to a multiple of 8, as wide as a vector register: products of 4 take longer than those of 8."""
    return pad(tensor, (0, -tensor.shape[2] % 8)) if tensor.shape[2] % 8 else tensor


def _tiles(
    query: Tensor,
    transposed_key: Tensor,
    scale: float,
    mask: Tensor | None,
    start: int,
    stop: int,
    tile_rows: int,
) -> Iterator[tuple[slice, int, Tensor]]:
    """(rows, head, P of these rows): one tile after the other, in one buffer that is used again."""
    heads, _, keys = transposed_key.shape
    buffer = torch.empty([min(tile_rows, stop - start), keys], dtype=query.dtype, device=query.device)
    for first in range(start, stop, tile_rows):
        rows = slice(first, min(first + tile_rows, stop))
        for head in range(heads):
            tile = buffer[: rows.stop - rows.start]
            torch.addmm(tile, query[head, rows], transposed_key[head], beta=0, alpha=scale, out=tile)
            masked = tile if mask is None else add_mask(tile, _at(mask, head, rows))
            yield rows, head, torch.softmax(masked, dim=1, out=tile)  # row by row, so it may overwrite


def _at(mask: Tensor, head: int, rows: slice) -> Tensor:
    """The part of a (head, query, key) mask, any of them 1, that one tile needs."""
    of_head = mask[head if mask.shape[0] > 1 else 0]
    return of_head[rows] if of_head.shape[0] > 1 else of_head
