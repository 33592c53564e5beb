"""Traces like others, with other records: a V, a row that an edit changed."""

from __future__ import annotations

from dataclasses import replace

import torch

from attnscope.storage.memory import MemoryRecords
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace


def with_records(trace, change):
    """The same trace with each record changed: change(record)."""
    records = MemoryRecords()
    records.layers.update(trace.records.layers)
    for call in trace.calls:
        made = {layer: change(trace.records.get(call.index, layer)) for layer in records.layers}
        records.add_call(call, made)
    return Trace(Pass(records, trace.run))


def with_value(trace, seed=1):
    """With a random V."""
    generator = torch.Generator().manual_seed(seed)
    return with_records(
        trace, lambda record: replace(record, value=torch.randn(record.key.shape, generator=generator))
    )


def with_even_rows(trace, share):
    """As if an edit had given every key the same share."""

    def edited(record):
        return replace(record, edited=torch.full((*record.query.shape[:3], record.key.shape[2]), share))

    return with_records(trace, edited)
