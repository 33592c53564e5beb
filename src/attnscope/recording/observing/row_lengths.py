"""Rows whose texts have different lengths, in one batch or in calls of one step: all of them get the same places.

What a row lacks is masked: P is zero there, and a place that asks nothing has a row of zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from attnscope.atlas.families import Attended
from attnscope.errors import CaptureError
from attnscope.recording.planning.modules import TappedLayer
from attnscope.records.qkv import Record


def with_equal_rows(tapped: TappedLayer, record: Record, attended: Attended | None) -> Record:
    """A record whose parts begin at the same place in all rows.

    Args:
        tapped: The layer.
        record: What it computed.
        attended: What the model's call attends over.

    Raises:
        CaptureError: Its longest row is not as long as the call says, so that keys would be taken for others.
    """
    sides = tapped.sides
    if sides is None or attended is None or len(attended.rows) != record.query.shape[0]:
        return record
    query_at, key_at = (_places(attended, sources) for sources in sides[:2])
    if bool((query_at >= 0).all() and (key_at >= 0).all()):
        return record
    described = int(query_at.max()) + 1, int(key_at.max()) + 1
    computed = record.query.shape[2], record.key.shape[2]
    if described != computed:
        raise CaptureError(
            f"{tapped.layer} ({tapped.path}) has {computed[0]} queries and {computed[1]} keys in its longest row, and "
            f"the model's call {described[0]} and {described[1]}: its processor adds or leaves out some; use "
            "diffusers' own"
        )
    query_at, key_at = query_at.to(record.query.device), key_at.to(record.key.device)
    return replace(
        record,
        query=_moved(record.query, query_at),
        key=_moved(record.key, key_at),
        value=None if record.value is None else _moved(record.value, key_at),
        mask=_mask(record.mask, query_at, key_at),
    )


def _places(attended: Attended, sources: Sequence[str]) -> Tensor:
    """Of each row, where its tokens stand in the sequence that the model made; -1 for those that it lacks."""
    rows = []
    for lengths in attended.rows:
        places, start = list[Tensor](), 0
        for name, count in attended.tokens_of(sources):
            there = min(lengths.get(name, count), count)
            places += [torch.arange(start, start + there), torch.full((count - there,), -1)]
            start += there
        rows.append(torch.cat(places))
    return torch.stack(rows)


def _moved(tensor: Tensor, at: Tensor) -> Tensor:
    """Places of (row, head, place, dim) moved, zeros where there is none."""
    rows = torch.arange(len(at), device=at.device)[:, None]
    moved = tensor.transpose(1, 2)[rows, at.clamp(min=0)].transpose(1, 2)
    return moved.masked_fill((at < 0)[:, None, :, None], 0)


def _mask(mask: Tensor | None, query_at: Tensor, key_at: Tensor) -> Tensor:
    """Hides what is not there, and what was hidden before."""
    there = (query_at >= 0)[:, None, :, None] & (key_at >= 0)[:, None, None, :]
    if mask is None:
        return there
    mask = mask.expand(len(query_at), *mask.shape[1:])
    if mask.shape[2] > 1:
        mask = _moved(mask, query_at)
    if mask.shape[3] > 1:
        mask = _moved(mask.mT, key_at).mT
    return mask & there if mask.dtype == torch.bool else mask.masked_fill(~there, -torch.inf)
