"""Sums over the attention probability in row tiles, without materialising it.

One tile is some queries of one head against all keys: a matrix product, exponentials and their sums, in one
buffer that stays in a core's own cache and is used again; where only heads are summed, rows are divided by their
sums as they are added to the result. On a CPU the rows are shared among a few threads, each with torch's own
threading off: inside a tile it costs more than it gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import wait
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from attnscope.probability.contraction import Contraction
from attnscope.probability.reference import add_mask, working_dtype
from attnscope.threads import tile_threads

TILE_NUMBERS = 64 * 4096  # x 4 bytes = 1 MB: with as much of the result it fits a core's own cache
TILE_NUMBERS_ELSEWHERE = 1024 * 4096  # of a GPU without Triton: few and large launches
SMALL = 1 << 20  # numbers of P under which starting threads costs more than it gives
RANGES_A_THREAD = 2  # a thread that is done early takes another range


OfHead = tuple[Float[Tensor, "row key"], Float[Tensor, "row 1"]]
"""Exponentials, and one over their sums: their product is P. The next head's overwrite them."""
RowTile = tuple[slice, Iterator[OfHead]]
"""Some rows of P, head after head."""
UseRange = Callable[[int, Iterable[RowTile]], None]
"""Called with the number of a range of rows, and its tiles."""


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
    ranges = _ranges(query, key)

    def share(use: UseRange) -> None:
        _for_each_range(use, ranges, query, key, scale, mask, tile_rows)

    if asked.query is None:
        return _rows_kept(query, asked, into, share)
    return _rows_summed(query, asked, into, share, len(ranges))


def _rows_kept(
    query: Tensor, asked: Contraction, into: Tensor | None, share: Callable[[UseRange], None]
) -> Tensor:
    """Each range of rows has its own part of the result."""
    result = query.new_empty(asked.shape, dtype=working_dtype(query)) if into is None else into
    of_heads = result.view(asked.kept_shape)
    factors = _head_factors(asked, query.shape[0])

    def add(part: int, tiles: Iterable[RowTile]) -> None:
        for rows, heads in tiles:
            targets = of_heads[:, rows].unbind(0)
            for head, (exponentials, per_sum) in enumerate(heads):
                target = targets[0 if asked.head is not None else head]
                if into is None and (head == 0 or asked.head is None):
                    target.zero_()
                if asked.key is None:
                    target.addcmul_(_counted(exponentials, asked), per_sum, value=factors[head])
                else:
                    summed = _counted(exponentials.mul_(per_sum), asked) @ asked.key[:, None]
                    target.add_(summed, alpha=factors[head])

    share(add)
    return result


def _rows_summed(
    query: Tensor, asked: Contraction, into: Tensor | None, share: Callable[[UseRange], None], ranges: int
) -> Tensor:
    """Each range of rows has a sum of its own, so that the order of threads can't change a bit."""
    assert asked.query is not None
    weights = asked.query[None]
    sums = query.new_zeros([ranges, *asked.kept_shape], dtype=working_dtype(query))
    factors = _head_factors(asked, query.shape[0])

    def add(part: int, tiles: Iterable[RowTile]) -> None:
        targets = sums[part].unbind(0)
        for rows, heads in tiles:
            for head, (exponentials, per_sum) in enumerate(heads):
                left = _counted(exponentials.mul_(per_sum), asked)
                left = left if asked.key is None else left @ asked.key[:, None]
                target = targets[0 if asked.head is not None else head]
                target.addmm_(weights[:, rows], left, alpha=factors[head])

    share(add)
    result = sums.sum(0).view(asked.shape)
    return result if into is None else into.add_(result)


def _head_factors(asked: Contraction, heads: int) -> list[float]:
    return [1.0] * heads if asked.head is None else asked.head.tolist()


def _counted(tile: Float[Tensor, "row key"], asked: Contraction) -> Float[Tensor, "row column"]:
    """The keys that count."""
    return tile if asked.columns is None else tile.index_select(1, asked.columns)


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

    def write(part: int, tiles: Iterable[RowTile]) -> None:
        for rows, of_heads in tiles:
            for head, (exponentials, per_sum) in enumerate(of_heads):
                result[head, rows] = torch.special.entr(exponentials.mul_(per_sum)).sum(1)

    _for_each_range(write, _ranges(query, key), query, key, scale, mask, tile_rows)
    return result


