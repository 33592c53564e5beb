"""Means of the attention probability in row tiles, without materialising it.

One tile is some queries of one head against all keys: a matrix product, a softmax and a sum,
small enough to stay in a core's cache. On a CPU the rows are shared among a few threads, each
with torch's own threading off: inside a tile it costs more than it gives.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.probability.reference import add_mask, working_dtype
from attnscope.threads import tile_threads

TILE_NUMBERS = 64 * 4096  # x 4 bytes = 1 MB: half of a usual L2 cache
SMALL = 1 << 20  # numbers of P under which starting threads costs more than it gives


def reduce_tiled(
    query: Float[Tensor, "head query dim"],
    key: Float[Tensor, "head key dim"],
    *,
    scale: float,
    mask: Tensor | None = None,
    over: tuple[str, ...] = ("head",),
    columns: Tensor | None = None,
    tile_rows: int | None = None,
) -> Float[Tensor, ...]:
    """Mean of P over heads, over queries or over both; columns: the keys to keep (all by default).

    mask: broadcasts to (head, query, key).
    Returns (query, key), (head, key) or (key,); (head, query, key) when over is empty.
    Cost: heads x query x key exponentials; memory of the result and one tile a thread.
    """
    heads, queries, _ = query.shape
    tile_rows = tile_rows or max(1, TILE_NUMBERS // key.shape[1])
    keys = key.shape[1] if columns is None else len(columns)
    dtype = working_dtype(query)
    query, transposed_key = query.to(dtype), key.to(dtype).transpose(1, 2)
    over_head, over_query = "head" in over, "query" in over
    shape = ([] if over_head else [heads]) + ([] if over_query else [queries]) + [keys]
    result = torch.zeros(shape, dtype=dtype, device=query.device)
    weight = (1 / heads if over_head else 1.0) * (1 / queries if over_query else 1.0)
    guard = threading.Lock()

    @torch.no_grad()  # a thread starts without the caller's setting
    def add_rows(start: int, stop: int) -> None:
        partial = torch.zeros([heads, keys], dtype=dtype, device=query.device) if over_query else None
        for rows, head, tile in _tiles(query, transposed_key, scale, mask, start, stop, tile_rows):
            kept = tile if columns is None else tile.index_select(1, columns)
            if partial is not None:
                partial[head].add_(kept.sum(0), alpha=weight)
            elif over_head:
                result[rows].add_(kept, alpha=weight)
            else:
                result[head, rows] = kept
        if partial is not None:
            with guard:
                result.add_(partial.sum(0) if over_head else partial)

    _share_rows(add_rows, queries, heads * queries * key.shape[1], query.device)
    return result


def _tiles(
    query: Tensor,
    transposed_key: Tensor,
    scale: float,
    mask: Tensor | None,
    start: int,
    stop: int,
    tile_rows: int,
) -> Iterator[tuple[slice, int, Tensor]]:
    """(rows, head, P of these rows): one tile after the other, in a buffer that is used again."""
    heads, _, keys = transposed_key.shape
    scores = torch.empty([min(tile_rows, stop - start), keys], dtype=query.dtype, device=query.device)
    shares = torch.empty_like(scores)
    for first in range(start, stop, tile_rows):
        rows = slice(first, min(first + tile_rows, stop))
        count = rows.stop - rows.start
        for head in range(heads):
            tile = scores[:count]
            torch.addmm(tile, query[head, rows], transposed_key[head], beta=0, alpha=scale, out=tile)
            masked = tile if mask is None else add_mask(tile, _at(mask, head, rows))
            yield rows, head, torch.softmax(masked, dim=1, out=shares[:count])


def _at(mask: Tensor, head: int, rows: slice) -> Tensor:
    """The part of a (head, query, key) mask, any of them 1, that one tile needs."""
    of_head = mask[head if mask.shape[0] > 1 else 0]
    return of_head[rows] if of_head.shape[0] > 1 else of_head


def _share_rows(add_rows, queries: int, work: int, device: torch.device) -> None:
    threads = torch.get_num_threads()
    if device.type != "cpu" or work < SMALL or threads == 1:
        add_rows(0, queries)
        return
    # twice as many ranges as threads: a thread that is done early takes another
    bounds = [queries * part // (2 * threads) for part in range(2 * threads + 1)]
    jobs = [tile_threads(threads).submit(add_rows, *pair) for pair in pairwise(bounds)]
    for job in jobs:
        job.result()
