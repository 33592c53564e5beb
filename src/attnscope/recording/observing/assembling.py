"""From the attentions that one module computed to one Record: whole, or joined from slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from attnscope.recording.tapping.attention import Attention
from attnscope.records.qkv import Record


def joined_record(pieces: Sequence[Attention], rows: int, heads: int, *, upcast: bool) -> Record | None:
    """One softmax of all rows and heads, from one computation or from slices of it.

    Slices may divide rows and heads (SlicedAttnProcessor), rows, or queries over the same keys.

    Args:
        pieces: What was computed, in order.
        rows: Rows of the module's input.
        heads: Its attention heads.
        upcast: Whether the module asks for float32 scores.

    Returns:
        The record, or None if the pieces are something else, such as attentions over parts of the keys.
    """
    pieces = _of_one_length(pieces, rows, heads)
    axis = _sliced_axis(pieces, rows, heads)
    return None if axis is None else _record(pieces, axis, rows, heads, upcast)


def joined_result(pieces: Sequence[Attention], rows: int, heads: int) -> Tensor | None:
    """What the attention of joined_record gave, (row, head, place, dim); None if it was not kept.

    Args:
        pieces: What was computed, in order.
        rows: Rows of the module's input.
        heads: Its attention heads.
    """
    axis = _sliced_axis(pieces, rows, heads)
    results = [
        piece.result
        for piece in pieces
        if piece.result is not None and piece.result.shape[:-1] == piece.query.shape[:-1]
    ]
    return None if axis is None or len(results) < len(pieces) else _joined(results, axis, rows, heads)


def _of_one_length(pieces: Sequence[Attention], rows: int, heads: int) -> Sequence[Attention]:
    """One piece for each row, as long as the longest: texts have lengths of their own. What a row lacks is hidden."""
    is_each_a_row = all(
        piece.query.shape[:-2] == (1, heads) and piece.mask is None and piece.value is not None
        for piece in pieces
    )
    keys = {piece.key.shape[-2] for piece in pieces}
    if not is_each_a_row or len(pieces) != rows or len(keys) == 1:
        return pieces
    queries = max(piece.query.shape[-2] for piece in pieces)
    return [_lengthened(piece, queries, max(keys)) for piece in pieces]


def _lengthened(piece: Attention, queries: int, keys: int) -> Attention:
    more = (0, 0, 0, keys - piece.key.shape[-2])
    assert piece.value is not None
    return replace(
        piece,
        query=pad(piece.query, (0, 0, 0, queries - piece.query.shape[-2])),
        key=pad(piece.key, more),
        value=pad(piece.value, more),
        mask=(torch.arange(keys, device=piece.key.device) < piece.key.shape[-2]).reshape(1, 1, 1, keys),
    )


def _sliced_axis(pieces: Sequence[Attention], rows: int, heads: int) -> int | None:
    """The axis that slices lie side by side on: queries (-2) or rows (0), also for a single piece. None: no slices."""
    alike = {(piece.query.ndim, piece.scale) for piece in pieces}
    if len(alike) != 1 or pieces[0].query.ndim not in (3, 4):
        return None
    leading = (rows, heads) if pieces[0].query.ndim == 4 else (rows * heads,)
    if all(tuple(piece.query.shape[:-2]) == leading for piece in pieces):
        return -2 if all(_same_keys(piece.key, pieces[0].key) for piece in pieces[1:]) else None
    shapes = {(piece.query.shape[1:], piece.key.shape[1:]) for piece in pieces}
    covers = sum(piece.query.shape[0] for piece in pieces) == leading[0]
    return 0 if covers and len(shapes) == 1 and tuple(pieces[0].query.shape[1:-2]) == leading[1:] else None


def _same_keys(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and (one.is_meta or torch.equal(one, other))


def _record(pieces: Sequence[Attention], axis: int, rows: int, heads: int, upcast: bool) -> Record:
    first = pieces[0]
    query = _joined([piece.query for piece in pieces], axis, rows, heads)
    key = first.key if axis == -2 else torch.cat([piece.key for piece in pieces]) if pieces[1:] else first.key
    return Record(
        query=query,
        key=_in_heads(key, rows, heads),
        value=_value(pieces, axis, rows, heads),
        mask=_mask(pieces, axis, rows, heads),
        scale=first.scale,
        upcast=upcast,
    )


def _value(pieces: Sequence[Attention], axis: int, rows: int, heads: int) -> Tensor | None:
    values = [piece.value for piece in pieces if piece.value is not None]
    if len(values) < len(pieces):
        return None
    return _in_heads(values[0] if axis == -2 or len(values) == 1 else torch.cat(values), rows, heads)


def _joined(tensors: Sequence[Tensor], axis: int, rows: int, heads: int) -> Tensor:
    return _in_heads(tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), axis), rows, heads)


def _in_heads(tensor: Tensor, rows: int, heads: int) -> Tensor:
    """(row, head, position, dim), also from row x head."""
    return tensor if tensor.ndim == 4 else tensor.reshape(rows, heads, *tensor.shape[1:])


def _mask(pieces: Sequence[Attention], axis: int, rows: int, heads: int) -> Tensor | None:
    """A mask that broadcasts to (row, head, query, key)."""
    some = next((_in_all_axes(piece, piece.mask) for piece in pieces if piece.mask is not None), None)
    if some is None:
        return None
    mask = torch.cat([_whole_mask(piece, axis, some) for piece in pieces], axis) if pieces[1:] else some
    if mask.ndim == 3 and mask.shape[0] == rows * heads:
        return mask.reshape(rows, heads, *mask.shape[1:])
    return mask.reshape([1] * (4 - mask.ndim) + list(mask.shape))


def _whole_mask(piece: Attention, axis: int, some: Tensor) -> Tensor:
    """A piece's mask with the piece's own length on the axis of the slices; one like another piece's hides nothing."""
    if piece.mask is None:
        part = some.narrow(axis, 0, 1)
        mask = torch.ones_like(part) if part.dtype == torch.bool else torch.zeros_like(part)
    else:
        mask = _in_all_axes(piece, piece.mask)
    sizes = [-1] * mask.ndim
    sizes[axis] = piece.query.shape[axis]
    return mask.expand(sizes)


def _in_all_axes(piece: Attention, mask: Tensor) -> Tensor:
    """A mask with all axes of a piece's query."""
    return mask.reshape([1] * (piece.query.ndim - mask.ndim) + list(mask.shape))