def _ranges(query: Tensor, key: Tensor) -> list[tuple[int, int]]:
    """(start, stop) of rows that a thread works through; one range where threads would not pay."""
    heads, queries, _ = query.shape
    threads = torch.get_num_threads()
    if query.device.type != "cpu" or threads == 1 or heads * queries * key.shape[1] < SMALL:
        return [(0, queries)]
    count = min(RANGES_A_THREAD * threads, queries)
    return list(pairwise(queries * part // count for part in range(count + 1)))


def _for_each_range(
    use: UseRange,
    ranges: list[tuple[int, int]],
    query: Tensor,
    key: Tensor,
    scale: float,
    mask: Tensor | None,
    tile_rows: int | None,
) -> None:
    """use(number, tiles) for every range, shared among threads."""
    if not query.shape[1]:
        return
    dtype = working_dtype(query)
    numbers = TILE_NUMBERS if query.device.type == "cpu" else TILE_NUMBERS_ELSEWHERE
    height = tile_rows or max(1, numbers // key.shape[1])

    base = _base() if mask is None else math.e
    query, key = _whole_vectors(query.to(dtype) * (scale / math.log(base))), _whole_vectors(key.to(dtype))
    reach = (_longest(query) * _longest(key)).tolist()
    transposed_key = key.transpose(1, 2).contiguous()

    @torch.no_grad()  # a thread starts without the caller's setting
    def use_range(part: int) -> None:
        start, stop = ranges[part]
        use(part, _tiles(query[:, start:stop], transposed_key, reach, base, mask, start, height))

    if len(ranges) == 1:
        use_range(0)
        return
    pool = tile_threads(torch.get_num_threads())
    futures = [pool.submit(use_range, part) for part in range(len(ranges))]
    try:
        wait(futures)
    finally:  # nothing goes on after an interrupt
        for future in futures:
            future.cancel()
        wait(futures)
    for future in futures:
        future.result()  # raises what the range raised


def _tiles(
    query: Float[Tensor, "head query dim"],
    transposed_key: Float[Tensor, "head dim key"],
    reach: list[float],
    base: float,
    mask: Tensor | None,
    start: int,
    height: int,
) -> Iterator[RowTile]:
    """P of these queries, which begin at row `start`.

    The scale is in them, such that P is a softmax to this base; reach: of each head's scores, in its units.
    """
    buffer = query.new_empty(min(height, query.shape[1]), transposed_key.shape[2])
    keys = transposed_key.unbind(0)
    for tile in query.split(height, dim=1):
        rows = slice(start, start + tile.shape[1])
        start = rows.stop
        yield rows, _of_heads(tile, keys, reach, base, mask, rows, buffer[: tile.shape[1]])


def _of_heads(
    query: Float[Tensor, "head row dim"],
    keys: Sequence[Float[Tensor, "dim key"]],
    reach: list[float],
    base: float,
    mask: Tensor | None,
    rows: slice,
    buffer: Float[Tensor, "row key"],
) -> Iterator[OfHead]:
    """P of a tile's rows, head after head.

    In few calls: each gives other threads a chance to make this one wait for the interpreter.
    """
    for head, of_head in enumerate(query.unbind(0)):
        scores = torch.mm(of_head, keys[head], out=buffer)
        if mask is not None:
            scores = add_mask(scores, _at(mask, head, rows))
        if mask is not None or not _in_range(reach[head] * math.log(base), scores.dtype):
            scores = scores.sub_(scores.amax(1, keepdim=True))
        exponentials = scores.exp_() if base == math.e else scores.exp2_()
        yield exponentials, exponentials.sum(1, keepdim=True).reciprocal_()


@cache
def _base() -> float:
    """Of the exponentials: e where MKL computes them on a core it was made for, else 2.

    134 million of them on two threads took MKL 11 ms on an Intel Xeon and over 46 ms on an AMD EPYC, torch's own
    exp2 17 ms on the Xeon.
    """
    about_cpu: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return math.e if torch.backends.mkl.is_available() and "Intel" in about_cpu.get("cpu_name", "") else 2.0


def _in_range(reach: float, dtype: torch.dtype) -> bool:
    """Whether exp of scores no further from 0 than this is well inside the range of its type.

    A softmax subtracts each row's largest score because it might not be; where it is, that changes nothing but
    the time. A fifth of the exponents is left for sums and for weights of heads; weights of queries and keys
    meet P only. False for a reach that is no number.
    """
    return reach < 0.8 * math.log(torch.finfo(dtype).max)


def _longest(vectors: Float[Tensor, "head place dim"]) -> Float[Tensor, head]:
    """The largest norm; that of the queries times that of the keys is the furthest a score can be from 0."""
    return torch.linalg.vector_norm(vectors, dim=2).amax(1)


def _whole_vectors(tensor: Float[Tensor, "... dim"]) -> Float[Tensor, "... padded"]:
    """With zeros up to a multiple of 8, as wide as a vector register: products of 4 take longer than those of 8."""
    return pad(tensor, (0, -tensor.shape[-1] % 8)) if tensor.shape[-1] % 8 else tensor


def _at(mask: Tensor, head: int, rows: slice) -> Tensor:
    """The part of a (head, query, key) mask, any of them 1, that one tile needs."""
    of_head = mask[head if mask.shape[0] > 1 else 0]
    return of_head[rows] if of_head.shape[0] > 1 else of_head
