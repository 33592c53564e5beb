"""The loops over tiles of P, in the part of Python that TorchScript compiles.

A tile is some rows of one head against all keys: a matrix product, exponentials and their sums, in one buffer that
stays in a core's own cache and is used again; where keys are kept, rows are divided by their sums as they are added
to the result. Compiled, a loop runs without the interpreter, so that threads do not wait for each other's turn in it
at every one of the 2500 operations of a large layer; not compiled, the same functions give the same numbers.
"""

# No `from __future__ import annotations`: TorchScript does not resolve a NamedTuple's that are texts.

import os
import threading
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

_one_at_a_time = threading.Lock()


class Scores(NamedTuple):
    """What P of some rows is computed from: their softmax(query keys x scale + mask)."""

    query: Tensor
    """(head, row, dim)."""
    keys: Tensor
    """(head, dim, key)."""
    mask: Tensor | None
    """(head, row, key): added to the scores, or true where a key is seen."""
    scale: float
    base_e: bool
    """Whether the softmax is to the base e, or else 2."""
    tile_rows: int
    needs_maximum: list[list[bool]]
    """Of each head and tile: whether scores may leave the range in which an exponential is a number."""


def add_rows(
    scores: Scores,
    head_weights: list[float],
    columns: Tensor | None,
    key_weights: Tensor | None,
    in_one: bool,
    fresh: bool,
    result: Tensor,
) -> None:
    """Add P to a result (head or 1, row, column); its last axis is 1 where keys are summed, by their weights.

    columns: numbers of the keys that count. in_one: rows are divided by their sums, weighted and added in one pass;
    keys are kept then, and head_weights near enough to 1. fresh: the result holds nothing yet; with in_one only.
    """
    buffer = _buffer(scores)
    for start in range(0, scores.query.shape[1], scores.tile_rows):
        stop = min(start + scores.tile_rows, scores.query.shape[1])
        for head in range(scores.query.shape[0]):
            numbers, per_sum = _exponentials(scores, head, start, stop, buffer)
            target = result[head % result.shape[0], start:stop]
            if not in_one:
                left = _counted(numbers.mul_(per_sum), columns)
                left = left if key_weights is None else left @ key_weights[:, None]
                target.add_(left, alpha=head_weights[head])
            elif fresh and head < result.shape[0]:
                torch.mul(_counted(numbers, columns), per_sum.mul_(head_weights[head]), out=target)
            else:
                target.addcmul_(_counted(numbers, columns), per_sum, value=head_weights[head])


def add_sum_of_rows(
    scores: Scores,
    head_weights: list[float],
    query_weights: Tensor,
    columns: Tensor | None,
    key_weights: Tensor | None,
    result: Tensor,
) -> None:
    """Add P's rows, weighted, to a result (head or 1, 1, column); its last axis is 1 where keys are summed, too."""
    buffer = _buffer(scores)
    for start in range(0, scores.query.shape[1], scores.tile_rows):
        stop = min(start + scores.tile_rows, scores.query.shape[1])
        for head in range(scores.query.shape[0]):
            numbers, per_sum = _exponentials(scores, head, start, stop, buffer)
            left = _counted(numbers.mul_(per_sum), columns)
            if key_weights is not None:
                left = left @ key_weights[:, None]
            target = result[head % result.shape[0]]
            target.addmm_(query_weights[None, start:stop], left, alpha=head_weights[head])


def write_entropy(scores: Scores, result: Tensor) -> None:
    """Write -sum P log P of each row, in nats, to a result (head, row)."""
    buffer = _buffer(scores)
    for start in range(0, scores.query.shape[1], scores.tile_rows):
        stop = min(start + scores.tile_rows, scores.query.shape[1])
        for head in range(scores.query.shape[0]):
            numbers, per_sum = _exponentials(scores, head, start, stop, buffer)
            torch.sum(torch.special.entr(numbers.mul_(per_sum)), [1], out=result[head, start:stop])


def _buffer(scores: Scores) -> Tensor:
    """Of one tile; each tile of each head overwrites the last."""
    rows = min(scores.tile_rows, scores.query.shape[1])
    return torch.empty([rows, scores.keys.shape[2]], dtype=scores.query.dtype, device=scores.query.device)


def _exponentials(scores: Scores, head: int, start: int, stop: int, buffer: Tensor) -> tuple[Tensor, Tensor]:
    """Exponentials of a tile's scores (row, key), and one over their sums (row, 1): their product is P."""
    tile = buffer[: stop - start]
    tile.addmm_(scores.query[head, start:stop], scores.keys[head], beta=0, alpha=scores.scale)
    mask = scores.mask
    if mask is not None:
        seen_or_added = mask[head, start:stop]
        if seen_or_added.dtype == torch.bool:
            tile.masked_fill_(~seen_or_added, -float("inf"))
        else:
            tile.add_(seen_or_added)
    if scores.needs_maximum[head][start // scores.tile_rows]:
        tile.sub_(tile.amax([1], keepdim=True))
    exponentials = tile.exp_() if scores.base_e else tile.exp2_()
    return exponentials, exponentials.sum([1], keepdim=True).reciprocal_()


def _counted(tile: Tensor, columns: Tensor | None) -> Tensor:
    """The keys that count."""
    return tile if columns is None else tile.index_select(1, columns)


@cache
def compiled(loop: Callable[..., None]) -> Callable[..., None]:
    """One of the loops as TorchScript; as it is, where `why_not_compiled` says so."""
    return loop if why_not_compiled() else _script(loop)


@cache
def why_not_compiled() -> str:
    """What keeps TorchScript from compiling the loops; empty where it can."""
    loops: list[Callable[..., None]] = [add_rows, add_sum_of_rows, write_entropy]
    try:
        off = any(_script(loop) is loop for loop in loops)
    except Exception as cause:
        # without source files, or with what a later torch may say; Python gives the same numbers
        first_line = str(cause).strip().partition("\n")[0]
        return f"TorchScript does not compile them: {type(cause).__name__}: {first_line}"
    return "TorchScript is off (PYTORCH_JIT=0)" if off else ""


def _script(loop: Callable[..., None]) -> Any:
    # torch advises torch.compile instead, which needs a C++ compiler. Filters of warnings are the process's.
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(loop)


def _forget() -> None:
    """In a forked process nobody is left to open the lock."""
    global _one_at_a_time
    _one_at_a_time = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
