"""The loops over tiles of P, written in the part of Python that TorchScript compiles.

A tile is some rows of one head against all keys: a matrix product, exponentials and their sums, in one buffer that
stays in a core's own cache and is used again. Where keys are kept, rows are divided by their sums while they are
added to the result. A large layer has 2500 such operations. Compiled, a loop runs without the interpreter, so threads
do not wait for each other at every one of them. Uncompiled, the same functions give the same numbers.
"""

# No `from __future__ import annotations`: TorchScript can't resolve a NamedTuple's annotations from text.

import os
import threading
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

ONEDNN_ARGUMENTS = "Tensor X, Tensor W, Tensor? B, str attr, Scalar?[] scalars, str? algorithm"
_one_at_a_time = threading.Lock()


class Scores(NamedTuple):
    """What P of some rows is computed from: their softmax(query keys x scale + mask).

    Attributes:
        query: (head, row, dim), of any type; a tile of it is computed in the type of the keys.
        keys: (head, dim, key), or (head, key, dim) for oneDNN, contiguous: for other strides that has slow code.
        mask: (head, row, key): added to the scores, or true where a key may be seen.
        scale: Factor before the softmax; with base 2 divided by log(2).
        base_e: Whether exponentials are to the base e; else to the base 2.
        by_onednn: Whether oneDNN multiplies, else BLAS.
        tile_rows: Rows of one tile.
        needs_maximum: For each head and tile: whether its scores may be too far from 0 for an exponential.
        columns: Numbers of the keys that count where they are scattered. None: `first_column` and those after it.
        first_column: The first key that counts.
        column_count: How many keys count.
    """

    query: Tensor
    keys: Tensor
    mask: Tensor | None
    scale: float
    base_e: bool
    by_onednn: bool
    tile_rows: int
    needs_maximum: list[list[bool]]
    columns: Tensor | None
    first_column: int
    column_count: int


def has_onednn_product() -> bool:
    """Whether this torch has the product by oneDNN that its own compiler uses, with the arguments given here."""
    product: Any = getattr(getattr(torch.ops.mkldnn, "_linear_pointwise", None), "default", None)
    return torch.backends.mkldnn.is_available() and f"({ONEDNN_ARGUMENTS}) -> Tensor" in str(
        getattr(product, "_schema", "")
    )


