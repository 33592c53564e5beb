"""The head mean of one batch row of a record."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import SelectionError
from attnscope.probability.choose import reduce, reduce_given
from attnscope.records import Layer
from attnscope.records.qkv import Record


def row_head_mean(
    record: Record,
    row: int,
    *,
    share: float = 1.0,
    into: Tensor | None = None,
    layer: Layer | None = None,
    frame: int = 0,
) -> Float[Tensor, "query key"]:
    """Mean over heads of the attention in one batch row, as it was used, times a share.

    Args:
        record: Q and K of one layer in one step.
        row: Number of the row in the batch.
        share: Factor for the result, such as 1/n in a mean over n steps.
        into: An earlier result to add to, in place.
        layer: The layer, where it is a part of the record's softmax: only its queries and keys are returned.
        frame: Number of the row's frame, where the layer is a part of each frame.

    Raises:
        SelectionError: The layer computed no attention for the row.
        NumbersError: Its numbers give no attention.
    """
    place = record.place_of(row)
    if place is None:
        raise SelectionError(f"row {row} of the batch has no attention in this layer: choose another branch")
    heads = record.query.shape[1]
    mask = None if record.mask is None else record.mask[place if record.mask.shape[0] > 1 else 0]
    weights = {"head": torch.full([heads], share / heads, device=record.query.device)}
    query, key, columns = record.query[place], record.key[place], None
    edited = None if record.edited is None else record.edited[place]
    if layer is not None and layer.view is not None:
        first_query, first_key = layer.view.at(frame)
        queries = slice(first_query, first_query + layer.queries)
        query = query[:, queries]
        mask = mask[:, queries] if mask is not None and mask.shape[1] > 1 else mask
        edited = None if edited is None else edited[:, queries]
        columns = range(first_key, first_key + layer.keys)
    how: dict[str, Any] = {"over": ("head",), "weights": weights, "columns": columns, "into": into}
    if edited is not None:
        return reduce_given(edited, **how)
    return reduce(query, key, scale=record.scale, mask=mask, **how)