if has_onednn_product():

    def _onednn_product(query: Tensor, keys: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(query, keys, None, "none", [], "")

else:  # TorchScript has to find what no tile calls here

    def _onednn_product(query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.t()


def add_rows(
    scores: Scores,
    head_weights: list[float],
    key_weights: Tensor | None,
    in_one: bool,
    fresh: bool,
    result: Tensor,
) -> None:
    """Add P to a result (head or 1, row, column).

    Args:
        scores: The rows.
        head_weights: One factor per head.
        key_weights: Weights by which keys are summed; the result's last axis is 1 then. None keeps the keys.
        in_one: Divide rows by their sums, weight them and add them in one pass. Needs kept keys, and head_weights
            near enough to 1.
        fresh: The result holds nothing yet. Only with in_one.
        result: What is added to, in place.
    """
    buffer = _buffer(scores)
    for start in range(0, scores.query.shape[1], scores.tile_rows):
        stop = min(start + scores.tile_rows, scores.query.shape[1])
        for head in range(scores.query.shape[0]):
            numbers, per_sum = _exponentials(scores, head, start, stop, buffer)
            target = result[head % result.shape[0], start:stop]
            if not in_one:
                left = _counted(numbers.mul_(per_sum), scores)
                left = left if key_weights is None else left @ key_weights[:, None]
                target.add_(left, alpha=head_weights[head])
            elif fresh and head < result.shape[0]:
                torch.mul(_counted(numbers, scores), per_sum.mul_(head_weights[head]), out=target)
            else:
                target.addcmul_(_counted(numbers, scores), per_sum, value=head_weights[head])


def add_sum_of_rows(
    scores: Scores,
    head_weights: list[float],
    query_weights: Tensor,
    key_weights: Tensor | None,
    result: Tensor,
) -> None:
    """Add the weighted sum of P's rows to a result (head or 1, 1, column).

    Args:
        scores: The rows.
        head_weights: One factor per head.
        query_weights: One factor per row.
        key_weights: Weights by which keys are summed, too; the result's last axis is 1 then. None keeps the keys.
        result: What is added to, in place.
    """
    buffer = _buffer(scores)
    for start in range(0, scores.query.shape[1], scores.tile_rows):
        stop = min(start + scores.tile_rows, scores.query.shape[1])
        for head in range(scores.query.shape[0]):
            numbers, per_sum = _exponentials(scores, head, start, stop, buffer)
            left = _counted(numbers.mul_(per_sum), scores)
            if key_weights is not None:
                left = left @ key_weights[:, None]
            target = result[head % result.shape[0]]
            target.addmm_(query_weights[None, start:stop], left, alpha=head_weights[head])


def write_entropy(scores: Scores, result: Tensor) -> None:
    """Write the entropy of each row, -sum P log P in nats.

    Args:
        scores: The rows.
        result: (head, row), written.
    """
    buffer = _buffer(scores)
    for start in range(0, scores.query.shape[1], scores.tile_rows):
        stop = min(start + scores.tile_rows, scores.query.shape[1])
        for head in range(scores.query.shape[0]):
            numbers, per_sum = _exponentials(scores, head, start, stop, buffer)
            torch.sum(torch.special.entr(numbers.mul_(per_sum)), [1], out=result[head, start:stop])


def _buffer(scores: Scores) -> Tensor:
    """Room for one tile; each tile overwrites the last. oneDNN takes its own."""
    rows = 0 if scores.by_onednn else min(scores.tile_rows, scores.query.shape[1])
    return torch.empty([rows, scores.keys.shape[2]], dtype=scores.keys.dtype, device=scores.keys.device)


def _products(scores: Scores, head: int, start: int, stop: int, buffer: Tensor) -> Tensor:
    """query keys x scale of a tile, in the buffer if BLAS multiplies."""
    query = scores.query[head, start:stop].to(scores.keys.dtype)
    if scores.by_onednn:
        return _onednn_product((query * scores.scale).contiguous(), scores.keys[head])
    return buffer[: stop - start].addmm_(query, scores.keys[head], beta=0, alpha=scores.scale)


def _exponentials(scores: Scores, head: int, start: int, stop: int, buffer: Tensor) -> tuple[Tensor, Tensor]:
    """Exponentials of a tile's scores (row, key), and the reciprocals of their sums (row, 1). Their product is P."""
    tile = _products(scores, head, start, stop, buffer)
    mask = scores.mask
    if mask is not None:
        seen_or_added = mask[head, start:stop]
        if seen_or_added.dtype == torch.bool:
            tile.masked_fill_(~seen_or_added, -float("inf"))
        else:
            tile.add_(seen_or_added)
    if scores.needs_maximum[head][start // scores.tile_rows]:
        largest = tile.amax([1], keepdim=True)
        if mask is not None:
            largest.masked_fill_(largest == -float("inf"), 0.0)  # no key is visible: exponentials of 0
        tile.sub_(largest)
    exponentials = tile.exp_() if scores.base_e else tile.exp2_()
    sums = exponentials.sum([1], keepdim=True)
    if mask is not None:
        sums.masked_fill_(sums == 0, 1.0)
    return exponentials, sums.reciprocal_()


def _counted(tile: Tensor, scores: Scores) -> Tensor:
    """The keys that count: a view, where they are neighbours."""
    columns = scores.columns
    if columns is not None:
        return tile.index_select(1, columns)
    return tile.narrow(1, scores.first_column, scores.column_count)


@cache
def compiled(loop: Callable[..., None]) -> Callable[..., None]:
    """A loop compiled by TorchScript; unchanged where `why_not_compiled` gives a reason.

    Args:
        loop: One of the functions above.
    """
    return loop if why_not_compiled() else _script(loop)


@cache
def why_not_compiled() -> str:
    """Why TorchScript can't compile the loops; empty where it can."""
    loops: list[Callable[..., None]] = [add_rows, add_sum_of_rows, write_entropy]
    try:
        off = any(_script(loop) is loop for loop in loops)
    except Exception as cause:
        # there are no source files, or a later torch objects; Python gives the same numbers
        first_line = str(cause).strip().partition("\n")[0]
        return f"TorchScript does not compile them: {type(cause).__name__}: {first_line}"
    return "TorchScript is off (PYTORCH_JIT=0)" if off else ""


def _script(loop: Callable[..., None]) -> Any:
    # torch advises torch.compile, which needs a C++ compiler. Warning filters belong to the process, so lock.
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(loop)


def _forget() -> None:
    """After a fork nobody is left to release the lock."""
    global _one_at_a_time
    _one_at_a_time = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
